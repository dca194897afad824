"""Repair of a sweep's folder before it is resumed: whatever a crash, a full disk or a hand has damaged.

Everything is written in two places, so that one may be incomplete: the sweep in sweep.yaml and about.json, each trial
in trials.jsonl and its own trial.json. A trial is trained again only where none of its checkpoints can be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from lstm_lab import config
from lstm_lab.config import ConfigError, DataError, Fault, legacy
from lstm_lab.config.validation import validate
from lstm_lab.experiment import Experiment
from lstm_lab.records import files, links
from lstm_lab.records.files import Row
from lstm_lab.records.integrity import lost_best, lost_rows, set_aside, start_over
from lstm_lab.records.provenance import git_state, versions
from lstm_lab.records.run import Run, read_yaml
from lstm_lab.records.shapes import RunFile, Shape, StatusFile, fits
from lstm_lab.sweeps.spec import Sweep
from lstm_lab.sweeps.store.extension import is_before
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.leaderboard import ENDED
from lstm_lab.sweeps.store.record import NEVER_STARTED, TRIAL_ID, is_sweep
from lstm_lab.sweeps.store.retention import is_full, pruned
from lstm_lab.sweeps.store.shapes import SweepAbout, TrialRow
from lstm_lab.training.checkpointing import find_checkpoint

MAY_CHANGE = ("num_samples", "budget", "resources", "patience_trials", "keep_checkpoints")
"""Keys of a sweep that may be edited before it is resumed: how long it runs and on what, not what it compares."""
RUN_FILES = (files.EXPERIMENT, files.RUN, files.METRICS, files.STATUS, files.TESTS, files.LINEAGE, files.TRIAL)
"""Files of a trial's folder that a repair reads or writes."""
TRIAL_FILES = (files.TRIAL, "asked.json")
"""A trial's own row, and what format 1 called that file."""


def repair(path: str | Path) -> list[str]:
    """Repair a sweep's folder.

    Returns:
        What was repaired, a line each.

    Raises:
        ConfigError: another process works on it, it is read-only, or its sweep.yaml describes another sweep now.
    """
    folder = SweepFolder(path)
    if not (folder.path / files.ABOUT).is_file() and not is_sweep(folder.path):
        return []
    links.check_links(folder.path)
    try:
        with folder.lock():
            found = [*_misplaced(folder), *_about(folder), *_sweep(folder)]
            if is_sweep(folder.path):
                found += [*_trial_rows(folder), *_trials(folder)]
            return found
    except OSError as error:
        raise ConfigError(
            f"{folder.path}: cannot be written: {error.strerror}; a sweep is resumed in its own folder"
        ) from None


def _about(folder: SweepFolder) -> Iterator[str]:
    path = folder.path / files.ABOUT
    if _is_incomplete(path, SweepAbout):
        about: Row = {"format": legacy.FORMAT, "name": folder.name, "created": files.now(), "git": git_state()}
        about["versions"] = versions()
        if is_sweep(folder.path):
            about["sweep"] = read_yaml(folder.path / files.SWEEP)
        files.write_json(path, about)
        yield "about.json: incomplete or missing; written again, without the seconds spent so far"


def _sweep(folder: SweepFolder) -> Iterator[str]:
    path, copy = folder.path / files.SWEEP, folder.about.get("sweep")
    if copy is None:
        return
    try:
        written = folder.sweep.dump()
    except Fault:
        files.write_atomic(path, config.to_yaml(copy))
        yield "sweep.yaml: incomplete or missing; written again from about.json"
        return
    before = validate(Sweep, copy, files.ABOUT).dump()
    if is_before(written, folder.about):
        files.write_atomic(path, config.to_yaml(before))
        yield "sweep.yaml: an extension was interrupted; completed from about.json"
        return
    changed = [key for key in written if written[key] != before[key] and key not in MAY_CHANGE]
    if changed:
        raise ConfigError(
            f"{path}: {', '.join(changed)} was changed since the sweep started, and its trials would not be "
            f"comparable; change it back, or start another sweep: lstm-lab sweep {path}"
        )
    if written != before:
        folder.describe(sweep=written)
        yield f"sweep.yaml: {', '.join(key for key in written if written[key] != before[key])} was changed"


def _trial_rows(folder: SweepFolder) -> Iterator[str]:
    """Make trials.jsonl and the trial.json of each trial agree."""
    path = folder.path / files.TRIALS
    lines = [line for line in path.read_bytes().splitlines() if line.strip()] if path.is_file() else []
    rows = {row["trial"]: row for row in reversed(folder.trial_rows())}
    for name in TRIAL_FILES:
        for copy in sorted((folder.path / "trials").glob(f"t*/{name}")):
            if not _is_incomplete(copy, TrialRow, legacy.trial):
                row = legacy.trial(files.read_json(copy))
                rows.setdefault(row["trial"], row)
    ordered = [rows[key] for key in sorted(rows, key=_number)]
    if [[legacy.trial(row) for row in files.parse_jsonl(line)] for line in lines] != [[row] for row in ordered]:
        files.write_jsonl(path, ordered)
        yield f"trials.jsonl: incomplete, doubled or missing rows; {len(ordered)} trials are known"


def _number(trial: str) -> int:
    return int(trial.removeprefix("t"))


def _trials(folder: SweepFolder) -> Iterator[str]:
    sweep, decided = folder.sweep, {row["trial"]: row["state"] for row in folder.events()}
    removed, base = pruned(folder), sweep.base
    trained = {row["trial"] for row in folder.events() if not str(row["reason"]).endswith(NEVER_STARTED)}
    for row in folder.trial_rows():
        run = folder.run(row["trial"])
        if not run.exists() and not (run.path / files.METRICS).exists():
            if row["trial"] in trained and decided.get(row["trial"]) == "stopped":
                _train_again(folder, run)
                yield f"trials/{row['trial']}: its record is gone; it is trained again"
            continue
        found = [*_experiment(sweep, run, row), *_run(folder, run, base), *_metrics(run, base.monitor)]
        found += _status(run, decided.get(row["trial"]))
        found += [*_lost(folder, run, is_pruned=row["trial"] in removed), *_unusable(run)]
        yield from (f"trials/{row['trial']}/{line}" for line in found)


def _experiment(sweep: Sweep, run: Run, row: Row) -> Iterator[str]:
    path = run.path / files.EXPERIMENT
    try:
        if config.load(path):
            return
    except Fault:
        pass
    lineage = run.lineage()
    overrides = lineage[-1]["overrides"] if lineage else row["overrides"]
    files.write_atomic(path, config.to_yaml(sweep.experiment_for(overrides, row["seed"], row.get("fold")).dump()))
    yield "experiment.yaml: incomplete or missing; written again from the sweep"


def _run(folder: SweepFolder, run: Run, base: Experiment) -> Iterator[str]:
    path = run.path / files.RUN
    if _is_incomplete(path, RunFile, legacy.run):
        path.unlink(missing_ok=True)
        run.describe(
            format=legacy.FORMAT, id=run.path.name, name=run.path.name, created=files.now(), git=git_state(),
            versions=versions(), command=folder.about.get("command", ""), job_type="trial", monitor=base.monitor,
            mode=base.mode,
        )  # fmt: skip
        # The description of the data comes from train() alone: even a finished trial has to pass through it.
        (run.path / files.STATUS).unlink(missing_ok=True)
        yield "run.json: incomplete or missing; written again, and its training continues"


def _status(run: Run, decided: str | None) -> Iterator[str]:
    path = run.path / files.STATUS
    if path.exists() and _is_incomplete(path, StatusFile):
        path.unlink()
        yield f"status.json: incomplete; {f'it was {decided}' if decided else 'its training continues'}"
    elif path.exists() and is_full(run.status.get("reason")):
        path.unlink()
        yield "status.json: failed because the disk was full; its training continues"


def _lost(folder: SweepFolder, run: Run, *, is_pruned: bool) -> Iterator[str]:
    """A trial that has ended needs its rows and, unless it was removed, the checkpoint of its best epoch."""
    rows, best = lost_rows(run), None if is_pruned else lost_best(run)
    if rows is None and best is not None and run.status["state"] == "stopped":
        # Trained again, the scheduler might not stop it where it did; its value does not need the weights.
        yield f"{best}; its record stays"
    elif lost := rows or best:
        _train_again(folder, run)
        yield f"{lost}; it is trained again"


def _unusable(run: Run) -> Iterator[str]:
    """Checkpoints of a trial that has not ended, from which it cannot be resumed, are removed."""
    if run.status["state"] in ENDED or not run.resumable():
        return
    path, epochs, unusable = find_checkpoint(run)
    for bad, error in unusable.items():
        bad.unlink()
        way = f"it is resumed after {epochs} epochs" if path else "it is trained from the beginning"
        yield f"{error.removeprefix(f'{run.path}/')}; {way}"
    if path is None:
        start_over(run)


def _train_again(folder: SweepFolder, run: Run) -> None:
    start_over(run)
    # The driver's decision would stand against the record that is no more.
    folder.decide(run.path.name, "pending", "its record was lost; it is trained again")


def _misplaced(folder: SweepFolder) -> Iterator[str]:
    """Whatever stands where a file or a folder of the record belongs, and is none, is renamed."""
    names = (files.TRIALS, files.EVENTS, files.SUMMARY, files.POPULATION, files.REMOVED, files.WARM,
             files.ENSEMBLES)  # fmt: skip
    wanted = [*((folder.path / name, False) for name in names), (folder.path / "trials", True)]
    for path in (folder.path / "trials").glob("t*"):
        if TRIAL_ID.fullmatch(path.name):
            wanted += [(path, True), (path / files.CHECKPOINTS, True)]
            wanted += [(path / name, False) for name in RUN_FILES]
    for path, is_folder in wanted:
        if new := set_aside(path, folder=is_folder):
            kind = "folder" if is_folder else "file"
            yield f"{path.relative_to(folder.path)}: is no {kind}; renamed to {new.name}"


def _metrics(run: Run, monitor: str) -> Iterator[str]:
    """The metric record holds each epoch once, in order."""
    path = run.path / files.METRICS
    if not path.is_file():
        return
    rows = {row["epoch"]: row for row in run.rows() if {"epoch", "seconds", monitor} <= row.keys()}
    ordered = [rows[epoch] for epoch in sorted(rows)]
    lines = [line for line in path.read_bytes().splitlines() if line.strip()]
    if [files.parse_jsonl(line) for line in lines] != [[row] for row in ordered]:
        files.write_jsonl(path, ordered)
        yield f"metrics.jsonl: incomplete, doubled or foreign rows; {len(ordered)} epochs are complete"


def _is_incomplete(path: Path, shape: type[Shape], upgrade: Callable[[Row], Row] = dict) -> bool:
    """Whether a JSON file lacks something, or holds something else."""
    try:
        return not fits(upgrade(files.read_json(path)), shape)
    except DataError:
        return True
