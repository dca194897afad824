"""A sweep as its folder describes it. The one reader of trials.jsonl, events.jsonl and summary.json; needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lstm_lab import config, files, legacy
from lstm_lab.files import Row
from lstm_lab.records import read_run
from lstm_lab.run import Run
from lstm_lab.sweeps.store.leaderboard import Configuration, Trial, best_trial, confirmation, leaderboard

TRIAL_KEYS = {"trial", "configuration", "seed", "overrides"}
"""What a row of trials.jsonl must hold."""
EVENT_KEYS = {"trial", "state", "reason"}
"""What a row of events.jsonl must hold."""


def is_sweep(folder: Path) -> bool:
    """Whether a folder is that of a sweep."""
    return (folder / files.SWEEP).is_file()


def trial_folder(sweep: Path, trial: str) -> Path:
    """The run folder of a trial."""
    return sweep / "trials" / trial


def read_trial(sweep: Path, row: Row, event: Row | None) -> Trial:
    """A trial from its row of trials.jsonl, the driver's last decision about it, and its own folder."""
    path = trial_folder(sweep, row["trial"])
    record = read_run(path) if (path / files.RUN).is_file() else None
    state, reason = (record.state, record.reason) if record else ("pending", None)
    if event is not None and state != "finished":
        state, reason = event["state"], event.get("reason") or reason
    return Trial(
        id=row["trial"],
        configuration=row["configuration"],
        seed=row["seed"],
        overrides=row["overrides"],
        state=state,
        reason=reason,
        record=record,
        phase=row.get("phase", "search"),
        lineage=tuple(Run(path).lineage()),
    )


@dataclass(frozen=True)
class SweepRecord:
    """A sweep as its folder describes it."""

    path: Path
    spec: Row
    """sweep.yaml"""
    about: Row
    """about.json; empty where there is none."""
    metric: str
    mode: str
    trials: list[Trial]
    configurations: list[Configuration]
    """Best first."""
    winner: Trial | None
    """The best trial."""
    summary: Row | None
    """summary.json, if it covers all the trials there are; None: the sweep has not ended."""
    best_experiment: str | None
    """best.yaml, as text."""

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def title(self) -> str:
        return str(self.spec.get("title") or self.name)

    @property
    def space(self) -> dict[str, tuple[str, Any]]:
        """Hyperparameter -> its domain's name and arguments."""
        return {key: next(iter(domain.items())) for key, domain in (self.spec.get("space") or {}).items()}

    @property
    def seeds(self) -> list[int]:
        return list(self.spec.get("seeds") or [0])

    def count(self, state: str) -> int:
        """Trials in a state."""
        return sum(trial.state == state for trial in self.trials)

    def configuration_of(self, trial: Trial) -> Configuration:
        """The configuration of a trial."""
        return next(row for row in self.configurations if row.number == trial.configuration)


def read_sweep(folder: Path) -> SweepRecord:
    """The record of a sweep, whether it has ended or not.

    Raises:
        ConfigError, DataError: a file of it is incomplete.
    """
    spec = legacy.sweep(config.load(folder / files.SWEEP))
    about = read_about(folder)
    events = {row["trial"]: row for row in files.read_jsonl(folder / files.EVENTS) if "trial" in row}
    rows = [legacy.trial(row) for row in files.read_jsonl(folder / files.TRIALS)]
    trials = [read_trial(folder, row, events.get(row["trial"])) for row in rows]
    summary = read_summary(folder)
    if summary is not None and (summary.get("trials") or {}).get("total") != len(trials):
        summary = None  # Of an earlier end: trials have been added since.
    metric, mode = _metric(spec, summary, trials)
    ranked = _ranked(summary, trials) if summary else rank(trials, mode, about, spec.get("confirm"))
    best = folder / files.BEST_EXPERIMENT
    return SweepRecord(
        path=folder,
        spec=spec,
        about=about,
        metric=metric,
        mode=mode,
        trials=trials,
        configurations=ranked,
        winner=_winner(summary, trials) if summary else best_trial(ranked, mode),
        summary=summary,
        best_experiment=best.read_text(encoding="utf-8") if summary and best.is_file() else None,
    )


def read_about(folder: Path) -> Row:
    """about.json; empty where there is none."""
    path = folder / files.ABOUT
    about = files.read_json(path) if path.is_file() else {}
    return {**about, "sweep": legacy.sweep(about["sweep"])} if isinstance(about.get("sweep"), Mapping) else about


def read_summary(folder: Path) -> Row | None:
    """summary.json; None where there is none."""
    path = folder / files.SUMMARY
    return legacy.summary(files.read_json(path)) if path.is_file() else None


def rank(trials: Sequence[Trial], mode: str, about: Row, confirm: Row | None) -> list[Configuration]:
    """Configurations, best first: confirmed ones by their confirmation, before all others.

    Args:
        about: about.json, which lists the configurations that were chosen for confirmation.
        confirm: the `confirm` section of the sweep.
    """
    chosen = about.get("confirmed") or []
    seeds = tuple((confirm or {}).get("seeds") or ())
    again = [trial for number in chosen for trial in confirmation(trials, number, seeds)]
    others = [trial for trial in trials if trial.configuration not in chosen]
    # Sorted by False before True: a configuration whose confirmation failed altogether wins nothing.
    return sorted([*leaderboard(again, mode), *leaderboard(others, mode)], key=lambda row: row.mean is None)


def _metric(spec: Row, summary: Row | None, trials: Sequence[Trial]) -> tuple[str, str]:
    """The monitored metric and its better end."""
    if summary is not None:
        return summary["metric"], summary["mode"]
    for trial in trials:
        if trial.record and trial.record.monitor:
            return trial.record.monitor, trial.record.mode
    # Nothing has run yet: there is no value whose direction could matter.
    task = (spec.get("experiment") or {}).get("task") or {}
    return f"val/{task.get('monitor', 'loss')}", "min"


def _ranked(summary: Row, trials: Sequence[Trial]) -> list[Configuration]:
    known = {trial.id: trial for trial in trials}
    return [
        Configuration(
            number=row["configuration"],
            overrides=row["overrides"],
            trials=tuple(known[trial] for trial in row["trials"]),
            mean=row["mean"],
            std=row.get("std"),
            n=row["n"],
        )
        for row in summary["configurations"]
    ]


def _winner(summary: Row, trials: Sequence[Trial]) -> Trial | None:
    won = summary.get("winner")
    return next((trial for trial in trials if won and trial.id == won["trial"]), None)
