"""Scores of a model beside its baselines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


def skill(value: float, baseline: float, mode: str) -> float | None:
    """Share of the baseline's error that is gone: 1 is perfect, 0 is no better, below 0 the baseline is better.

    The error of a metric that is maximised is its distance from 1. None where the baseline has no error.
    """
    if mode == "max":
        value, baseline = 1 - value, 1 - baseline
    return None if baseline == 0 else 1 - value / baseline


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
        """The metric that model and baselines share: the monitored one, or the first where that is the loss."""
        return self.monitor if self.monitor != "loss" else next(name for name in self.model if name != "loss")

    @property
    def skill(self) -> dict[str, float | None]:
        """Share of each baseline's error that the model removes; below 0 the baseline is better."""
        metric, mode = self.compared, "max" if self.compared in self.maximised else "min"
        return {name: skill(self.model[metric], row[metric], mode) for name, row in self.baselines.items()}

    @property
    def winner(self) -> str | None:
        """The best baseline that does better than the model; None where there is none."""
        better = {name: value for name, value in self.skill.items() if value is not None and value < 0}
        return min(better, key=lambda name: better[name]) if better else None

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
