"""A run as its folder describes it, read once: what leaderboards, reports and comparisons look at."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeGuard

from lstm_lab.records import files
from lstm_lab.records.files import Row
from lstm_lab.records.run import Run

Select = Literal["best", "last"]
"""Which epoch of a run counts: its weights are evaluated, and its value compares runs."""


@dataclass(frozen=True)
class RunRecord:
    """A run as its folder describes it."""

    path: Path
    about: Row
    """run.json"""
    state: str
    reason: str | None
    rows: list[Row]
    """One per epoch."""
    ended: str | None = None
    """When its state was last written."""

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def monitor(self) -> str | None:
        """The monitored metric as the record names it; None where the run died before it was known."""
        return self.about.get("monitor")

    @property
    def mode(self) -> str:
        """min or max: which end of the monitored metric is better."""
        return self.about.get("mode") or "min"

    @property
    def select(self) -> Select:
        """Which of its epochs counts."""
        return "last" if self.about.get("select") == "last" else "best"

    @cached_property
    def best(self) -> Row | None:
        """The row of the epoch that counts: the best one, or the last by `trainer.select: last`."""
        return selected(self.rows, self.monitor, self.mode, self.select)

    @property
    def value(self) -> float | None:
        """The monitored metric at that epoch."""
        return self.best[self.monitor] if self.best and self.monitor else None

    def best_within(self, epochs: int) -> float | None:
        """The monitored metric at the one that would count if the run had ended after `epochs` epochs."""
        row = selected(self.rows[:epochs], self.monitor, self.mode, self.select)
        return row[self.monitor] if row and self.monitor else None

    @property
    def seconds(self) -> float:
        """Training time, over interruptions."""
        return next((row["seconds"] for row in reversed(self.rows) if finite(row.get("seconds"))), 0.0)

    @property
    def wall_seconds(self) -> float | None:
        """Seconds from creation to end, training and everything around it; None where they are not known."""
        try:
            created, ended = (datetime.fromisoformat(str(text)) for text in (self.about["created"], self.ended))
            return (ended - created).total_seconds()
        except (ValueError, KeyError, TypeError):
            return None

    @cached_property
    def test_evaluations(self) -> list[Row]:
        """Each evaluation on the test split, oldest first."""
        return Run(self.path).test_evaluations()

    @property
    def test_results(self) -> list[Row]:
        """Those of them that were completed, and so have scores."""
        return [row for row in self.test_evaluations if row["scores"]]


def read_run(folder: Path) -> RunRecord:
    """The record of a run.

    Raises:
        DataError: a file of it is incomplete.
    """
    run = Run(folder)
    status = run.status
    return RunRecord(
        path=folder,
        about=run.about,
        state=status["state"],
        reason=status.get("reason"),
        # A folder in its place holds no row: what is lost is named by whoever reads the record, as of a missing file.
        rows=[] if os.path.isdir(run.path / files.METRICS) else run.rows(),
        ended=status.get("at"),
    )


def selected(rows: Sequence[Row], metric: str | None, mode: str, select: Select = "best") -> Row | None:
    """The row of the epoch that counts; None where no epoch has the metric.

    Args:
        rows: one per epoch, in order.
        metric: the monitored one.
        mode: min or max: which end of it is better.
        select: the best epoch, of equal ones the first; or the last.
    """
    scored = [row for row in rows if metric and finite(row.get(metric))]
    if not scored or metric is None:
        return None
    if select == "last":
        return scored[-1]
    return (max if mode == "max" else min)(scored, key=lambda row: float(row[metric]))


def finite(value: object) -> TypeGuard[float]:
    """Whether a value is a number that can be compared and drawn."""
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) < 2**1023  # A larger one is no float.
    return isinstance(value, float) and math.isfinite(value)
