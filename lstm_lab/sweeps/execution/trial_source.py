"""What a sweep still asks: the trials of its search, and those that confirm the best points of it.

All of it is worked out from the record, so that a process that was killed is gone on with by asking again.
"""

from __future__ import annotations

import json
import os
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable
from functools import cached_property
from statistics import mean
from typing import Any, ClassVar

from ray.tune.search import Searcher as TuneSearcher

from lstm_lab.sweeps.schedulers import PopulationScheduler, Scheduler
from lstm_lab.sweeps.schedulers.fifo import FIFO
from lstm_lab.sweeps.space.domains import Overrides
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.leaderboard import ENDED, Trial, confirmation, leaderboard
from lstm_lab.sweeps.store.retention import CheckpointRetention
from lstm_lab.tasks.base import better
from lstm_lab.tracking import Mode


class NotPickled:
    """Tune pickles all that it is given and never reads it back here: there is nothing worth keeping in a pickle."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class TrialSource(NotPickled, TuneSearcher):
    """Hands Tune one trial after another: first those that an earlier process left unfinished, then new ones.

    Args:
        interrupted: set by Ctrl-C.
        clock: seconds that the sweep has taken, over interruptions.
    """

    phase: ClassVar[str]

    def __init__(
        self, folder: SweepFolder, wandb: Mode, interrupted: threading.Event, clock: Callable[[], float]
    ) -> None:
        self.folder, self.sweep, self.wandb = folder, folder.sweep, wandb
        self.interrupted, self.clock = interrupted, clock
        self.base = self.sweep.base
        super().__init__(metric=self.base.monitor, mode=self.base.mode)
        self.command = folder.about.get("command", "")
        self.storage = folder.about.get("storage")
        self.ids: dict[str, str] = {}
        """Tune's id of a trial -> ours."""
        self.over: str | None = None
        """Why no trial goes on."""
        self.halt: str | None = None
        """Why nothing goes on for now: no room on the disk."""
        self.total, self.left = 0, 0
        """Trials in all, and those that have not ended."""
        trials = self.trials()
        self.waiting = [(t.id, t.configuration, t.seed, t.overrides) for t in trials if t.state not in ENDED]
        self.prepare(trials)

    @abstractmethod
    def prepare(self, trials: list[Trial]) -> None:
        """Work out `total` and `left` from what is on the record."""

    @cached_property
    def scheduler(self) -> Scheduler:
        """That of this phase."""
        return self.sweep.build_scheduler()

    def trials(self) -> list[Trial]:
        """Those of this phase."""
        return [trial for trial in self.folder.trials() if trial.phase == self.phase]

    def enter(self, point: int, overrides: Overrides, seeds: Iterable[int]) -> None:
        """Ask for a point once with each seed."""
        for seed in seeds:
            ours = self.folder.add_trial(point, seed, overrides, self.phase)
            self.waiting.append((ours, point, seed, overrides))

    def more(self) -> bool:
        """Enter new trials, if there are to be any."""
        return False

    def suggest(self, trial_id: str) -> Any:
        """The config of Tune's next trial; FINISHED where there is none."""
        if self.over or (not self.waiting and not self.more()):
            return TuneSearcher.FINISHED
        ours, _, seed, overrides = self.waiting.pop(0)
        self.ids[trial_id] = ours
        return {
            "trial": ours,
            "folder": str(self.folder.path.resolve()),
            "group": self.folder.name,
            # As text: Tune flattens and merges whatever has keys.
            "experiment": json.dumps(self.sweep.experiment_for(overrides, seed).dump()),
            "overrides": json.dumps(overrides),
            "seed": seed,
            "wandb": self.wandb,
            "command": self.command,
            "resources": self.sweep.resources.model_dump(),
            "storage": self.storage,
            # Of a cluster's nodes, whose own environment is another.
            "environment": {name: value for name, value in os.environ.items() if name.startswith("LSTM_LAB_")},
            # How many must have begun before any of them trains.
            "together": self.total if isinstance(self.scheduler, PopulationScheduler) else 0,
            "decision_epochs": self.decision_epochs(),
        }

    def decision_epochs(self) -> list[int] | None:
        """After how many epochs a trial waits for an answer; None: after each."""
        if self.sweep.budget is not None and self.sweep.budget.epochs is not None:
            return None  # Counted to the epoch.
        return self.scheduler.decision_epochs(self.base.trainer.max_epochs)

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """The searcher is told by `settled`, once the record knows."""

    def settled(self, ours: str) -> None:
        """The record knows how a trial ended."""

    def reported(self) -> None:
        """A trial has done an epoch."""

    def spent(self) -> bool:
        """Whether what the sweep may cost is used up."""
        return self.over is not None

    def why_stopped(self) -> str:
        """Said of a trial that did not end by itself."""
        return self.over or f"{self.scheduler.name}: worse than the others"

    def conclude(self) -> str | None:
        """Close the phase on the record; why it ended before its time, if it did."""
        return None

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the record is the memory."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the record is the memory."""


class SearchPhase(TrialSource):
    """The points that the searcher proposes, each with every seed; it is told the mean when all are back."""

    phase = "search"

    def prepare(self, trials: list[Trial]) -> None:
        # Not `searcher`: Tune would take it for a Tune searcher that this one wraps.
        self.source = self.sweep.build_searcher()
        self.source.setup(self.sweep.search_space, self.sweep.num_samples, self.sweep.seed, self.base.mode)
        self.points = self.sweep.num_configurations
        self.total = self.points * len(self.sweep.seeds)
        self.next_point = 1 + max((trial.configuration for trial in trials), default=-1)
        self.epochs = sum(trial.epochs for trial in trials)
        for place, row in enumerate(self.folder.warm_start()):
            self.source.tell(-1 - place, row["overrides"], row["value"])
        self.rows: dict[int, list[Trial]] = {}
        """Trials by point, those that have ended."""
        for trial in trials:
            if trial.state in ENDED:
                self.rows.setdefault(trial.configuration, []).append(trial)
        # The population keeps all: any of it may still be gone on from.
        keep = None if isinstance(self.scheduler, PopulationScheduler) else self.sweep.num_kept_configurations
        self.retention = CheckpointRetention(self.folder, keep, self.base.mode) if keep else None
        for _, rows in sorted(self.rows.items()):
            self._tell(rows)
        self.closed: str | None = self.folder.about.get("ended")
        """Why there are to be no new points."""
        if self.closed:
            return
        # Killed between the first and the last seed of a point: the seeds that were never entered.
        known: dict[int, set[int]] = {}
        for trial in trials:
            known.setdefault(trial.configuration, set()).add(trial.seed)
        overrides = {trial.configuration: trial.overrides for trial in trials}
        for point, seeds in sorted(known.items()):
            self.enter(point, overrides[point], [seed for seed in self.sweep.seeds if seed not in seeds])
        self.closed = self._worn_out()
        self.left = len(self.waiting) if self.closed else self.total - sum(t.state in ENDED for t in trials)

    def _tell(self, rows: list[Trial]) -> None:
        if len(rows) == len(self.sweep.seeds):
            values = [row.value for row in rows if row.value is not None]
            self.source.tell(rows[0].configuration, rows[0].overrides, mean(values) if values else None)
            if self.retention:
                self.retention.add(rows)

    def more(self) -> bool:
        if self.closed or self.next_point >= self.points:
            return False
        point, self.next_point = self.next_point, self.next_point + 1
        self.enter(point, self.source.ask(point), self.sweep.seeds)
        return True

    def settled(self, ours: str) -> None:
        trial = self.folder.trial(ours)
        rows = self.rows.setdefault(trial.configuration, [])
        rows.append(trial)
        self._tell(rows)
        self.closed = self.closed or self._worn_out()

    def reported(self) -> None:
        self.epochs += 1

    def spent(self) -> bool:
        budget = self.sweep.budget
        if self.over is None and budget is not None:
            if budget.epochs is not None and self.epochs >= budget.epochs:
                self.over = f"budget.epochs: {self.epochs} epochs are done, {budget.epochs} were to be"
            elif budget.minutes is not None and self.clock() >= 60 * budget.minutes:
                self.over = f"budget.minutes: {budget.minutes:g} minutes are over"
        return self.over is not None

    def _worn_out(self) -> str | None:
        patience = self.sweep.patience_trials
        if patience is None:
            return None
        ended = sorted(
            (trial for rows in self.rows.values() for trial in rows), key=lambda trial: int(trial.id.removeprefix("t"))
        )
        since, best = trials_since_best(ended, self.base.mode)
        if since < patience or best is None:
            return None
        return f"patience_trials: {since} trials have brought nothing better than {best.id}, {best.value:.4g}"

    def conclude(self) -> str | None:
        if self.folder.about.get("ended"):
            return None
        could = self.sweep.num_samples * len(self.source.grid_combinations)
        reason = self.over or (self.closed if self.next_point < self.points else None)
        if reason is None and self.points < could:
            reason = f"budget.trials: {self.total} trials are done of {could * len(self.sweep.seeds)} there could be"
        if reason is not None:
            for trial in self.trials():
                if trial.state not in ENDED:
                    begun = "" if trial.epochs else "; it had not begun"
                    self.folder.decide(trial.id, "stopped", reason + begun)
            self.folder.describe(ended=reason)
        return reason


class ConfirmPhase(TrialSource):
    """The best points of the search with the seeds that decide, each trained through."""

    phase = "confirm"

    @cached_property
    def scheduler(self) -> Scheduler:
        return FIFO()

    def prepare(self, trials: list[Trial]) -> None:
        confirm = self.sweep.confirm
        if confirm is None:
            return
        every = self.folder.trials()
        points = self.folder.about.get("confirmed")
        if points is None:
            ranked = leaderboard([trial for trial in every if trial.phase == "search"], self.base.mode)
            points = [row.number for row in ranked if row.mean is not None][: confirm.top]
            self.folder.describe(confirmed=points)
        for point in points:
            known = {trial.seed for trial in confirmation(every, point, confirm.seeds)}
            overrides = next(trial.overrides for trial in every if trial.configuration == point)
            self.enter(point, overrides, [seed for seed in confirm.seeds if seed not in known])
        self.left = len(self.waiting)
        self.total = self.left + sum(trial.state in ENDED for trial in trials)


def trials_since_best(trials: list[Trial], mode: str) -> tuple[int, Trial | None]:
    """How many trials have ended since the best one, in the order in which they were asked for, and that best one."""
    since, best = 0, None
    for trial in trials:
        if trial.state in ENDED:
            since += 1
            if trial.value is not None and better(trial.value, best.value if best else None, mode):
                since, best = 0, trial
    return since, best
