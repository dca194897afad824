"""The names of the files of a record, and how they are read and written: whole or not at all.

A run folder                            A sweep folder
experiment.yaml  resolved experiment    sweep.yaml        resolved sweep
run.json         what it was made of    about.json        command, code state, the sweep as it started
metrics.jsonl    one row per epoch      trials.jsonl      one row per trial, written before it starts
status.json      its state              events.jsonl      decisions of the driver
checkpoints/     best, last, previous   population.jsonl  comparisons of population-based training
tests.jsonl      test evaluations       removed.jsonl     trials whose checkpoints were removed
lineage.jsonl    exploits of a trial    warm.jsonl        results of earlier sweeps for the searcher
examples.json    predictions on samples summary.json      leaderboard and best trial
trial.json       its row of trials.jsonl  best.yaml       the best trial's experiment
wandb/           files of W&B           trials/<id>/      one run folder per trial
report.html      the page               report.html       the page
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lstm_lab.config import ConfigError, DataError

EXPERIMENT, RUN, METRICS, STATUS, TESTS = "experiment.yaml", "run.json", "metrics.jsonl", "status.json", "tests.jsonl"
LINEAGE, EXAMPLES, TRIAL = "lineage.jsonl", "examples.json", "trial.json"
CHECKPOINTS, BEST, LAST, PREVIOUS = "checkpoints", "best.ckpt", "last.ckpt", "previous.ckpt"
SWEEP, ABOUT, TRIALS, EVENTS, SUMMARY = "sweep.yaml", "about.json", "trials.jsonl", "events.jsonl", "summary.json"
POPULATION, REMOVED, WARM, BEST_EXPERIMENT = "population.jsonl", "removed.jsonl", "warm.jsonl", "best.yaml"
REPORT, LOCK = "report.html", "lock"

Row = dict[str, Any]
"""A row of a record: column -> plain value."""


def runs_folder() -> Path:
    """Where runs and sweeps go: `LSTM_LAB_RUNS`, else `runs`."""
    return Path(os.environ.get("LSTM_LAB_RUNS") or "runs")


def make_folder(path: Path) -> None:
    """Make a folder and its parents.

    Raises:
        ConfigError: the folder cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be made: {error.strerror}; set LSTM_LAB_RUNS to a folder you can write to"
        ) from None


def claim(stem: str, folder: Path | None = None) -> Path:
    """Make the empty folder `stem-1`, or the one with the next free number; two processes never get the same.

    Args:
        folder: where; None: below the folder of runs.
    """
    parent = runs_folder() if folder is None else folder
    make_folder(parent)
    number = 1
    while True:
        path = parent / f"{stem}-{number}"
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
        else:
            return path


def similar_run(path: Path) -> str:
    """End of a message about a missing run: a run of a similar name, or nothing."""
    import difflib

    folder = path.parent if path.parent.is_dir() else runs_folder()
    names = [entry.name for entry in folder.iterdir() if entry.is_dir()] if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, [name for name in names if name != path.name], n=1)
    return f"; did you mean {folder / near[0]}?" if near else ""


@contextmanager
def folder_lock(folder: Path, noun: str) -> Iterator[None]:
    """An exclusive lock on a folder, released by the system when its holder dies.

    Args:
        noun: what the folder is, for the message: `run` or `sweep`.

    Raises:
        ConfigError: another process holds it.
    """
    with (folder / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(f"{folder}: another process is working on this {noun}; wait for it or end it") from None
        yield


def now() -> str:
    """The time now, UTC, as ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_atomic(path: Path, text: str) -> None:
    """Write all of the text or none of it, whenever the process dies."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write a JSON file, whole or not at all."""
    write_atomic(path, json.dumps(content, indent=1))


def write_jsonl(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Replace a JSON Lines file, whole or not at all."""
    write_atomic(path, "".join(json.dumps(row) + "\n" for row in rows))


def append_jsonl(path: Path, row: Mapping[str, object]) -> None:
    """Append a row, on the disk when this returns. An incomplete last line is closed first."""
    with path.open("ab+") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(json.dumps(row).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_jsonl(path: Path) -> list[Row]:
    """Rows of a JSON Lines file; empty where there is no file."""
    return parse_jsonl(path.read_bytes()) if path.is_file() else []


def parse_jsonl(content: bytes) -> list[Row]:
    """Rows of JSON Lines; a line that is no JSON object, as a killed process leaves it, is left out."""
    rows = []
    for line in content.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def read_json(path: Path) -> Row:
    """The object in a JSON file.

    Raises:
        DataError: no such file, or an incomplete one.
    """
    try:
        content: Row = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except ValueError:
        raise DataError(f"{path}: incomplete or not JSON: delete it or restore a copy") from None
    return content
