"""What a crash, a full disk or a hand has done to a sweep's folder, put right before it is gone on with.

Everything is written in two places, so that one can be torn: the sweep in sweep.yaml and about.json, each trial in
trials.jsonl and its own asked.json. What was trained is in the trial's own folder, and is trained again only where no
checkpoint of it can be read.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lstm_lab import config
from lstm_lab.config import ConfigError, DataError, Fault
from lstm_lab.experiment import Experiment
from lstm_lab.run import Run, git_state, now, parse_jsonl, read_json, versions, write_atomic
from lstm_lab.sweep.space.domains import Overrides
from lstm_lab.sweep.spec import Sweep
from lstm_lab.sweep.store.folder import ASKED, SweepFolder, is_sweep
from lstm_lab.sweep.store.retention import is_full, pruned

MAY_CHANGE = ("num_samples", "budget", "resources", "patience_trials", "keep_checkpoints")
"""Keys of a sweep that may be edited between two sittings: how long it goes on and on what, not what it asks."""


def mend(path: str | Path) -> list[str]:
    """Put a sweep's folder right; what was found, a line each.

    Raises:
        ConfigError: another process works on it, it is read-only, or its sweep.yaml asks another question now.
    """
    folder = SweepFolder(path)
    if not (folder.path / "about.json").is_file() and not is_sweep(folder.path):
        return []
    try:
        with folder.lock():
            found = [*_about(folder), *_sweep(folder)]
            if is_sweep(folder.path):
                found += [*_asked(folder), *_trials(folder)]
            return found
    except OSError as error:
        raise ConfigError(
            f"{folder.path}: cannot be written: {error.strerror}; a sweep goes on where it lies"
        ) from None


def _about(folder: SweepFolder) -> Iterator[str]:
    path = folder.path / "about.json"
    if _torn(path):
        about: dict[str, Any] = {"name": folder.name, "created": now(), "git": git_state(), "versions": versions()}
        if is_sweep(folder.path):
            about["sweep"] = config.load(folder.path / "sweep.yaml")
        write_atomic(path, json.dumps(about, indent=1))
        yield "about.json: torn or gone; written anew, without the seconds spent so far"


def _sweep(folder: SweepFolder) -> Iterator[str]:
    path, kept = folder.path / "sweep.yaml", folder.about.get("sweep")
    if kept is None:
        return
    try:
        written = config.validate(Sweep, config.load(path), str(path)).dump()
    except Fault:
        write_atomic(path, config.to_yaml(kept))
        yield "sweep.yaml: torn or gone; written again from about.json"
        return
    before = config.validate(Sweep, kept, "about.json").dump()
    changed = [key for key in written if written[key] != before[key] and key not in MAY_CHANGE]
    if changed:
        raise ConfigError(
            f"{path}: {', '.join(changed)} was changed since the sweep began, and its trials would answer two "
            f"questions; write it back, or begin another: lstm-lab sweep {path}"
        )
    if written != before:
        folder.describe(sweep=written)
        yield f"sweep.yaml: {', '.join(key for key in written if written[key] != before[key])} was changed"


def _asked(folder: SweepFolder) -> Iterator[str]:
    """trials.jsonl and the asked.json of each trial, made to agree."""
    path = folder.path / "trials.jsonl"
    lines = [line for line in path.read_bytes().splitlines() if line.strip()] if path.is_file() else []
    rows = {row["trial"]: row for row in reversed(folder.asked())}
    for kept in sorted((folder.path / "trials").glob("t*/asked.json")):
        if not _torn(kept) and (row := read_json(kept)).keys() >= ASKED:
            rows.setdefault(row["trial"], row)
    ordered = [rows[key] for key in sorted(rows, key=_number)]
    if [parse_jsonl(line) for line in lines] != [[row] for row in ordered]:
        write_atomic(path, "".join(json.dumps(row) + "\n" for row in ordered))
        yield f"trials.jsonl: torn, doubled or gone rows; {len(ordered)} trials are known"


def _number(trial: str) -> int:
    return int(trial.removeprefix("t"))


def _trials(folder: SweepFolder) -> Iterator[str]:
    sweep, decided = folder.sweep, {row["trial"]: row["state"] for row in folder.decided()}
    removed, base = pruned(folder), sweep.base
    for row in folder.asked():
        run = folder.run(row["trial"])
        if not (run.path / "run.json").exists() and not (run.path / "metrics.jsonl").exists():
            continue
        found = [*_experiment(sweep, run, row), *_about_run(folder, run, base), *_rows(run, base.monitor)]
        found += _status(run, decided.get(row["trial"]))
        if row["trial"] not in removed:
            found += _best(run)
        yield from (f"trials/{row['trial']}/{line}" for line in found)


def _experiment(sweep: Sweep, run: Run, row: dict[str, Any]) -> Iterator[str]:
    path = run.path / "experiment.yaml"
    try:
        if config.load(path):
            return
    except Fault:
        pass
    write_atomic(path, config.to_yaml(sweep.experiment_for(_settings(run, row), row["seed"]).dump()))
    yield "experiment.yaml: torn or gone; written again from the sweep"


def _about_run(folder: SweepFolder, run: Run, base: Experiment) -> Iterator[str]:
    path = run.path / "run.json"
    if _torn(path):
        path.unlink(missing_ok=True)
        run.describe(
            id=run.path.name, name=run.path.name, created=now(), git=git_state(), versions=versions(),
            command=folder.about.get("command", ""), job_type="trial", monitor=base.monitor, mode=base.mode,
        )  # fmt: skip
        # What the data was, train() alone can tell; a trial that is through goes there only to say it.
        (run.path / "status.json").unlink(missing_ok=True)
        yield "run.json: torn or gone; written again, and its training goes on"


def _status(run: Run, decided: str | None) -> Iterator[str]:
    path = run.path / "status.json"
    if path.exists() and _torn(path):
        path.unlink()
        yield f"status.json: torn; {f'it was {decided}' if decided else 'its training goes on'}"
    elif path.exists() and is_full(run.status.get("reason")):
        path.unlink()
        yield "status.json: failed for want of disk; its training goes on"


def _best(run: Run) -> Iterator[str]:
    """A trial that has ended has the checkpoint that earned its value."""
    state = run.status["state"]
    if state not in ("finished", "stopped") or zipfile.is_zipfile(run.best) or not run.rows():
        return
    if state == "stopped":
        yield "checkpoints/best.ckpt: torn or gone; its record stays"
        return
    shutil.rmtree(run.checkpoints, ignore_errors=True)
    run.checkpoints.mkdir()
    (run.path / "status.json").unlink()
    yield "checkpoints/best.ckpt: torn or gone; it is trained again"


def _settings(run: Run, row: dict[str, Any]) -> Overrides:
    lineage = run.lineage()
    return lineage[-1]["overrides"] if lineage else row["overrides"]


def _rows(run: Run, monitor: str) -> Iterator[str]:
    """The metric record: each epoch once, in order."""
    path = run.path / "metrics.jsonl"
    if not path.is_file():
        return
    rows = {row["epoch"]: row for row in run.rows() if {"epoch", "seconds", monitor} <= row.keys()}
    ordered = [rows[epoch] for epoch in sorted(rows)]
    lines = [line for line in path.read_bytes().splitlines() if line.strip()]
    if [parse_jsonl(line) for line in lines] != [[row] for row in ordered]:
        write_atomic(path, "".join(json.dumps(row) + "\n" for row in ordered))
        yield f"metrics.jsonl: torn, doubled or foreign rows; {len(ordered)} epochs are whole"


def _torn(path: Path) -> bool:
    try:
        return not isinstance(read_json(path), dict)
    except DataError:
        return True
