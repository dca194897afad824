"""Runs sent to W&B from their record, each whole and under its own id: again is the same as once."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lstm_lab.config import ConfigError, Fault
from lstm_lab.files import runs_folder, similar_run
from lstm_lab.run import Run
from lstm_lab.tracking.server import server
from lstm_lab.tracking.tracker import rewrite

AT_ONCE = 4
"""Runs that are sent side by side: most of the time is waiting for answers."""
RECORD = ("experiment.yaml", "metrics.jsonl", "status.json", "lineage.jsonl", "examples.json", "tests.jsonl")


class Unreachable(Fault):
    """W&B cannot be reached, or takes no key."""


@dataclass(frozen=True)
class Sent:
    """What became of one run."""

    run: Run
    outcome: Literal["sent", "there", "training", "failed", "left"]
    """`there`: as it is since it was last sent; `left`: the server had gone away before its turn."""
    reason: str = ""


def sync(paths: Iterable[str | Path] = ()) -> Iterator[Sent]:
    """Send every run below the folders, runs or sweeps; all of them without any.

    Raises:
        Unreachable: there is no server or no account; nothing was sent.
        ConfigError: a folder that is neither run nor sweep.
    """
    runs = runs_below(paths)
    where = server()
    if refusal := where.refusal():
        raise Unreachable(f"sync: {refusal}; nothing was sent, and nothing is lost: the runs are on the disk")
    with tempfile.TemporaryDirectory(prefix="lstm-lab-sync-") as scratch, ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(lambda numbered: send(numbered[1], Path(scratch, str(numbered[0]))), enumerate(runs))


def runs_below(paths: Iterable[str | Path]) -> list[Run]:
    """The runs of the folders in order; of a sweep its trials."""
    found: list[Run] = []
    given = [Path(path) for path in paths]
    for path in given or sorted(each for each in runs_folder().glob("*") if each.is_dir()):
        below = [path] if (path / "run.json").is_file() else sorted(path.glob("trials/*"))
        runs = [Run(each) for each in below if (each / "run.json").is_file()]
        if given and not runs and not (path / "sweep.yaml").is_file():
            raise ConfigError(f"{path}: neither a run nor a sweep{similar_run(path)}")
        found += runs
    return found


def send(run: Run, folder: Path) -> Sent:
    """Write one run anew on the server, unless what is there says the same."""
    if run.status["state"] == "running":
        return Sent(run, "training")
    before, where, said = run.about.get("wandb", {}), server(), fingerprint(run)
    if before.get("synced") == {"to": where.url, "record": said}:
        return Sent(run, "there")
    if where.refusal():
        return Sent(run, "left", where.refusal())
    folder.mkdir()
    error = rewrite(run, mode="online", group=run.about.get("group"), folder=folder)
    told = run.about["wandb"]
    if error is not None:
        # What W&B has of it on the disk is as whole as it was.
        run.describe(wandb={**before, "id": told["id"]})
        return Sent(run, "failed", error)
    run.describe(wandb={**told, "synced": {"to": where.url, "record": said}})
    return Sent(run, "sent")


def fingerprint(run: Run) -> str:
    """Of all in the folder that W&B is told."""
    digest = hashlib.sha256(str(run.about.get("rank")).encode())
    for name in RECORD:
        path = run.path / name
        digest.update(path.read_bytes() if path.is_file() else b"-")
        digest.update(b"\0")
    return digest.hexdigest()[:16]
