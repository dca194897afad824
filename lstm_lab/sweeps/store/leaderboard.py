"""Trials, and configurations in order of merit, as the record of a sweep describes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from statistics import mean, stdev

from lstm_lab.records.files import Row
from lstm_lab.records.run_record import RunRecord, finite
from lstm_lab.sweeps.objectives import SINGLE, Criteria, Outcome, pareto_fronts
from lstm_lab.sweeps.sections import Repeat

ENDED = ("finished", "stopped", "failed")
"""States in which nothing of a trial is left to train."""


@dataclass(frozen=True)
class Trial:
    """A run made by a sweep."""

    id: str
    configuration: int
    """Number of its hyperparameter configuration."""
    seed: int
    overrides: Row
    """Dotted key -> value: the configuration it started with."""
    state: str
    """finished, stopped, failed, interrupted, running, or pending where nothing has run yet."""
    reason: str | None = None
    record: RunRecord | None = None
    """Its run; None where nothing has run yet."""
    phase: str = "search"
    """search, or confirm: added once the search had ended."""
    fold: int | None = None
    """Of a cross-validation, counted from 0; None: there is none."""
    version: int = 0
    """Which extension of the sweep added it; 0: it is of the sweep as it was started."""
    lineage: tuple[Row, ...] = ()
    """Each time it continued from another trial: which one, at which epochs, and what changed (old, source, new)."""

    @property
    def repeat(self) -> Repeat:
        """What it differs in from the other trials of its configuration."""
        return Repeat(self.seed, self.fold)

    @property
    def config(self) -> Row:
        """The hyperparameters it ended with."""
        return self.lineage[-1]["overrides"] if self.lineage else self.overrides

    @property
    def value(self) -> float | None:
        """The monitored metric at its best epoch; a failed trial has none."""
        return None if self.record is None or self.state == "failed" else self.record.value

    def keeps(self, criteria: Criteria) -> bool:
        """Whether it keeps all constraints on metrics."""
        return not criteria.limits or (self.record is not None and not criteria.broken(criteria.values(self.record)))

    @property
    def epoch(self) -> int | None:
        """The best epoch, counted from 0."""
        return self.record.best["epoch"] if self.record and self.record.best else None

    @property
    def epochs(self) -> int:
        """Epochs trained."""
        return self.record.rows[-1]["epoch"] + 1 if self.record and self.record.rows else 0

    @property
    def seconds(self) -> float:
        """Training time."""
        return self.record.seconds if self.record else 0.0

    @property
    def parameters(self) -> int | None:
        """Parameters of its model."""
        return self.record.about.get("parameters") if self.record else None


@dataclass(frozen=True)
class Configuration:
    """One setting of the hyperparameters, over its seeds and folds."""

    number: int
    overrides: Row
    """Dotted key -> value."""
    trials: tuple[Trial, ...]
    mean: float | None
    """Of the monitored metric at each trial's best epoch; None where no trial has one."""
    std: float | None
    """Standard deviation over seeds and folds; None for one trial."""
    n: int
    """Trials with a value."""
    objectives: Mapping[str, float | None] = field(default_factory=dict)
    """Objective, or metric with a constraint -> its mean over the trials that have it; empty where the monitored metric
    is all that is compared."""
    front: int | None = None
    """1 on the Pareto front; a later one where others dominate it or come first for another reason; None where an
    objective has no value, or a constraint is broken."""
    broken: tuple[str, ...] = ()
    """Constraints on metrics that it does not keep, each beside its value: it is never the best."""
    violations: tuple[float | None, ...] = ()
    """Of each constraint on a metric: positive where it is broken, as a share of its bound; None without a value."""

    @classmethod
    def of(cls, trials: Sequence[Trial], criteria: Criteria = SINGLE) -> Configuration:
        """The trials of one configuration, summarised."""
        values = [trial.value for trial in trials if trial.value is not None]
        found = [criteria.values(each.record) for each in trials if each.record and each.value is not None]
        objectives = {name: _mean(row[name] for row in found) for name in criteria.names}
        return cls(
            number=trials[0].configuration,
            overrides=trials[0].overrides,
            trials=tuple(trials),
            mean=mean(values) if values else None,
            std=stdev(values) if len(values) > 1 else None,
            n=len(values),
            objectives=objectives,
            broken=criteria.broken(objectives),
            violations=criteria.violations(objectives),
        )

    def outcome(self, criteria: Criteria) -> Outcome:
        """What a searcher is told of it."""
        objectives = tuple(self.objectives[each.name] for each in criteria.objectives)
        return Outcome(self.mean, objectives, self.violations, self.by_epochs)

    @property
    def by_epochs(self) -> tuple[tuple[int, float], ...]:
        """Epochs that all its trials with a value were trained for, and the mean of the monitored metric after each."""
        records = [trial.record for trial in self.trials if trial.record and trial.value is not None]
        rows = zip(*(record.rows for record in records), strict=False)
        values = [[row.get(str(record.monitor)) for row, record in zip(each, records, strict=True)] for each in rows]
        return tuple((epochs, mean(each)) for epochs, each in enumerate(values, 1) if all(map(finite, each)))

    @property
    def parameters(self) -> int | None:
        """Parameters of its model."""
        return next((trial.parameters for trial in self.trials if trial.parameters), None)

    @property
    def version(self) -> int:
        """Which extension of the sweep added it; 0: none."""
        return min(trial.version for trial in self.trials)

    @property
    def completed(self) -> bool:
        """Whether it was trained to completion with every seed."""
        return all(trial.state == "finished" for trial in self.trials)

    def dump(self) -> dict[str, object]:
        """As a row of summary.json."""
        return {
            "configuration": self.number,
            "overrides": self.overrides,
            "trials": [trial.id for trial in self.trials],
            "mean": self.mean,
            "std": self.std,
            "n": self.n,
            "states": [trial.state for trial in self.trials],
            "parameters": self.parameters,
            "version": self.version,
            **({"objectives": dict(self.objectives), "front": self.front} if self.objectives else {}),
            **({"broken": list(self.broken)} if self.violations else {}),
            "lineage": {trial.id: list(trial.lineage) for trial in self.trials if trial.lineage},
        }


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def leaderboard(trials: Iterable[Trial], mode: str, criteria: Criteria = SINGLE) -> list[Configuration]:
    """Configurations, best first: by the mean over seeds and folds of each trial's best epoch.

    With several objectives, those on the Pareto front come first, then those that are on it without these, and so on;
    on each front, by the compromise, and then by the monitored metric. One that breaks a constraint on a metric ranks
    behind all that keep them, the nearest first.

    A configuration that was stopped early with any of its seeds ranks behind all that were trained to completion: it
    was not given the same chance, and its experiment, trained again, would not stop where the scheduler stopped it.

    Args:
        mode: min or max: which end of the monitored metric is better.
        criteria: what is compared besides that metric.
    """
    by_number: dict[int, list[Trial]] = {}
    for trial in trials:
        by_number.setdefault(trial.configuration, []).append(trial)

    sign = -1.0 if mode == "max" else 1.0

    def chance(row: Configuration) -> tuple[bool, float, bool, int]:
        """What decides before any value does."""
        incomplete = criteria.losses(row.objectives) is None
        excess = criteria.excess(row.objectives)
        return row.mean is None, excess, incomplete, sum(trial.state != "finished" for trial in row.trials)

    ranked = sorted((Configuration.of(rows, criteria) for rows in by_number.values()), key=chance)
    decides = dict.fromkeys((row.number for row in ranked), 0.0)
    if criteria.objectives:
        kept = [row for row in ranked if not row.broken]
        fronts = _with_fronts([list(rows) for _, rows in groupby(kept, chance)], criteria)
        decides |= _compromises(fronts, criteria)
        ranked = [*fronts, *(row for row in ranked if row.broken)]
    return sorted(ranked, key=lambda row: (*chance(row), row.front or 0, decides[row.number], sign * (row.mean or 0.0)))


def _with_fronts(groups: Sequence[Sequence[Configuration]], criteria: Criteria) -> list[Configuration]:
    """Configurations with the numbers of their fronts, which go on from group to group."""
    found: list[Configuration] = []
    last = 0
    for rows in groups:
        losses = [criteria.losses(row.objectives) for row in rows]
        fronts = pareto_fronts([point for point in losses if point is not None])
        if len(fronts) < len(rows):  # Their objectives are not known.
            found += rows
            continue
        found += [replace(row, front=last + front) for row, front in zip(rows, fronts, strict=True)]
        last += max(fronts)
    return found


def _compromises(rows: Sequence[Configuration], criteria: Criteria) -> dict[int, float]:
    """Number of a configuration -> what decides on its front, less is better."""
    points = {row.number: point for row in rows if row.front and (point := criteria.losses(row.objectives)) is not None}
    front = [points[row.number] for row in rows if row.front == 1]
    return dict(zip(points, criteria.compromises([*points.values()], front), strict=True)) if front else {}


def confirmation(trials: Iterable[Trial], configuration: int, seeds: Sequence[int]) -> list[Trial]:
    """Trials that confirm a configuration: one per seed and fold, trained to completion in the search or added
    afterwards."""
    found: dict[Repeat, Trial] = {}
    for trial in trials:
        counts = trial.state == "finished" or trial.phase == "confirm"
        if counts and trial.configuration == configuration and trial.seed in seeds:
            found[trial.repeat] = trial
    return sorted(found.values(), key=lambda trial: (seeds.index(trial.seed), trial.fold or 0))


def best_trial(ranked: Sequence[Configuration], mode: str) -> Trial | None:
    """The best seed of the best configuration, of several folds the one closest to their mean; None where no trial has
    a value, or no configuration keeps the constraints on metrics."""
    best_row = ranked[0] if ranked and not ranked[0].broken else None
    scored = [trial for trial in best_row.trials if trial.value is not None] if best_row else []
    if scored and scored[0].fold is not None:
        # Folds differ in difficulty: the best one is the easiest.
        return min(scored, key=lambda trial: abs((trial.value or 0.0) - (ranked[0].mean or 0.0)))
    best = max if mode == "max" else min
    return best(scored, key=lambda trial: trial.value or 0.0) if scored else None


def why_no_best(ranked: Sequence[Configuration]) -> str:
    """Why a sweep has no best trial, in a line without its end; the nearest configuration where none keeps the
    constraints."""
    if not ranked or ranked[0].mean is None:
        return "no trial has a value"
    nearest = ranked[0]
    trials = " ".join(trial.id for trial in nearest.trials)
    return f"no configuration keeps the constraints; the nearest, {trials}, breaks {', '.join(nearest.broken)}"
