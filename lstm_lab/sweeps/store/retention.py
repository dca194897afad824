"""Checkpoints that a sweep need not keep are removed; a full disk is no trial's failure."""

from __future__ import annotations

from collections.abc import Sequence

from lstm_lab.records import files
from lstm_lab.sweeps.objectives import SINGLE, Criteria
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.leaderboard import Configuration, Trial, leaderboard
from lstm_lab.sweeps.store.record import read_rows
from lstm_lab.sweeps.store.shapes import RemovedRow
from lstm_lab.system import disk


class CheckpointRetention:
    """Keeps the checkpoints of the best configurations.

    A configuration that was dropped never comes back, because the better ones before it only become more.

    Args:
        top: how many configurations keep their checkpoints.
        mode: min or max: which end of the monitored metric is better.
        criteria: constraints on metrics, which the best configurations keep.
    """

    def __init__(self, folder: SweepFolder, top: int, mode: str, criteria: Criteria = SINGLE) -> None:
        self.folder, self.top, self.mode, self.criteria = folder, top, mode, criteria
        self.best: list[Configuration] = []
        self.removed = pruned(folder)

    def add(self, trials: Sequence[Trial]) -> None:
        """All trials of a configuration have ended; the worst configuration beyond `top` loses its checkpoints."""
        known = [trial for row in self.best for trial in row.trials]
        ranked = leaderboard([*known, *trials], self.mode, self.criteria)
        self.best = ranked[: self.top]
        for row in ranked[self.top :]:
            for trial in row.trials:
                self._remove(trial)

    def _remove(self, trial: Trial) -> None:
        checkpoints = sorted(self.folder.run(trial.id).checkpoints.glob("*.ckpt"))
        if trial.id in self.removed or not checkpoints:
            return
        # best.ckpt is often last.ckpt under another name: counted once.
        sizes = {(stat := path.stat()).st_ino: stat.st_size for path in checkpoints}
        row = {
            "trial": trial.id, "bytes": sum(sizes.values()), "files": [path.name for path in checkpoints],
            "at": files.now(),
        }  # fmt: skip
        # Recorded first: a repair would train a trial again whose checkpoints are missing without a record.
        files.append_jsonl(self.folder.path / files.REMOVED, row)
        self.removed.add(trial.id)
        for path in checkpoints:
            path.unlink(missing_ok=True)


def pruned(folder: SweepFolder) -> set[str]:
    """Trials whose checkpoints were removed."""
    return {row["trial"] for row in read_rows(folder.path / files.REMOVED, RemovedRow)}


def removed(folder: SweepFolder) -> dict[str, int]:
    """How many trials lost their checkpoints, and the bytes that were freed."""
    rows = {row["trial"]: row["bytes"] for row in read_rows(folder.path / files.REMOVED, RemovedRow)}
    return {"trials": len(rows), "bytes": sum(rows.values())}


def is_full(reason: object) -> bool:
    """Whether a trial failed because the disk was full: not its own failure, and no other trial would survive it."""
    return any(str(reason).startswith(f"OSError: [Errno {code}]") for code in disk.FULL)
