"""By what the configurations of a sweep are compared: one metric, or several objectives; and what they must keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lstm_lab.records.files import Row
from lstm_lab.records.run_record import RunRecord
from lstm_lab.sweeps.objectives.compromise import Compromise, compromise_scores, compromise_weights
from lstm_lab.sweeps.objectives.limits import Limit, parse_limits
from lstm_lab.sweeps.objectives.objective import Objective


class Outcome(NamedTuple):
    """What a searcher is told of a configuration."""

    value: float | None
    """The monitored metric, the mean over its trials; None if all of them failed."""
    objectives: tuple[float | None, ...] = ()
    """The mean of each objective, of which the monitored metric is the first; None where no trial has it. Empty: the
    monitored metric is the only one."""
    violations: tuple[float | None, ...] = ()
    """By how much each constraint on a metric is broken, as a share of its bound: at most 0 where it is kept, None
    where no trial has the metric. Empty: there is no such constraint."""

    by_epochs: tuple[tuple[int, float], ...] = ()
    """Epochs, and the monitored metric after so many, the mean over its trials; empty where it is not known."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing of it is missing."""
        return None not in (self.value, *self.objectives, *self.violations)


@dataclass(frozen=True)
class Criteria:
    """What is compared besides the monitored metric."""

    objectives: tuple[Objective, ...] = ()
    """The first is the monitored metric; empty: it is the only one."""
    limits: tuple[Limit, ...] = ()
    """What a configuration must keep to be the best."""
    weights: tuple[float, ...] | None = None
    """Of the objectives, for the compromise on a front; None: the first objective decides there."""

    @classmethod
    def of(
        cls, monitor: Mapping[str, str] | None, constraints: Iterable[str] = (), compromise: Compromise = "first"
    ) -> Criteria:
        """From `monitor`, `constraints` and `compromise` of a sweep file, or of a record."""
        objectives = tuple(Objective(name, mode) for name, mode in (monitor or {}).items())
        return cls(objectives, parse_limits(constraints), compromise_weights(compromise, objectives))

    @classmethod
    def of_record(cls, sweep: Row) -> Criteria:
        """From the content of sweep.yaml."""
        return cls.of(sweep.get("monitor"), sweep.get("constraints") or (), sweep.get("compromise") or "first")

    @property
    def names(self) -> list[str]:
        """Objectives, and metrics with a constraint."""
        return [each.name for each in self.measured]

    @property
    def measured(self) -> list[Objective]:
        """What has to be known of a trial: objectives, then what has a constraint and is none."""
        known = {each.name for each in self.objectives}
        others = {limit.name: limit.objective for limit in self.limits if limit.name not in known}
        return [*self.objectives, *others.values()]

    @property
    def measures(self) -> frozenset[str]:
        """Names of the measures among them."""
        return frozenset(each.name for each in self.measured if each.measure)

    @property
    def not_reproducible(self) -> list[str]:
        """Those whose values another run of the same sweep would not have."""
        return [each.name for each in self.measured if each.measure and not each.measure.is_reproducible]

    def values(self, record: RunRecord) -> dict[str, float | None]:
        """Objective, or metric with a constraint -> its value for a run."""
        return {each.name: each.value(record) for each in self.measured}

    def text(self, values: Mapping[str, float | None]) -> str:
        """Objectives with their values and units, in a line."""
        found = [(each, values.get(each.name)) for each in self.objectives]
        return ", ".join(f"{each.name} {value:.4g} {each.unit}".rstrip() for each, value in found if value is not None)

    def losses(self, values: Mapping[str, float | None]) -> tuple[float, ...] | None:
        """The objectives such that less is better of each; None where one has no value."""
        found = [(each, values.get(each.name)) for each in self.objectives]
        losses = [each.loss(value) for each, value in found if value is not None]
        return tuple(losses) if len(losses) == len(self.objectives) else None

    def compromises(self, points: Sequence[Sequence[float]], front: Sequence[Sequence[float]]) -> list[float]:
        """What decides on a front, less is better: 0 of all points where the first objective does.

        Args:
            points: losses of configurations.
            front: those on the Pareto front.
        """
        return compromise_scores(points, front, self.weights) if self.weights else [0.0] * len(points)

    # --- constraints --------------------------------------------------------------------------------------------------

    def violations(self, values: Mapping[str, float | None]) -> tuple[float | None, ...]:
        """By how much each constraint is broken, as a share of its bound."""
        return tuple(limit.violation(values.get(limit.name)) for limit in self.limits)

    def excess(self, values: Mapping[str, float | None]) -> float:
        """The sum of what breaks constraints; 0 where all are kept, infinite where a value is missing."""
        return sum(float("inf") if each is None else max(0.0, each) for each in self.violations(values))

    def broken(self, values: Mapping[str, float | None]) -> tuple[str, ...]:
        """The constraints that are not kept, each beside the value: `latency <= 5 ms: 6.1 ms`."""
        found = zip(self.limits, self.violations(values), strict=True)
        return tuple(limit.report(values.get(limit.name)) for limit, by in found if by is None or by > 0)


SINGLE = Criteria()
"""The monitored metric alone."""
