"""Runs that others logged with W&B offline, read with W&B's own reader (`wandb leet inspect`)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lstm_lab.config import DataError
from lstm_lab.files import Row
from lstm_lab.records import RunRecord, finite

SECONDS, AT_ONCE = 120, 4
"""Patience with one run, and readers at once."""


def read_wandb(folder: Path) -> list[RunRecord]:
    """Every run below a folder, in the order of their beginnings; pieces of one run that was resumed are joined.

    Raises:
        DataError: there is no such folder, no run in it, or none that can be read.
    """
    if not folder.exists():
        raise DataError(f"{folder}: no such folder")
    files = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*.wandb") if path.is_file())
    if not files:
        raise DataError(f"{folder}: no W&B run below it: files end in .wandb, as in wandb/offline-run-*/")
    seen: dict[Path, Path] = {}
    for file in files:  # latest-run is a link to one of the others.
        seen.setdefault(file.resolve(), file)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        segments = [found for found in pool.map(_segment, seen.values()) if found]
    if not segments:
        raise DataError(f"{folder}: none of its {len(seen)} .wandb files holds a run that can be read")
    runs: dict[str, list[Row]] = {}
    for segment in sorted(segments, key=lambda segment: segment["run"].get("start_time") or ""):
        runs.setdefault(segment["run"].get("run_id") or str(segment["path"]), []).append(segment)
    return [_joined(parts) for parts in runs.values()]


def _segment(path: Path) -> Row | None:
    """What one file holds: the run, its nested config, the rows of its history, and how it ended."""
    try:
        said = subprocess.run(
            [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)],
            capture_output=True, timeout=SECONDS, stdin=subprocess.DEVNULL, check=False,
        ).stdout  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataError(f"{path}: W&B's reader did not answer ({type(error).__name__})") from None
    found: Row = {"path": path, "run": {}, "config": {}, "rows": [], "exit": None}
    for line in said.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # Torn by a kill.
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


def _joined(parts: list[Row]) -> RunRecord:
    """One run from its pieces, oldest first; a step that was logged again counts as it was logged last."""
    config: Row = {}
    steps: dict[Any, Row] = {}
    for part in parts:
        _merge(config, part["config"])
        for place, row in enumerate(part["rows"]):
            step = row.get("_step", f"{place}")
            steps[step] = {**steps.get(step, {}), **row}
    first, last = parts[0], parts[-1]
    ended = last["exit"]
    return RunRecord(
        path=first["path"],
        about={
            "id": first["run"].get("run_id"), "name": first["run"].get("display_name") or first["run"].get("run_id"),
            "created": first["run"].get("start_time"), "group": first["run"].get("run_group"), "config": config,
            "project": first["run"].get("project"),
        },
        state="interrupted" if ended is None else "finished" if ended == 0 else "failed",
        reason=f"it ended with exit code {ended}" if ended else None,
        rows=list(steps.values()),
    )  # fmt: skip


def by_epoch(rows: Iterable[Row], metric: str) -> list[Row]:
    """Rows that hold a metric, as our record has them: with an epoch, and the seconds since the beginning."""
    held = [row for row in rows if finite(row.get(metric))]
    counted = all(finite(row.get("epoch")) for row in held)
    return [
        {**row, "epoch": row["epoch"] if counted else place, "seconds": row.get("_runtime", row.get("seconds"))}
        for place, row in enumerate(held)
    ]
