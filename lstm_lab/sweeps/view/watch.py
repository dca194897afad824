"""A sweep seen from another shell: what its folder says, and nothing else."""

from __future__ import annotations

import fcntl
import time
from typing import Any

from rich.console import Console

from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.leaderboard import ENDED, Trial
from lstm_lab.sweeps.view.progress import LiveView


class Watched:
    """A view that follows a sweep's record: each look reads what is not known to have ended."""

    def __init__(self, folder: SweepFolder, console: Console) -> None:
        self.folder, self.sweep = folder, folder.sweep
        base = self.sweep.base
        self.view = LiveView(base.monitor, base.mode, self.asked([]), base.trainer.max_epochs, console)
        self.known: set[str] = set()
        """Trials that have ended and were shown."""

    def asked(self, trials: list[dict[str, Any]]) -> int:
        """Trials in all: what the search may ask and what is asked to confirm it."""
        searched = self.sweep.num_configurations * len(self.sweep.seeds)
        if "ended" in self.folder.about:
            searched = sum(row.get("phase", "search") == "search" for row in trials)
        return searched + sum(row.get("phase") == "confirm" for row in trials)

    def look(self, tell: bool) -> None:
        """Bring the view up to date; `tell` says each trial that has ended since the last look."""
        rows = self.folder.trial_rows()
        self.view.asked = self.asked(rows)
        for trial in self.folder.trials(without=self.known):
            if trial.state in ENDED:
                self.known.add(trial.id)
                self._end(trial, tell)
            elif trial.state == "running":
                self._run(trial)
            elif self.view.running.pop(trial.id, None):
                self.view.rows[trial.id]["state"] = trial.state

    def _run(self, trial: Trial) -> None:
        self.view.begin(trial.id, trial.config, trial.seed)
        if trial.epochs:
            # The value is that of the best epoch so far.
            row = {"epoch": trial.epochs - 1, "seconds": trial.seconds, self.view.metric: trial.value}
            self.view.epoch(trial.id, row)

    def _end(self, trial: Trial, tell: bool) -> None:
        if not tell:
            self.view.past(trial)
            return
        self._run(trial)
        self.view.end(trial.id, trial.state, trial.reason)


def watch(folder: SweepFolder, console: Console, *, once: bool = False, every: float = 1.0) -> str:
    """Show how a sweep stands until it ends; returns how that was, in a line.

    Args:
        once: one look, and no waiting.
        every: seconds between two looks.
    """
    watched = Watched(folder, console)
    if once:
        watched.look(tell=False)
        console.print(watched.view.table())
        return said(folder)
    with watched.view:
        # What had ended before is one table; what ends from now on is a line each.
        watched.look(tell=False)
        if not console.is_terminal:
            console.print(watched.view.table())
        while is_running(folder):
            time.sleep(every)
            watched.look(tell=True)
        watched.look(tell=True)
    if console.is_terminal:
        console.print(watched.view.table())
    return said(folder)


def is_running(folder: SweepFolder) -> bool:
    """Whether a process works on a sweep, on this machine or on one that shares its disk and locks."""
    try:
        with (folder.path / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def said(folder: SweepFolder) -> str:
    """How a sweep stands, in a line."""
    if is_running(folder):
        return f"{folder.path}: runs"
    if (folder.path / "summary.json").is_file():
        return f"{folder.path}: has ended; its page: {folder.path / 'report.html'}"
    return f"{folder.path}: nobody works on it; resume with: lstm-lab resume {folder.path}"
