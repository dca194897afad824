"""Runs that any code logged with W&B offline, read with W&B's own reader (`wandb leet inspect`)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lstm_lab.config import DataError
from lstm_lab.records.files import Row
from lstm_lab.records.run_record import RunRecord, finite

TIMEOUT_SECONDS, MAX_WORKERS = 120, 4


def read_wandb(folder: Path) -> list[RunRecord]:
    """Every run below a folder, in the order of their start; segments of a run that was resumed are joined.

    Raises:
        DataError: there is no such folder, no run in it, or none that can be read.
    """
    if not folder.exists():
        raise DataError(f"{folder}: no such folder")
    files = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*.wandb") if path.is_file())
    if not files:
        raise DataError(f"{folder}: no W&B run below it: files end in .wandb, as in wandb/offline-run-*/")
    unique: dict[Path, Path] = {}
    for file in files:  # latest-run is a link to one of the others.
        unique.setdefault(file.resolve(), file)
    with ThreadPoolExecutor(MAX_WORKERS) as pool:
        segments = [segment for segment in pool.map(_read_segment, unique.values()) if segment]
    if not segments:
        raise DataError(f"{folder}: none of its {len(unique)} .wandb files holds a run that can be read")
    runs: dict[str, list[Row]] = {}
    for segment in sorted(segments, key=lambda segment: segment["run"].get("start_time") or ""):
        runs.setdefault(segment["run"].get("run_id") or str(segment["path"]), []).append(segment)
    return [join_segments(segments) for segments in runs.values()]


def _read_segment(path: Path) -> Row | None:
    """Content of one file: the run, its nested config, the rows of its history, and its exit code."""
    try:
        output = subprocess.run(
            [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)],
            capture_output=True, timeout=TIMEOUT_SECONDS, stdin=subprocess.DEVNULL, check=False,
        ).stdout  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataError(f"{path}: W&B's reader failed ({type(error).__name__})") from None
    found: Row = {"path": path, "run": {}, "config": {}, "rows": [], "exit": None}
    for line in output.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # Incomplete, as a killed process leaves it.
        kind = row.get("type")
        if kind == "run":
            found["run"] = {**found["run"], **row["run"]}
            _merge(found["config"], (row["run"].get("config") or {}).get("update") or {})
        elif kind == "config":
            _merge(found["config"], row["config"].get("update") or {})
        elif kind == "history":
            found["rows"].append(row["history"].get("item") or {})
        elif kind == "exit":
            found["exit"] = row["exit"].get("exit_code", 0)
    return found if found["run"] else None


def _merge(into: Row, update: Row) -> None:
    for key, value in update.items():
        if key.startswith("_wandb"):
            continue
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def join_segments(segments: list[Row]) -> RunRecord:
    """One run from its segments, oldest first; a step that was logged again counts as it was logged last."""
    config: Row = {}
    steps: dict[object, Row] = {}
    for segment in segments:
        _merge(config, segment["config"])
        for index, row in enumerate(segment["rows"]):
            step = row.get("_step", f"{index}")
            steps[step] = {**steps.get(step, {}), **row}
    first, last = segments[0], segments[-1]
    exit_code = last["exit"]
    return RunRecord(
        path=first["path"],
        about={
            "id": first["run"].get("run_id"), "name": first["run"].get("display_name") or first["run"].get("run_id"),
            "created": first["run"].get("start_time"), "group": first["run"].get("run_group"), "config": config,
            "project": first["run"].get("project"),
        },
        state="interrupted" if exit_code is None else "finished" if exit_code == 0 else "failed",
        reason=f"it ended with exit code {exit_code}" if exit_code else None,
        rows=list(steps.values()),
    )  # fmt: skip


def by_epoch(rows: Iterable[Row], metric: str) -> list[Row]:
    """Rows that have a metric, in the form of metrics.jsonl: with an epoch, and the seconds since the start."""
    measured = [row for row in rows if finite(row.get(metric))]
    has_epochs = all(finite(row.get("epoch")) for row in measured)
    return [
        {**row, "epoch": row["epoch"] if has_epochs else index, "seconds": row.get("_runtime", row.get("seconds"))}
        for index, row in enumerate(measured)
    ]
