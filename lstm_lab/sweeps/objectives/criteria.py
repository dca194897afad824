"""By what the configurations of a sweep are compared: one metric, or several objectives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from lstm_lab.records.run_record import RunRecord, finite
from lstm_lab.sweeps.objectives.measures import MEASURES, Measure


class Outcome(NamedTuple):
    """What a searcher is told of a configuration."""

    value: float | None
    """The monitored metric, the mean over its trials; None if all of them failed."""
    objectives: tuple[float | None, ...] = ()
    """The mean of each objective, of which the monitored metric is the first; None where no trial has it. Empty: the
    monitored metric is the only one."""


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


@dataclass(frozen=True)
class Criteria:
    """What is compared besides the monitored metric."""

    objectives: tuple[Objective, ...] = ()
    """The first is the monitored metric; empty: it is the only one."""

    @classmethod
    def of(cls, monitor: Mapping[str, str] | None) -> Criteria:
        """From `monitor` of a sweep file, or of a record."""
        return cls(tuple(Objective(name, mode) for name, mode in (monitor or {}).items()))

    @property
    def measures(self) -> frozenset[str]:
        """Names of the measures among the objectives."""
        return frozenset(each.name for each in self.objectives if each.measure)

    @property
    def not_reproducible(self) -> list[str]:
        """Objectives whose values another run of the same sweep would not have."""
        return [each.name for each in self.objectives if each.measure and not each.measure.is_reproducible]

    def values(self, record: RunRecord) -> dict[str, float | None]:
        """Objective -> its value for a run."""
        return {each.name: each.value(record) for each in self.objectives}

    def text(self, values: Mapping[str, float | None]) -> str:
        """Objectives with their values and units, in a line."""
        found = [(each, values.get(each.name)) for each in self.objectives]
        return ", ".join(f"{each.name} {value:.4g} {each.unit}".rstrip() for each, value in found if value is not None)

    def losses(self, values: Mapping[str, float | None]) -> tuple[float, ...] | None:
        """The objectives such that less is better of each; None where one has no value."""
        found = [(each, values.get(each.name)) for each in self.objectives]
        losses = [each.loss(value) for each, value in found if value is not None]
        return tuple(losses) if len(losses) == len(self.objectives) else None


SINGLE = Criteria()
"""The monitored metric alone."""
