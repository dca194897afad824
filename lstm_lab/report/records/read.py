"""Folders -> tables. What a page shows is read here, from the disk alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from lstm_lab import config
from lstm_lab.config import ConfigError, DataError
from lstm_lab.run import Run, read_json, read_jsonl

Row = dict[str, Any]


@dataclass(frozen=True)
class Record:
    """A run as its folder tells it."""

    path: Path
    about: Row
    """run.json"""
    state: str
    reason: str | None
    rows: list[Row]
    """One an epoch."""
    openings: list[Row]
    """One for each time the test part was opened."""
    ended: str | None = None
    """When its state was last written."""

    @property
    def held(self) -> float | None:
        """Seconds from its beginning to its end, training and all around it; None where they are not known."""
        try:
            began, ended = (datetime.fromisoformat(str(text)) for text in (self.about["created"], self.ended))
            return (ended - began).total_seconds()
        except (ValueError, KeyError, TypeError):
            return None

    def best_of(self, epochs: int) -> float | None:
        """The deciding metric at the best of the first so many epochs."""
        metric = self.monitor or ""
        values = [row[metric] for row in self.rows[:epochs] if finite(row.get(metric))]
        return (max if self.mode == "max" else min)(values) if values else None

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def monitor(self) -> str | None:
        """The deciding metric as the record names it; None where the run died before it knew."""
        return self.about.get("monitor")

    @property
    def mode(self) -> str:
        return self.about.get("mode") or "min"

    @cached_property
    def best(self) -> Row | None:
        """The row of the best epoch; ties go to the first."""
        metric = self.monitor
        scored = [row for row in self.rows if metric and finite(row.get(metric))]
        if not scored or metric is None:
            return None
        return (max if self.mode == "max" else min)(scored, key=lambda row: row[metric])

    @property
    def value(self) -> float | None:
        return self.best[self.monitor] if self.best and self.monitor else None

    @property
    def seconds(self) -> float:
        return next((row["seconds"] for row in reversed(self.rows) if finite(row.get("seconds"))), 0.0)


@dataclass(frozen=True)
class Trial:
    """A run made by a sweep."""

    id: str
    point: int
    seed: int
    overrides: Row
    state: str
    """finished, stopped, failed, interrupted, running, or asked where nothing has run yet."""
    reason: str | None
    record: Record | None
    lineage: list[Row] = field(default_factory=list)
    """Each time it went on as a clone of another trial: from which, at which epochs, with what changed."""

    @property
    def value(self) -> float | None:
        """The deciding metric at the best epoch; a failed trial has none to compare."""
        return None if self.record is None or self.state == "failed" else self.record.value


@dataclass(frozen=True)
class Point:
    """One setting of the hyperparameters, over its seeds."""

    number: int
    overrides: Row
    trials: list[Trial]
    mean: float | None
    spread: float | None
    """Standard deviation over seeds; None for one."""
    n: int

    @property
    def parameters(self) -> int | None:
        known = (trial.record.about.get("parameters") for trial in self.trials if trial.record)
        return next((count for count in known if count), None)

    @property
    def through(self) -> bool:
        """Whether every seed was trained to the end."""
        return all(trial.state == "finished" for trial in self.trials)


@dataclass(frozen=True)
class SweepRecord:
    """A sweep as its folder tells it."""

    path: Path
    spec: Row
    """sweep.yaml"""
    about: Row
    """about.json; empty where there is none"""
    metric: str
    mode: str
    trials: list[Trial]
    points: list[Point]
    """Best first."""
    winner: Trial | None
    summary: Row | None
    """summary.json, if it speaks of all the trials there are; None: the sweep has not ended."""
    best: str | None
    """best.yaml as it stands."""

    @property
    def question(self) -> str:
        return str(self.spec.get("title") or self.path.resolve().name)

    @property
    def space(self) -> dict[str, tuple[str, Any]]:
        """Hyperparameter -> its domain's name and arguments."""
        return {key: next(iter(domain.items())) for key, domain in (self.spec.get("space") or {}).items()}

    @property
    def seeds(self) -> list[int]:
        return list(self.spec.get("seeds") or [0])

    def count(self, state: str) -> int:
        return sum(trial.state == state for trial in self.trials)


def read(folder: Path) -> Record | SweepRecord:
    """The run or the sweep in a folder.

    Raises:
        DataError: there is neither, or a file of it is torn.
    """
    try:
        if (folder / "sweep.yaml").is_file():
            return read_sweep(folder)
        if (folder / "run.json").is_file():
            return read_run(folder)
    except ConfigError as error:
        raise DataError(str(error)) from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{folder}: its record is torn or not ours ({type(error).__name__}: {error})") from None
    raise DataError(f"{folder}: neither a run nor a sweep: there is no run.json and no sweep.yaml in it")


def read_run(folder: Path) -> Record:
    status = _status(folder)
    return Record(
        path=folder,
        about=read_json(folder / "run.json"),
        state=status["state"],
        reason=status.get("reason"),
        rows=[row for row in read_jsonl(folder / "metrics.jsonl") if finite(row.get("epoch"))],
        openings=read_jsonl(folder / "tests.jsonl"),
        ended=status.get("at"),
    )


def _status(folder: Path) -> Row:
    """status.json, where a run that a kill left `running` is interrupted."""
    try:
        return Run(folder).status
    except OSError:  # A folder of somebody else, where no lock can be tried.
        return read_json(folder / "status.json")


def read_sweep(folder: Path) -> SweepRecord:
    spec = config.load(folder / "sweep.yaml")
    decided = {row["trial"]: row for row in read_jsonl(folder / "events.jsonl") if "trial" in row}
    trials = [_trial(folder, row, decided.get(row["trial"])) for row in read_jsonl(folder / "trials.jsonl")]
    summary = read_json(folder / "summary.json") if (folder / "summary.json").is_file() else None
    if summary is not None and (summary.get("trials") or {}).get("asked") != len(trials):
        summary = None  # Of an earlier end: more trials were asked for since.
    metric, mode = _metric_of(spec, summary, trials)
    points = _points_of(summary, trials) if summary else _rank(trials, mode)
    best = folder / "best.yaml"
    return SweepRecord(
        path=folder,
        spec=spec,
        about=read_json(folder / "about.json") if (folder / "about.json").is_file() else {},
        metric=metric,
        mode=mode,
        trials=trials,
        points=points,
        winner=_winner(summary, trials, points, mode),
        summary=summary,
        best=best.read_text(encoding="utf-8") if summary and best.is_file() else None,
    )


def _trial(folder: Path, row: Row, decided: Row | None) -> Trial:
    path = folder / "trials" / row["trial"]
    record = read_run(path) if (path / "run.json").is_file() else None
    state, reason = (record.state, record.reason) if record else ("asked", None)
    if decided is not None and state != "finished":
        state, reason = decided["state"], decided.get("reason") or reason
    lineage = Run(path).lineage()
    return Trial(row["trial"], row["point"], row["seed"], row["overrides"], state, reason, record, lineage)


def _metric_of(spec: Row, summary: Row | None, trials: Iterable[Trial]) -> tuple[str, str]:
    if summary is not None:
        return summary["metric"], summary["mode"]
    for trial in trials:
        if trial.record and trial.record.monitor:
            return trial.record.monitor, trial.record.mode
    # Nothing has run yet: there is no value whose direction could matter.
    task = (spec.get("experiment") or {}).get("task") or {}
    return f"val/{task.get('monitor', 'loss')}", "min"


def _points_of(summary: Row, trials: list[Trial]) -> list[Point]:
    known = {trial.id: trial for trial in trials}
    return [
        Point(
            number=row["point"],
            overrides=row["overrides"],
            trials=[known[trial] for trial in row["trials"]],
            mean=row["mean"],
            spread=row.get("spread"),
            n=row["n"],
        )
        for row in summary["points"]
    ]


def _rank(trials: list[Trial], mode: str) -> list[Point]:
    """Points of a sweep that has not ended, by the rule of those that have."""
    # It brings in torch, which a finished sweep has no need of.
    from lstm_lab.sweep.store.folder import Trial as Entry
    from lstm_lab.sweep.store.folder import leaderboard

    known = {trial.id: trial for trial in trials}
    entries = [
        Entry(
            id=trial.id, point=trial.point, seed=trial.seed, overrides=trial.overrides, state=trial.state,
            reason=trial.reason, value=trial.value, epoch=None, epochs=0, seconds=0.0, parameters=None,
        )
        for trial in trials
    ]  # fmt: skip
    return [
        Point(row.point, row.overrides, [known[entry.id] for entry in row.trials], row.mean, row.spread, row.n)
        for row in leaderboard(entries, mode)
    ]


def _winner(summary: Row | None, trials: list[Trial], points: list[Point], mode: str) -> Trial | None:
    if summary is not None:
        won = summary.get("winner")
        return next((trial for trial in trials if won and trial.id == won["trial"]), None)
    scored = [trial for trial in points[0].trials if trial.value is not None] if points else []
    best = max if mode == "max" else min
    return best(scored, key=lambda trial: trial.value or 0.0) if scored else None


def finite(value: Any) -> bool:
    """Whether it is a number that can be compared and drawn."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
