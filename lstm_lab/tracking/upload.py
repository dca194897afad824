"""Runs uploaded to W&B from their record, each whole and under its own id: twice is the same as once."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lstm_lab.config import ConfigError, Fault
from lstm_lab.records import files, links
from lstm_lab.records.run import Run, no_record
from lstm_lab.tracking.server import find_server
from lstm_lab.tracking.tracker import rewrite

NUM_PARALLEL = 4
"""Runs that are uploaded at the same time: most of the time is waiting for replies."""
RECORD = (files.EXPERIMENT, files.METRICS, files.STATUS, files.LINEAGE, files.EXAMPLES, files.DIAGNOSIS, files.TESTS)
"""Files from which a W&B run is written."""


class Unreachable(Fault):
    """W&B cannot be reached, or accepts no key."""


@dataclass(frozen=True)
class Upload:
    """What became of one run."""

    run: Run
    outcome: Literal["uploaded", "unchanged", "training", "failed", "skipped"]
    """`unchanged`: nothing is new since it was last uploaded; `skipped`: the server had stopped answering."""
    reason: str = ""


def sync(paths: Iterable[str | Path] = ()) -> Iterator[Upload]:
    """Upload every run below the paths, runs or sweeps; all runs without any.

    Raises:
        Unreachable: there is no server or no account; nothing was uploaded.
        ConfigError: a folder that is neither a run nor a sweep.
    """
    runs = runs_below(paths)
    if error := find_server().unavailable():
        raise Unreachable(f"sync: {error}; nothing was uploaded, and nothing is lost: the runs are on the disk")
    with tempfile.TemporaryDirectory(prefix="lstm-lab-sync-") as scratch, ThreadPoolExecutor(NUM_PARALLEL) as pool:
        yield from pool.map(lambda numbered: upload(numbered[1], Path(scratch, str(numbered[0]))), enumerate(runs))


def runs_below(paths: Iterable[str | Path]) -> list[Run]:
    """The runs of the paths in order; of a sweep its trials.

    Raises:
        ConfigError: a path that is neither a run nor a sweep.
    """
    found: list[Run] = []
    given = [Path(path) for path in paths]
    for path in given or sorted(each for each in files.runs_folder().glob("*") if each.is_dir()):
        candidates = [Run(path)] if Run(path).exists() else [Run(each) for each in sorted(path.glob("trials/*"))]
        runs = [run for run in candidates if run.exists()]
        if given and not runs and not (path / files.SWEEP).is_file():
            raise no_record(path)
        found += runs
    return found


def upload(run: Run, folder: Path) -> Upload:
    """Write one run again on the server, unless nothing is new since the last time.

    Args:
        folder: for W&B's files; it is made.
    """
    try:
        links.check_links(run.path)
    except ConfigError as fault:
        return Upload(run, "failed", str(fault))
    if run.status["state"] == "running":
        return Upload(run, "training")
    before, server, digest = run.about.get("wandb", {}), find_server(), record_digest(run)
    if before.get("synced") == {"to": server.url, "record": digest}:
        return Upload(run, "unchanged")
    if reason := server.unavailable():
        return Upload(run, "skipped", reason)
    folder.mkdir()
    error = rewrite(run, mode="online", group=run.about.get("group"), folder=folder)
    after = run.about["wandb"]
    if error is not None:
        # The W&B files on the disk are as complete as they were.
        run.describe(wandb={**before, "id": after["id"]})
        return Upload(run, "failed", error)
    run.describe(wandb={**after, "synced": {"to": server.url, "record": digest}})
    return Upload(run, "uploaded")


def record_digest(run: Run) -> str:
    """Of everything in the folder from which the W&B run is written."""
    about = run.about
    digest = hashlib.sha256(str(about.get("rank")).encode())
    if about.get("tags"):
        digest.update(str(about["tags"]).encode())
    for name in RECORD:
        path = run.path / name
        digest.update(path.read_bytes() if path.is_file() else b"-")
        digest.update(b"\0")
    return digest.hexdigest()[:16]
