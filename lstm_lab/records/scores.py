"""Scores of a model beside its baselines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Metrics = Mapping[str, float]
"""Metric -> value, the metric without a prefix."""


TIE = 1e-6
"""Relative difference below which two scores are level: single precision has seven digits, and the order in which a sum
is taken changes the last."""


def level(value: float | None, baseline: float | None) -> bool:
    """Whether two scores are the same but for rounding; a score that is missing or NaN is level with none.

    >>> level(0.1 + 0.2, 0.3), level(0.0, 0.0), level(0.5, 0.4999)
    (True, True, False)
    """
    return value is not None and baseline is not None and math.isclose(value, baseline, rel_tol=TIE)


def skill(value: float, baseline: float, mode: str) -> float | None:
    """Share of the baseline's error that is gone: 1 is perfect, 0 is level, below 0 the baseline is better.

    The error of a metric that is maximised is its distance from 1. None where only the baseline has no error.

    >>> skill(1.0, 4.0, "min"), skill(0.0, 0.0, "min"), skill(0.9, 1.0, "max")
    (0.75, 0.0, None)
    """
    if level(value, baseline):
        return 0.0
    if mode == "max":
        value, baseline = 1 - value, 1 - baseline
    return None if baseline == 0 else 1 - value / baseline


def compared_metric(monitor: str, model: Metrics, baselines: Iterable[Metrics] = ()) -> str:
    """The metric by which a model is compared with its baselines: the monitored one, or the first other than the loss.

    Args:
        monitor: the monitored metric, with or without its prefix.
        model: its scores.
        baselines: theirs; a metric that none of them has is not compared.

    >>> compared_metric("val/loss", {"loss": 0.1, "accuracy": 0.9})
    'accuracy'
    """
    name = monitor.rpartition("/")[2]
    known = {metric for row in baselines for metric in row} or model.keys()
    return next((metric for metric in (name, *model) if metric != "loss" and metric in model and metric in known), name)


@dataclass(frozen=True)
class Standing:
    """Where a model stands among its baselines, by one metric. Baselines without a score are in none of the lists."""

    better: tuple[str, ...]
    """Baselines that score better than the model, the best first."""
    level: tuple[str, ...]
    """Those that score the same."""
    worse: tuple[str, ...]

    @property
    def winner(self) -> str | None:
        """The best baseline, "level", or "model"; None where nothing can be compared."""
        return self.better[0] if self.better else "level" if self.level else "model" if self.worse else None


def standing(
    metric: str, model: Metrics, baselines: Mapping[str, Metrics], skills: Mapping[str, float | None]
) -> Standing:
    """Which baselines score better than the model, the same, or worse. Every comparison asks this function.

    Args:
        skills: of the model against each baseline, by `skill`. None stands for a baseline without error: it is better
            than every model that has one.

    >>> baselines = {"naive": {"mae": 1.0}, "oracle": {"mae": 0.0}, "mean": {"mae": 2.0}}
    >>> standing("mae", {"mae": 2.0}, baselines, {"naive": -1.0, "oracle": None, "mean": 0.0})
    Standing(better=('oracle', 'naive'), level=('mean',), worse=())
    """
    values = {name: row[metric] for name, row in baselines.items() if _scored(row, metric) and name in skills}
    even = tuple(name for name, value in values.items() if level(model.get(metric), value))
    # Without a baseline error, or of a model without a score, there is no ratio: the baseline is better all the same.
    gaps = {name: -math.inf if (gap := skills[name]) is None or math.isnan(gap) else gap for name in values}
    if not _scored(model, metric):
        gaps = dict.fromkeys(values, -math.inf)
    others = sorted((name for name in values if name not in even), key=lambda name: gaps[name])
    better = tuple(name for name in others if gaps[name] < 0)
    return Standing(better, even, tuple(name for name in others if gaps[name] >= 0))


def _scored(row: Metrics, metric: str) -> bool:
    value = row.get(metric)
    return value is not None and math.isfinite(value)


def better_elsewhere(
    metric: str, model: Metrics, baselines: Mapping[str, Metrics], maximised: frozenset[str]
) -> list[str]:
    """A sentence for each metric by which a baseline without a score by the compared one is better than the model.

    Args:
        metric: by which model and baselines are compared.
        maximised: metrics of which more is better.

    >>> better_elsewhere("nll", {"nll": 1.0, "bleu": 30.0}, {"nearest": {"bleu": 60.0}}, frozenset({"bleu"}))
    ['by bleu nearest scores better than the model: 60 against 30']
    """
    others = {name: row for name, row in baselines.items() if metric not in row}
    found = []
    for other, ours in model.items():
        sign = 1 if other in maximised else -1
        values = {name: sign * row[other] for name, row in others.items() if other in row}
        best = max(values, key=values.__getitem__, default=None)
        if best is not None and values[best] > sign * ours and not level(ours, others[best][other]):
            theirs = others[best][other]
            found.append(f"by {other} {best} scores better than the model: {theirs:.4g} against {ours:.4g}")
    return found


@dataclass(frozen=True)
class Scores:
    """A model beside the baselines, on one split of the data."""

    split: Literal["validation", "test"]
    monitor: str
    """The monitored metric, without a prefix."""
    mode: str
    """min or max: which end of it is better."""
    model: dict[str, float]
    """Metric -> value, `loss` among them."""
    baselines: dict[str, dict[str, float]]
    """Name -> metric -> value."""
    test_evaluations: int
    """How often this run had been evaluated on the test split, this time included."""
    details: dict[str, object] = field(default_factory=dict)
    """What the metrics add to their numbers: `steps`, the scores at each step ahead of a forecast; `confusion`, classes
    and counts of a classification."""
    maximised: frozenset[str] = frozenset()
    """Metrics of which more is better."""

    @property
    def compared(self) -> str:
        """The metric by which model and baselines are compared: the monitored one, or the first other than the loss."""
        return compared_metric(self.monitor, self.model, self.baselines.values())

    @property
    def skill(self) -> dict[str, float | None]:
        """Share of each baseline's error that the model removes; below 0 the baseline is better."""
        metric, mode = self.compared, "max" if self.compared in self.maximised else "min"
        rows = {name: row for name, row in self.baselines.items() if metric in row}
        return {name: skill(self.model[metric], row[metric], mode) for name, row in rows.items()}

    @property
    def winner(self) -> str | None:
        """The best baseline that scores better than the model, "level" where the best ones score the same, or "model";
        None where nothing can be compared."""
        return standing(self.compared, self.model, self.baselines, self.skill).winner

    def dump(self) -> dict[str, object]:
        """As a row of tests.jsonl."""
        return {
            "split": self.split,
            "metric": self.compared,
            "scores": self.model,
            "baselines": self.baselines,
            "skill": self.skill,
            "winner": self.winner,
            "test_evaluations": self.test_evaluations,
            **self.details,
        }
