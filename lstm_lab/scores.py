"""Scores of a model beside its baselines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Metrics = Mapping[str, float]
"""Metric -> value, the metric without a prefix."""


def skill(value: float, baseline: float, mode: str) -> float | None:
    """Share of the baseline's error that is gone: 1 is perfect, 0 is no better, below 0 the baseline is better.

    The error of a metric that is maximised is its distance from 1. None where the baseline has no error.
    """
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


def better_baselines(
    metric: str, model: Metrics, baselines: Mapping[str, Metrics], skills: Mapping[str, float | None]
) -> list[str]:
    """Baselines that score better than the model, the best first. One that scores the same is not among them.

    Args:
        skills: of the model against each baseline, by `skill`. None stands for a baseline without error: it is better
            than every model that has one.

    >>> baselines = {"naive": {"mae": 1.0}, "oracle": {"mae": 0.0}}
    >>> better_baselines("mae", {"mae": 2.0}, baselines, {"naive": -1.0, "oracle": None})
    ['oracle', 'naive']
    """
    values = {
        name: row[metric]
        for name, row in baselines.items()
        if metric in row and name in skills and math.isfinite(row[metric]) and row[metric] != model[metric]
    }
    # Without a baseline error, or of a model without a score, there is no ratio: the baseline is better all the same.
    gaps = {name: -math.inf if (gap := skills[name]) is None or math.isnan(gap) else gap for name in values}
    return sorted((name for name, gap in gaps.items() if gap < 0), key=lambda name: gaps[name])


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
    details: dict[str, Any] = field(default_factory=dict)
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
        """The best baseline that does better than the model; None where there is none. A tie is not better."""
        return next(iter(better_baselines(self.compared, self.model, self.baselines, self.skill)), None)

    def dump(self) -> dict[str, Any]:
        """As a row of tests.jsonl."""
        return {
            "split": self.split,
            "metric": self.compared,
            "scores": self.model,
            "baselines": self.baselines,
            "skill": self.skill,
            "winner": self.winner or "model",
            "test_evaluations": self.test_evaluations,
            **self.details,
        }
