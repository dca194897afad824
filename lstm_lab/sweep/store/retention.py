"""Disks are finite: checkpoints that a sweep need not keep are removed, and a full disk is nobody's failure."""

from __future__ import annotations

import errno

from lstm_lab.run import append_jsonl, now, read_jsonl
from lstm_lab.sweep.store.folder import SweepFolder
from lstm_lab.sweep.store.leaderboard import Ranked, Trial, leaderboard


class Shelf:
    """Keeps the checkpoints of the best points; told of each point that is through with all of its seeds.

    A point that fell out never comes back, for those before it only become more.
    """

    def __init__(self, folder: SweepFolder, points: int, mode: str) -> None:
        self.folder, self.points, self.mode = folder, points, mode
        self.kept: list[Ranked] = []
        self.gone = pruned(folder)

    def place(self, rows: list[Trial]) -> None:
        """A point has ended; the worst of those that are too many loses its checkpoints."""
        standing = [trial for row in self.kept for trial in row.trials]
        ranked = leaderboard([*standing, *rows], self.mode)
        self.kept = ranked[: self.points]
        for row in ranked[self.points :]:
            for trial in row.trials:
                self._remove(trial)

    def _remove(self, trial: Trial) -> None:
        files = sorted(self.folder.run(trial.id).checkpoints.glob("*.ckpt"))
        if trial.id in self.gone or not files:
            return
        # best.ckpt is often last.ckpt under another name: counted once.
        sizes = {(stat := file.stat()).st_ino: stat.st_size for file in files}
        # Written down first: what is missing without a word would be mended by training again.
        row = {"trial": trial.id, "bytes": sum(sizes.values()), "files": [file.name for file in files], "at": now()}
        append_jsonl(self.folder.path / "removed.jsonl", row)
        self.gone.add(trial.id)
        for file in files:
            file.unlink(missing_ok=True)


def pruned(folder: SweepFolder) -> set[str]:
    """Trials whose checkpoints were removed."""
    return {row["trial"] for row in read_jsonl(folder.path / "removed.jsonl")}


def removed(folder: SweepFolder) -> dict[str, int]:
    """How many trials lost their checkpoints, and the bytes that were freed."""
    rows = {row["trial"]: row["bytes"] for row in read_jsonl(folder.path / "removed.jsonl")}
    return {"trials": len(rows), "bytes": sum(rows.values())}


def is_full(reason: object) -> bool:
    """Whether a trial failed for want of disk: nothing that it did, and nothing that another trial would survive."""
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return any(str(reason).startswith(f"OSError: [Errno {code}]") for code in codes)
