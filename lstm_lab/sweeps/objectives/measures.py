"""What a trial is measured by, besides the metrics of its epochs; less is better of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lstm_lab.records.run_record import RunRecord, finite


@dataclass(frozen=True)
class Measure:
    """Something that the record of a run has once, not for each epoch."""

    name: str
    unit: str
    """Empty for a number of things."""
    meaning: str
    """In a few words, for pages."""
    read: Callable[[RunRecord], float | None]
    """Its value in the record of our training; None where it was not measured."""
    is_reproducible: bool = True
    """Whether the same sweep has the same value again."""

    def value(self, record: RunRecord) -> float | None:
        """Its value as other code has told it (`ask_tell`), or as it was measured; None where it was not."""
        told: float | None = (record.about.get("measures") or {}).get(self.name)
        return self.read(record) if told is None else told


def _parameters(record: RunRecord) -> float | None:
    found: float | None = record.about.get("parameters")
    return found


def _latency(record: RunRecord) -> float | None:
    found: float | None = (record.about.get("latency") or {}).get("ms")
    return found


def _peak_memory(record: RunRecord) -> float | None:
    return max((row["memory_mib"] for row in record.rows if finite(row.get("memory_mib"))), default=None)


MEASURES = {
    measure.name: measure
    for measure in (
        Measure("parameters", "", "weights of the model", _parameters),
        Measure(
            "latency", "ms", "median time of the forward pass for one sample of typical length", _latency,
            is_reproducible=False,
        ),
        Measure(
            "peak_memory", "MiB", "most memory that the training took", _peak_memory, is_reproducible=False,
        ),
    )
}  # fmt: skip
"""Name in a sweep file -> measure."""
