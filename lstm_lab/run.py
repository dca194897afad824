"""A run: one folder that alone is enough to evaluate, predict, resume.

experiment.yaml    the resolved experiment; `lstm-lab train` accepts it back
run.json           what it was made of: command, code, versions, data digest and facts
metrics.jsonl      one row an epoch, append-only, on disk before anyone is told
status.json        running, finished, stopped, failed or interrupted, and why
checkpoints/       best.ckpt, last.ckpt and the one before it: weights and plain data, never a pickle
tests.jsonl        one row for each time the test part was opened
wandb/             what W&B keeps
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import subprocess
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from lstm_lab import config, legacy
from lstm_lab.config import ConfigError, DataError

State = Literal["running", "finished", "stopped", "failed", "interrupted"]
_DESCRIBING = threading.Lock()
MEASURED = ("samples_per_second", "memory_mib", "seconds")
"""Columns of the record that another execution of the same run measures anew: an epoch's training samples by its whole
time, peak memory, seconds since the beginning."""
PACKAGES = ("lstm-lab", "torch", "pytorch-lightning", "torchmetrics", "ray", "optuna", "wandb", "numpy")


class Run:
    """One execution of an experiment, as its folder.

    Args:
        path: the folder; `Run.create` makes it, `Run.open` insists that it is one.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def id(self) -> str:
        return self.about["id"]

    @classmethod
    def create(cls, path: str | Path, experiment: dict[str, Any], **about: Any) -> Run:
        """A new folder for an experiment given as plain content; the parents are made as needed."""
        run = cls(path)
        if (run.path / "run.json").exists():
            raise ConfigError(f"{run.path}: is a run already; choose another name, or train --resume {run.path}")
        make_folder(run.checkpoints)
        write_atomic(run.path / "experiment.yaml", config.to_yaml(experiment))
        # Last: a folder without it is no run yet, and may be begun again.
        run.describe(id=run.path.name, name=run.path.name, created=now(), git=git_state(), versions=versions(), **about)
        return run

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """The run in a folder.

        Raises:
            ConfigError: there is none.
        """
        run = cls(path)
        if not (run.path / "run.json").is_file():
            raise ConfigError(f"{run.path}: not a run: there is no run.json in it{near_run(run.path)}")
        return run

    # --- what it is ---------------------------------------------------------------------------------------------------

    @property
    def about(self) -> dict[str, Any]:
        """run.json: what is known of it, apart from how it stands."""
        return read_json(self.path / "run.json")

    def describe(self, **fields: Any) -> None:
        """Add to run.json."""
        path = self.path / "run.json"
        with _DESCRIBING:  # W&B's part of a trial may be written beside its scores.
            write_atomic(path, json.dumps({**(read_json(path) if path.exists() else {}), **fields}, indent=1))

    @property
    def experiment(self) -> dict[str, Any]:
        """The resolved experiment, as plain content for `Experiment.of`."""
        return config.load(self.path / "experiment.yaml")

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """The checkpoint of the best epoch by the deciding metric."""
        return self.checkpoints / "best.ckpt"

    def resumable(self) -> list[Path]:
        """Checkpoints to go on from, newest first."""
        return [path for name in ("last.ckpt", "previous.ckpt") if (path := self.checkpoints / name).is_file()]

    # --- the record ---------------------------------------------------------------------------------------------------

    def rows(self) -> list[dict[str, Any]]:
        """The metric record, one row an epoch."""
        return read_jsonl(self.path / "metrics.jsonl")

    def append(self, row: dict[str, Any]) -> None:
        """One row onto the record, on the disk when this returns."""
        append_jsonl(self.path / "metrics.jsonl", row)

    def truncate(self, epochs: int) -> None:
        """Keep the rows of epochs below `epochs`: what a resumed run is about to repeat must not stand twice."""
        kept = [row for row in self.rows() if row["epoch"] < epochs]
        write_atomic(self.path / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in kept))

    def openings(self) -> list[dict[str, Any]]:
        """Each time the test part was opened, with what it showed."""
        return read_jsonl(self.path / "tests.jsonl")

    def lineage(self) -> list[dict[str, Any]]:
        """From which trials of a population it was cloned, at which of its epochs and theirs, and what changed."""
        return [legacy.lineage(row) for row in read_jsonl(self.path / "lineage.jsonl")]

    # --- how it stands ------------------------------------------------------------------------------------------------

    def mark(self, state: State, **more: Any) -> None:
        """Write status.json anew: the state, when, and whatever else is given."""
        write_atomic(self.path / "status.json", json.dumps({"state": state, "at": now(), **more}, indent=1))

    def mark_failed(self, error: BaseException) -> None:
        """Failed, with the line a person needs first and the whole traceback behind it."""
        text = "".join(traceback.format_exception(error))
        first = f"{type(error).__name__}: {error}".splitlines()[0]
        rows = self.rows()
        seconds = rows[-1]["seconds"] if rows else 0.0
        self.mark("failed", reason=first, traceback=text, epochs=len(rows), best=None, seconds=seconds)

    @property
    def status(self) -> dict[str, Any]:
        """status.json; a run that says `running` while nobody holds its lock was killed: interrupted."""
        path = self.path / "status.json"
        status = read_json(path) if path.is_file() else {"state": "interrupted"}
        if status["state"] == "running" and not self.held():
            status = {**status, "state": "interrupted"}
        return status

    @property
    def ended(self) -> bool:
        """Whether nothing is left to train; an interrupted run has not ended."""
        return self.status["state"] in ("finished", "stopped", "failed")

    def held(self) -> bool:
        """Whether some process is at work on it."""
        try:
            with self.lock():
                return False
        except ConfigError:
            return True

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run: two processes writing one record would destroy it."""
        with folder_lock(self.path, "run"):
            yield


@contextmanager
def folder_lock(folder: Path, noun: str) -> Iterator[None]:
    """An exclusive lock that the system takes back when its holder dies, however it dies."""
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(f"{folder}: another process is working on this {noun}; wait for it or end it") from None
        yield


def runs_folder() -> Path:
    """Where runs and sweeps go: `LSTM_LAB_RUNS`, else `runs`."""
    return Path(os.environ.get("LSTM_LAB_RUNS") or "runs")


def make_folder(path: Path) -> None:
    """The folder and its parents, or one line on why not."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be made: {error.strerror}; set LSTM_LAB_RUNS to a folder you can write to"
        ) from None


def claim(stem: str) -> Path:
    """A new empty folder `runs/stem-1`, or with the next number that nobody has: two processes never get the same."""
    make_folder(runs_folder())
    number = 1
    while True:
        path = runs_folder() / f"{stem}-{number}"
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
        else:
            return path


def near_run(path: Path) -> str:
    """A run whose name is close to one that is not there, as the end of a message; else nothing."""
    import difflib

    folder = path.parent if path.parent.is_dir() else runs_folder()
    names = [entry.name for entry in folder.iterdir() if entry.is_dir()] if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, [name for name in names if name != path.name], n=1)
    return f"; did you mean {folder / near[0]}?" if near else ""


def now() -> str:
    """The time now, UTC, as ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_atomic(path: Path, text: str) -> None:
    """All of the text or none of it, whatever dies meanwhile."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def append_jsonl(path: Path, row: dict[str, Any]) -> None:
    """One row onto an append-only file, on the disk when this returns. A torn last line is closed first."""
    with path.open("ab+") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(json.dumps(row).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Rows of a file; a line that a kill tore is no row."""
    return parse_jsonl(path.read_bytes()) if path.is_file() else []


def parse_jsonl(content: bytes) -> list[dict[str, Any]]:
    """Rows of a record; a line that is no JSON object is left out."""
    rows = []
    for line in content.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def read_json(path: Path) -> dict[str, Any]:
    """The content of a JSON file.

    Raises:
        DataError: no such file, or a torn one.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except ValueError:
        raise DataError(f"{path}: torn or not JSON: delete it or bring back a whole copy") from None


@cache
def versions() -> dict[str, str]:
    """Of Python and of every package that decides a number."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def git_state() -> dict[str, Any] | None:
    """Commit of the code and whether it was changed since; None outside a repository or without git."""
    folder = Path(__file__).parent
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()
