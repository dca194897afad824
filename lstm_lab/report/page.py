"""The pages of a run and of a sweep: summary, commands, and every section that has content."""

from __future__ import annotations

import shlex

from lstm_lab.records import files
from lstm_lab.records.examples import AnyExamples
from lstm_lab.records.integrity import lost_best, lost_rows
from lstm_lab.records.run import Run
from lstm_lab.records.run_record import RunRecord
from lstm_lab.report import fmt
from lstm_lab.report.parts.content import Page
from lstm_lab.report.records.read import shown_path
from lstm_lab.report.sections.base import build_sections
from lstm_lab.report.summary import run_summary, sweep_summary
from lstm_lab.sweeps.store.leaderboard import ENDED
from lstm_lab.sweeps.store.record import NEVER_STARTED, TRIAL_ID, SweepRecord

Commands = list[tuple[str, str]]
MAX_DAMAGED = 10
"""Trials with damaged records that a page names."""
EVALUATE = "Evaluate on the held-out test split"


def build_page(record: RunRecord | SweepRecord, examples: AnyExamples | None = None) -> Page:
    """The page of a run or of a sweep.

    Args:
        examples: predictions of the run, or of the sweep's best trial, on samples of the validation split.
    """
    return sweep_page(record, examples) if isinstance(record, SweepRecord) else run_page(record, examples)


def sweep_page(sweep: SweepRecord, examples: AnyExamples | None) -> Page:
    """The page of a sweep, whether it has ended or not."""
    return Page(
        title=sweep.title,
        subtitle=_subtitle("Sweep", sweep.name, sweep.about.get("created")),
        notice=_sweep_notice(sweep),
        summary=sweep_summary(sweep),
        commands=_sweep_commands(sweep),
        sections=build_sections(lambda section: section.of_sweep(sweep, examples)),
    ).without_empty()


def run_page(run: RunRecord, examples: AnyExamples | None) -> Page:
    """The page of a run, whether it has ended or not."""
    return Page(
        title=run.about.get("name") or run.name,
        subtitle=_subtitle("Run", run.name, run.about.get("created")),
        notice=_run_notice(run),
        summary=run_summary(run),
        commands=_run_commands(run),
        sections=build_sections(lambda section: section.of_run(run, examples)),
    ).without_empty()


def _subtitle(kind: str, name: str, created: object) -> str:
    return " · ".join([kind, name, *([fmt.timestamp(created)] if created else [])])


def _sweep_notice(sweep: SweepRecord) -> str:
    return " ".join(text for text in (_unfinished(sweep), _damaged(sweep)) if text)


def _damaged(sweep: SweepRecord) -> str:
    """Trials whose records have lost something that the results rest on."""
    found = []
    for trial in sweep.trials:
        run = Run(trial.record.path) if trial.record else None
        if run is None and trial.state in ("stopped", "pending") and sweep.summary is not None:
            if not str(trial.reason).endswith(NEVER_STARTED):
                found.append(f"{trial.id} (its folder is gone)")
        elif run is not None:
            is_best = sweep.winner is not None and sweep.winner.id == trial.id
            if lost := lost_rows(run, trial.record) or (_damaged_best(run) if is_best else None):
                found.append(f"{trial.id} ({lost})")
    known, folders = {trial.id for trial in sweep.trials}, sweep.path / "trials"
    names = sorted(path.name for path in folders.iterdir() if path.is_dir()) if folders.is_dir() else []
    found += [f"{name} (not in {files.TRIALS})" for name in names if TRIAL_ID.fullmatch(name) and name not in known]
    if not found:
        return ""
    count = len(found)
    if count > MAX_DAMAGED:
        found = [*found[:MAX_DAMAGED], f"{count - MAX_DAMAGED:,} more"]
    return (
        f"Damaged records of {fmt.plural(count, 'trial')}: {fmt.join(found)}; to train what is missing again: "
        f"{_command('resume', shown_path(sweep.path))}."
    )


def _damaged_best(run: Run) -> str | None:
    """What is wrong with the best checkpoint; a record that was copied without checkpoints is not damaged."""
    return lost_best(run) if run.best_checkpoint.is_file() else None


def _unfinished(sweep: SweepRecord) -> str:
    if sweep.summary is not None:
        return ""
    ended = sum(sweep.count(state) for state in ENDED)
    return (
        f"This sweep is unfinished: {ended} of the {fmt.plural(len(sweep.trials), 'trial')} created so far have ended. "
        "The results below are read from their records and may change."
    )


def _sweep_commands(sweep: SweepRecord) -> Commands:
    folder = shown_path(sweep.path)
    if sweep.summary is None:
        return [("Resume the sweep", _command("resume", folder))]
    if sweep.best_experiment is None:
        return []
    commands = [("Train the best configuration again", _command("train", f"{folder}/{files.BEST_EXPERIMENT}"))]
    if sweep.winner and sweep.winner.record and not sweep.winner.record.test_results:
        commands.append((EVALUATE, _command("evaluate", folder)))
    return commands


def _run_notice(run: RunRecord) -> str:
    reason = f": {run.reason}" if run.reason else "."
    epochs = fmt.plural(len(run.rows), "epoch")
    notices = {
        "failed": f"This run failed after {epochs}{reason}",
        "interrupted": f"This run was interrupted after {epochs} and can be resumed.",
        "running": f"This run is still training: {epochs} so far.",
        "stopped": f"This run was stopped early after {epochs}{reason}",
    }
    lost = lost_rows(Run(run.path), run) or _damaged_best(Run(run.path))
    again = _command("train", "--resume", shown_path(run.path))
    damaged = f"The record of this run is damaged: {lost}. {again} trains it again." if lost else ""
    return " ".join(text for text in (notices.get(run.state, ""), damaged) if text)


def _run_commands(run: RunRecord) -> Commands:
    folder = shown_path(run.path)
    commands = [("Train it again", _command("train", f"{folder}/{files.EXPERIMENT}"))]
    if run.state in ("interrupted", "failed"):
        commands.insert(0, ("Resume the run", _command("train", "--resume", folder)))
    elif run.state == "finished" and not run.test_results:
        commands.append((EVALUATE, _command("evaluate", folder)))
    return commands


def _command(*words: str) -> str:
    return shlex.join(["lstm-lab", *words])
