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
                                        ensembles.jsonl   weights and scores of ensembles
wandb/           files of W&B           trials/<id>/      one run folder per trial
requests.jsonl   pause, stop, kill      requests.jsonl    pause, stop, kill
report.html      the page               report.html       the page
"""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from lstm_lab.config import ConfigError, DataError
from lstm_lab.system.disk import unreadable, unwritable

EXPERIMENT, RUN, METRICS, STATUS, TESTS = "experiment.yaml", "run.json", "metrics.jsonl", "status.json", "tests.jsonl"
LINEAGE, EXAMPLES, EXPLANATION, DIAGNOSIS = "lineage.jsonl", "examples.json", "explanation.json", "diagnosis.json"
CHECKPOINTS, BEST, LAST, PREVIOUS = "checkpoints", "best.ckpt", "last.ckpt", "previous.ckpt"
SWEEP, ABOUT, TRIALS, EVENTS, SUMMARY = "sweep.yaml", "about.json", "trials.jsonl", "events.jsonl", "summary.json"
POPULATION, REMOVED, WARM, BEST_EXPERIMENT = "population.jsonl", "removed.jsonl", "warm.jsonl", "best.yaml"
ENSEMBLES = "ensembles.jsonl"
TRIAL, REPORT, LOCK, REQUESTS = "trial.json", "report.html", "lock", "requests.jsonl"

Row = dict[str, Any]
"""A row of a record: column -> plain value."""

NULLS = "nulls"
"""Key of an object under which `to_json` names the numbers that are not finite."""
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


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
        except OSError as error:
            way = "set LSTM_LAB_RUNS to a folder you can write to, or give another --name"
            raise ConfigError(f"{path}: cannot be made: {error.strerror}; {way}") from None
        else:
            return path


def similar_run(path: Path) -> str:
    """End of a message about a missing run: a run of a similar name, or nothing."""
    import difflib

    folder = path.parent if os.path.isdir(path.parent) else runs_folder()
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.is_dir()]
    except OSError:
        return ""
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
    with _open_lock(folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(f"{folder}: another process is working on this {noun}; wait for it or end it") from None
        yield


def is_locked(folder: Path) -> bool:
    """Whether a process holds the lock on a folder; needs no right to write there."""
    try:
        with (folder / LOCK).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _open_lock(folder: Path) -> IO[str]:
    if (folder / LOCK).is_symlink():
        raise ConfigError(f"{folder / LOCK}: is a symbolic link, and may be anybody's file: remove it")
    try:
        return (folder / LOCK).open("a")
    except OSError as error:
        raise unwritable(folder, error) from None


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Inside, no other process is in the same block for the folder; one that is waited for is quick."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # A file system without locks on folders.
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def now() -> str:
    """The time now, UTC, as ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write all of the content or none of it, whenever the process dies."""
    # A path that is not UTF-8 is written with escapes.
    content = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        with temporary.open("xb") as file:  # Through no link that was there before.
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        error.filename, error.filename2 = str(path), None  # What a person knows the file by.
        raise
    finally:  # On a full disk the rest of it would take the room that the next file needs.
        with suppress(OSError):
            temporary.unlink()


def to_json(content: object, *, indent: int | None = None, ensure_ascii: bool = True) -> str:
    """Plain content as JSON. NaN and infinity, which JSON does not have, become null.

    An object then names them under `nulls`, each with its keys and the reason; `from_json` restores them.

    >>> to_json({"loss": 0.5, "auroc": math.nan})
    '{"loss": 0.5, "auroc": null, "nulls": [{"at": ["auroc"], "reason": "NaN"}]}'
    """
    nulls: list[Row] = []
    plain = _finite(content, [], nulls)
    if nulls and isinstance(plain, dict):
        plain[NULLS] = nulls
    return json.dumps(plain, indent=indent, ensure_ascii=ensure_ascii, allow_nan=False)


def _finite(content: object, at: list[str | int], nulls: list[Row]) -> object:
    """A copy of the content with null for every number that is not finite; `nulls` gets where it was, and what."""
    if isinstance(content, float) and not math.isfinite(content):
        nulls.append({"at": at, "reason": "NaN" if math.isnan(content) else "Infinity" if content > 0 else "-Infinity"})
        return None
    if isinstance(content, Mapping):
        return {key: _finite(value, [*at, key], nulls) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value, [*at, index], nulls) for index, value in enumerate(content)]
    return content


def from_json(text: str | bytes) -> Any:
    """Content of JSON that `to_json`, or an earlier version, has written: numbers that are not finite are restored.

    Raises:
        ValueError: not JSON.
    """
    content = json.loads(text)
    # Half of a surrogate pair could be read, but not printed or written again.
    if (b"\\ud" in text.lower()) if isinstance(text, bytes) else ("\\ud" in text.lower()):
        content = json.loads(json.dumps(content, ensure_ascii=False).encode(errors="replace"))
    nulls = content.pop(NULLS, None) if isinstance(content, dict) else None
    for null in nulls if isinstance(nulls, list) else ():
        try:
            *outer, last = null["at"]
            inside = content
            for key in outer:
                inside = inside[key]
            if inside[last] is None:
                inside[last] = _NOT_FINITE[null["reason"]]
        except (TypeError, LookupError, ValueError):
            continue  # Edited by hand: the null stays.
    return content


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write a JSON file, whole or not at all."""
    write_atomic(path, to_json(content, indent=1))


def overwrite_json(path: Path, content: Mapping[str, object]) -> None:
    """Write a JSON file in its own place: not whole or not at all, but with no more room than it has already."""
    with path.open("r+b") as file:
        file.write(to_json(content).encode())
        file.truncate()
        os.fsync(file.fileno())


def write_jsonl(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Replace a JSON Lines file, whole or not at all."""
    write_atomic(path, "".join(to_json(row) + "\n" for row in rows))


def append_jsonl(path: Path, row: Mapping[str, object]) -> None:
    """Append a row, on the disk when this returns. An incomplete last line is closed first."""
    with path.open("ab+") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(to_json(row).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_jsonl(path: Path) -> list[Row]:
    """Rows of a JSON Lines file; empty where there is no file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return parse_jsonl(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unreadable(path, error) from None


def parse_jsonl(content: bytes) -> list[Row]:
    """Rows of JSON Lines; a line that is no JSON object, as a killed process leaves it, is left out."""
    rows = []
    for line in content.splitlines():
        try:
            row = from_json(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def read_json(path: Path) -> Row:
    """The object in a JSON file.

    Raises:
        DataError: no such file, or an incomplete one, or one that cannot be read.
    """
    try:
        content = from_json(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise unreadable(path, error) from None
    except (ValueError, RecursionError):
        raise DataError(f"{path}: incomplete or not JSON: delete it or restore a copy") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds no JSON object: delete it or restore a copy")
    return content


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        DataError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise unreadable(path, error) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start}): restore a copy") from None
