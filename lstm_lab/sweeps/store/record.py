"""A sweep as its folder describes it. The one reader of trials.jsonl, events.jsonl and summary.json; needs no torch."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lstm_lab.config import ConfigError, DataError, Notice, legacy
from lstm_lab.records import files
from lstm_lab.records.files import Row
from lstm_lab.records.run import Run, read_yaml
from lstm_lab.records.run_record import read_run
from lstm_lab.records.shapes import Shape, check, fits
from lstm_lab.sweeps.objectives import SINGLE, Criteria
from lstm_lab.sweeps.sections import repeat_noun
from lstm_lab.sweeps.store.leaderboard import (
    ENDED,
    Configuration,
    Trial,
    best_trial,
    confirmation,
    leaderboard,
    why_no_best,
)
from lstm_lab.sweeps.store.shapes import EnsembleRow, EventRow, SummaryFile, SweepAbout, SweepFile, TrialRow
from lstm_lab.sweeps.store.spaces import joined_space
from lstm_lab.system import disk

TRIAL_ID = re.compile("t[0-9]{1,9}")
NEVER_STARTED = "it never started"
"""End of the reason of a trial that was stopped before its first epoch: nothing of it is missing."""


def is_sweep(folder: Path) -> bool:
    """Whether a folder is that of a sweep."""
    return os.path.isfile(folder / files.SWEEP)


def no_sweep(folder: Path) -> ConfigError:
    """The error for a folder that was named as a sweep, and is none."""
    return disk.closed(folder) or ConfigError(
        f"{folder}: not a sweep: there is no {files.SWEEP} in it{files.similar_run(folder)}"
    )


def trial_folder(sweep: Path, trial: object) -> Path:
    """The run folder of a trial.

    Raises:
        DataError: the record names a trial otherwise than we do: the name could lead to any folder.
    """
    if not isinstance(trial, str) or not TRIAL_ID.fullmatch(trial):
        raise DataError(f"{sweep}: its record has a trial named {trial!r}, but trials are named like t0001: correct it")
    return sweep / "trials" / trial


def read_trial(sweep: Path, row: Row, event: Row | None) -> Trial:
    """A trial from its row of trials.jsonl, the driver's last decision about it, and its own folder."""
    path = trial_folder(sweep, row["trial"])
    record = read_run(path) if Run(path).exists() else None
    state, reason = (record.state, record.reason) if record else ("pending", None)
    is_outdated = event is not None and event["state"] == "pending" and state in ENDED
    if event is not None and state != "finished" and not is_outdated:
        state, reason = event["state"], event.get("reason") or reason
    return Trial(
        id=row["trial"],
        configuration=row["configuration"],
        seed=row["seed"],
        fold=row.get("fold"),
        version=row.get("version", 0),
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
    ensembles: tuple[EnsembleRow, ...] = ()
    """Of the best configurations as they rank now."""

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def title(self) -> str:
        return str(self.spec.get("title") or self.name)

    @property
    def space(self) -> dict[str, tuple[str, Any]]:
        """Hyperparameter -> name and arguments of its domain; those of all searches, where the sweep was extended."""
        return joined_space(self.spec.get("space") or {}, self.about.get("extensions") or [])

    @property
    def seeds(self) -> list[int]:
        return list(self.spec.get("seeds") or [0])

    @property
    def repeat_noun(self) -> str:
        """What a trial of a configuration is called: seed, fold, or trial where there are several of both."""
        return repeat_noun(len(self.seeds), has_folds=self.spec.get("cross_validation") is not None)

    @property
    def select(self) -> str:
        """Which epoch of a trial counts: best, last, or selected where trials differ in it."""
        found = {trial.record.select for trial in self.trials if trial.record}
        return next(iter(found), "best") if len(found) < 2 else "selected"

    @property
    def criteria(self) -> Criteria:
        """What configurations are compared by besides the monitored metric."""
        return Criteria.of_record(self.spec)

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
    spec = legacy.sweep(read_yaml(folder / files.SWEEP))
    check(spec, SweepFile, str(folder / files.SWEEP))
    about = read_about(folder)
    events = {row["trial"]: row for row in read_rows(folder / files.EVENTS, EventRow)}
    rows = read_rows(folder / files.TRIALS, TrialRow, legacy.trial)
    trials = [read_trial(folder, row, events.get(row["trial"])) for row in rows]
    summary = read_summary(folder)
    if summary is not None and not _covers(summary, trials):
        summary = None  # Of an earlier end: trials have been added since.
    metric, mode = _metric(spec, summary, trials)
    ranked = (
        _ranked(summary, trials)
        if summary
        else rank(trials, mode, about, spec.get("confirm"), Criteria.of_record(spec))
    )
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
        best_experiment=files.read_text(best) if summary and os.path.isfile(best) else None,
        ensembles=tuple(row for row in read_ensembles(folder) if row.trials == trials_of(ranked, row.top)),
    )


def trials_of(ranked: Sequence[Configuration], top: int) -> list[str]:
    """Trials with a value of the best configurations, the best configuration first."""
    return [trial.id for row in ranked[:top] for trial in row.trials if trial.value is not None]


def read_ensembles(folder: Path) -> list[EnsembleRow]:
    """The ensembles of a sweep, each as it was recorded last, the smallest first."""
    found = [EnsembleRow.model_validate(row) for row in read_rows(folder / files.ENSEMBLES, EnsembleRow)]
    return sorted({(row.top, *row.trials): row for row in found}.values(), key=lambda row: row.top)


def known_ensemble(folder: Path, wanted: EnsembleRow) -> EnsembleRow | None:
    """The record of an ensemble of the same trials; None where there is none."""
    return next((row for row in read_ensembles(folder) if row.trials == wanted.trials), None)


def winner_folder(folder: Path) -> Path:
    """The run folder of a sweep's best trial; a notice says where that was trained on a fold alone.

    Raises:
        ConfigError: no trial has a value.
    """
    winner = read_sweep(folder).winner
    if winner is None:
        raise ConfigError(f"{folder}: has no best trial: {why_no_best(read_sweep(folder).configurations)}")
    if winner.fold is not None:
        warnings.warn(
            f"{folder}: its best trial {winner.id} was trained on fold {winner.fold} alone; for a model of the whole "
            f"data: lstm-lab train {folder / files.BEST_EXPERIMENT}",
            Notice,
            stacklevel=3,
        )
    return trial_folder(folder, winner.id)


def read_rows(path: Path, shape: type[Shape], upgrade: Callable[[Row], Row] = dict) -> list[Row]:
    """Rows of a JSON Lines file; what is no such row is left out.

    Args:
        upgrade: brings a row of an older format up to date.
    """
    return [row for row in map(upgrade, files.read_jsonl(path)) if fits(row, shape)]


def read_about(folder: Path) -> Row:
    """about.json; empty where there is none.

    Raises:
        DataError: it is incomplete, or holds something else.
    """
    path = folder / files.ABOUT
    about = files.read_json(path) if os.path.lexists(path) else {}
    check(about, SweepAbout, str(path))
    return {**about, "sweep": legacy.sweep(about["sweep"])} if isinstance(about.get("sweep"), Mapping) else about


def read_summary(folder: Path) -> Row | None:
    """summary.json; None where there is none.

    Raises:
        DataError: it is incomplete, or holds something else.
    """
    path = folder / files.SUMMARY
    if not os.path.lexists(path):
        return None
    summary = legacy.summary(files.read_json(path))
    check(summary, SummaryFile, str(path))
    return summary


def rank(
    trials: Sequence[Trial], mode: str, about: Row, confirm: Row | None, criteria: Criteria = SINGLE
) -> list[Configuration]:
    """Configurations, best first: confirmed ones by their confirmation, before all others.

    Args:
        about: about.json, which lists the configurations that were chosen for confirmation.
        confirm: the `confirm` section of the sweep.
        criteria: what is compared besides the monitored metric.
    """
    chosen = about.get("confirmed") or []
    seeds = tuple((confirm or {}).get("seeds") or ())
    again = [trial for number in chosen for trial in confirmation(trials, number, seeds)]
    others = [trial for trial in trials if trial.configuration not in chosen]
    first, then = leaderboard(again, mode, criteria), leaderboard(others, mode, criteria)
    last = max((row.front for row in first if row.front), default=0)
    then = [replace(row, front=last + row.front) if row.front else row for row in then]
    # Sorted by False before True: a configuration whose confirmation failed altogether wins nothing, nor does one that
    # breaks a constraint by it.
    return sorted([*first, *then], key=lambda row: (row.mean is None, bool(row.broken)))


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


def _covers(summary: Row, trials: Sequence[Trial]) -> bool:
    """Whether a summary is about the trials there are, and its best trial is one of them."""
    known, winner = {trial.id for trial in trials}, summary["winner"]
    ranked = {trial for row in summary["configurations"] for trial in row["trials"]}
    best = winner is None or winner["trial"] in ranked
    return summary["trials"]["total"] == len(trials) and ranked <= known and best


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
            objectives=row.get("objectives") or {},
            front=row.get("front"),
            broken=tuple(row.get("broken") or ()),
        )
        for row in summary["configurations"]
    ]


def _winner(summary: Row, trials: Sequence[Trial]) -> Trial | None:
    won = summary.get("winner")
    return next((trial for trial in trials if won and trial.id == won["trial"]), None)
