"""What is minimised or maximised."""

from __future__ import annotations

from dataclasses import dataclass

from lstm_lab.records.run_record import RunRecord, finite
from lstm_lab.sweeps.objectives.measures import MEASURES, Measure


@dataclass(frozen=True)
class Objective:
    """A metric of the validation split, or a measure of the model, that a sweep minimises or maximises."""

    name: str
    """`val/loss`, `parameters`, `latency`."""
    mode: str
    """min or max: which values are better."""

    @property
    def measure(self) -> Measure | None:
        """Where it is no metric of the validation split, what it measures."""
        return MEASURES.get(self.name)

    @property
    def unit(self) -> str:
        """Empty: none."""
        return self.measure.unit if self.measure else ""

    @property
    def label(self) -> str:
        """The name with the unit: `latency (ms)`."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    def value(self, record: RunRecord) -> float | None:
        """Of a run: a metric at the best epoch by the monitored one; None where it is not known."""
        found = self.measure.value(record) if self.measure else (record.best or {}).get(self.name)
        return found if finite(found) else None

    def loss(self, value: float) -> float:
        """The value with its sign such that less is better."""
        return -value if self.mode == "max" else value
