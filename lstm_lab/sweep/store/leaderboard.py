"""Trials and points in order of merit, from what the record says of them."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from lstm_lab.sweep.space.domains import Overrides


@dataclass(frozen=True)
class Trial:
    """A run made by a sweep, as its record shows it."""

    id: str
    point: int
    seed: int
    overrides: Overrides
    state: str
    """finished, stopped, failed, interrupted, or asked where nothing has run yet."""
    reason: str | None
    value: float | None
    """The deciding metric at its best epoch."""
    epoch: int | None
    epochs: int
    seconds: float
    parameters: int | None
    phase: str = "search"
    """search, or confirm: asked once the search had ended."""
    lineage: tuple[dict[str, Any], ...] = ()
    """From which trials it was cloned, at which of its epochs and theirs, and what changed: old, donor's and new."""

    @property
    def settings(self) -> Overrides:
        """The values it had in the end."""
        return self.lineage[-1]["overrides"] if self.lineage else self.overrides


@dataclass(frozen=True)
class Ranked:
    """A point of the space over its seeds."""

    point: int
    overrides: Overrides
    trials: tuple[Trial, ...]
    mean: float | None
    spread: float | None
    """Standard deviation over seeds; None for one seed."""
    n: int

    def dump(self) -> dict[str, Any]:
        return {
            "point": self.point,
            "overrides": self.overrides,
            "trials": [trial.id for trial in self.trials],
            "mean": self.mean,
            "spread": self.spread,
            "n": self.n,
            "states": [trial.state for trial in self.trials],
            "parameters": self.trials[0].parameters,
            "lineage": {trial.id: list(trial.lineage) for trial in self.trials if trial.lineage},
        }


def leaderboard(trials: list[Trial], mode: str) -> list[Ranked]:
    """Points, best first: by the mean over seeds of each trial's best epoch.

    A point that was cut short with any of its seeds ranks behind all that were trained through: it was not given the
    same chance, and its experiment run again would not stop where the scheduler stopped it.
    """
    points: dict[int, list[Trial]] = {}
    for trial in trials:
        points.setdefault(trial.point, []).append(trial)
    ranked = []
    for number, rows in points.items():
        values = [trial.value for trial in rows if trial.value is not None]
        spread = stdev(values) if len(values) > 1 else None
        average = mean(values) if values else None
        ranked.append(Ranked(number, rows[0].overrides, tuple(rows), average, spread, len(values)))

    def rank(row: Ranked) -> tuple[bool, int, float]:
        cut = sum(trial.state != "finished" for trial in row.trials)
        sign = -1.0 if mode == "max" else 1.0
        return row.mean is None, cut, sign * (row.mean or 0.0)

    return sorted(ranked, key=rank)


def confirmation(trials: list[Trial], point: int, seeds: tuple[int, ...]) -> list[Trial]:
    """What confirms a point: one trial a seed, trained through in the search or asked again afterwards."""
    counted: dict[int, Trial] = {}
    for trial in trials:
        if trial.point == point and trial.seed in seeds and (trial.state == "finished" or trial.phase == "confirm"):
            counted[trial.seed] = trial
    return [counted[seed] for seed in seeds if seed in counted]


def winner(ranked: list[Ranked], mode: str) -> Trial | None:
    """The best seed of the best point."""
    if not ranked or ranked[0].mean is None:
        return None
    scored = [trial for trial in ranked[0].trials if trial.value is not None]
    return min(scored, key=lambda trial: (trial.value or 0.0) * (-1 if mode == "max" else 1))
