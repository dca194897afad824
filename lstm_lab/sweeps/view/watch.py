"""The progress of a sweep that another process runs, read from its folder."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console

from lstm_lab.records import files
from lstm_lab.records.files import Row
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.leaderboard import ENDED, Trial
from lstm_lab.sweeps.view.progress import SweepProgress


class FolderProgress:
    """The progress of a sweep by its record; each poll reads only the trials that had not ended at the one before."""

    def __init__(self, folder: SweepFolder, console: Console) -> None:
        self.folder, self.sweep = folder, folder.sweep
        base = self.sweep.base
        self.view = SweepProgress(
            base.monitor,
            base.mode,
            self._total([]),
            base.trainer.max_epochs,
            console,
            base.trainer.select,
            self.sweep.criteria,
        )
        self.ended: set[str] = set()
        """Trials that have ended and were shown."""

    def _total(self, rows: Sequence[Row]) -> int:
        """Trials of the search, at most or if it has ended as they are, and those that confirm it."""
        confirming = len([row for row in rows if row.get("phase") == "confirm"])
        if "ended" in self.folder.about:
            return len(rows)
        return self.sweep.num_configurations * len(self.sweep.repeats) + confirming

    def poll(self, print_ended: bool) -> None:
        """Read the record.

        Args:
            print_ended: print a line for each trial that has ended since the last poll.
        """
        self.view.total = self._total(self.folder.trial_rows())
        for trial in self.folder.trials(without=self.ended):
            if trial.state in ENDED:
                self.ended.add(trial.id)
                if print_ended:
                    self._update(trial)
                    self.view.judge(trial)
                    self.view.end_trial(trial.id, trial.state, trial.reason)
                else:
                    self.view.add_ended(trial)
            elif trial.state == "running":
                self._update(trial)
            else:
                self.view.suspend_trial(trial.id, trial.state)

    def _update(self, trial: Trial) -> None:
        self.view.start_trial(trial.id, trial.config, trial.repeat)
        if trial.epochs:
            # The value is that of the epoch that counts so far.
            row = {"epoch": trial.epochs - 1, "seconds": trial.seconds, self.view.metric: trial.value}
            self.view.report_epoch(trial.id, row)


def watch(folder: SweepFolder, console: Console, *, once: bool = False, interval: float = 1.0) -> str:
    """Show the progress of a sweep until it ends.

    Args:
        once: show it once and return.
        interval: seconds between two polls.

    Returns:
        The state of the sweep in one line.
    """
    progress = FolderProgress(folder, console)
    if once:
        progress.poll(print_ended=False)
        console.print(progress.view.table())
        return state(folder)
    with progress.view:
        # Trials that had ended before are one table; those that end from now on are a line each.
        progress.poll(print_ended=False)
        if not console.is_terminal:
            console.print(progress.view.table())
        while is_running(folder):
            time.sleep(interval)
            progress.poll(print_ended=True)
        progress.poll(print_ended=True)
    if console.is_terminal:
        console.print(progress.view.table())
    return state(folder)


def is_running(folder: SweepFolder) -> bool:
    """Whether a process runs a sweep, on this machine or on one that shares its disk and file locks."""
    return files.is_locked(folder.path)


def state(folder: SweepFolder) -> str:
    """The state of a sweep in one line."""
    if is_running(folder):
        return f"{folder.path}: running"
    if (folder.path / files.SUMMARY).is_file():
        return f"{folder.path}: finished; report: {folder.path / files.REPORT}"
    return f"{folder.path}: interrupted; resume with: lstm-lab resume {folder.path}"
