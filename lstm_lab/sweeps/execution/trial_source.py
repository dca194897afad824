"""Where Tune's trials come from: a Tune searcher for each phase of a sweep, and that of the search.

Each works out what is missing from the sweep's record. So to resume a sweep is to make them again.
"""

from __future__ import annotations

import json
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from statistics import mean
from typing import Any, ClassVar, NamedTuple

from ray.tune.search import Searcher as TuneSearcher

from lstm_lab import files
from lstm_lab.code_state import CodeState
from lstm_lab.config import DataError
from lstm_lab.files import Row
from lstm_lab.paths import environment_elsewhere
from lstm_lab.sweeps.execution.trial_spec import TrialSpec
from lstm_lab.sweeps.schedulers import PopulationScheduler
from lstm_lab.sweeps.schedulers.base import Scheduler
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.leaderboard import ENDED, Trial
from lstm_lab.sweeps.store.record import NEVER_STARTED
from lstm_lab.sweeps.store.retention import CheckpointRetention
from lstm_lab.tasks.base import better
from lstm_lab.tracking import Mode


class NotPickled:
    """Tune pickles all objects that it is given. These are never read back, so nothing of them is written."""

    def __getstate__(self) -> Row:
        return {}


class PendingTrial(NamedTuple):
    """A trial that is recorded and has not ended."""

    id: str
    seed: int
    overrides: Row


class TrialSource(NotPickled, TuneSearcher):
    """Hands Tune one trial after another: first those that an earlier process left unfinished, then new ones.

    Args:
        wandb: resolved mode of the trials' W&B runs.
        interrupted: set by Ctrl-C.
        clock: seconds that the sweep has taken, over interruptions.
        storage: URI that the trials write to, where nodes share no disk.
    """

    phase: ClassVar[str]
    """As it is called in the record."""

    def __init__(
        self, folder: SweepFolder, wandb: Mode, interrupted: threading.Event, clock: Callable[[], float],
        storage: str | None = None,
    ) -> None:  # fmt: skip
        sweep = folder.sweep
        self.folder, self.sweep, self.wandb = folder, sweep.with_base(sweep.base.with_found_paths()), wandb
        self.storage = storage
        self.interrupted, self.clock = interrupted, clock
        self.base = self.sweep.base
        super().__init__(metric=self.base.monitor, mode=self.base.mode)
        self.command = folder.about.get("command", "")
        self.stop_reason: str | None = None
        """Why all trials of the phase are stopped, if they are: its budget is used up."""
        self.refusal: str | None = None
        """Why a worker did not start a trial, if its code is not that of this process."""
        self.disk_full: str | None = None
        """The error of the trial that found the disk full."""
        self.num_trials, self.num_remaining = 0, 0
        """Trials in all, and those that have not ended."""
        trials = self.trials()
        outside = next((t.id for t in trials if not self.sweep.search_space.contains(t.overrides)), None)
        if outside is not None:
            raise DataError(f"{folder.path / files.TRIALS}: {outside}: its overrides are not in the space of "
                            f"{files.SWEEP}: restore a copy of either file")  # fmt: skip
        self.pending = [PendingTrial(t.id, t.seed, t.overrides) for t in trials if t.state not in ENDED]
        self.load(trials)

    @abstractmethod
    def load(self, trials: Sequence[Trial]) -> None:
        """Work out `num_trials` and `num_remaining` from the recorded trials of the phase."""

    @cached_property
    def scheduler(self) -> Scheduler:
        """That of this phase."""
        return self.sweep.build_scheduler()

    @property
    def is_population(self) -> bool:
        """Whether trials continue from each other's weights."""
        return isinstance(self.scheduler, PopulationScheduler)

    def trials(self) -> list[Trial]:
        """The recorded trials of this phase."""
        return [trial for trial in self.folder.trials() if trial.phase == self.phase]

    def add(self, configuration: int, overrides: Row, seeds: Iterable[int], told: Sequence[int] | None = None) -> None:
        """Record a trial of a configuration for each seed, to be run.

        Args:
            told: as `SweepFolder.add_trial` has it.
        """
        for seed in seeds:
            trial = self.folder.add_trial(configuration, seed, overrides, self.phase, told)
            self.pending.append(PendingTrial(trial, seed, overrides))

    def add_next(self) -> bool:
        """Add the trials of a further configuration; False where there is none."""
        return False

    def suggest(self, trial_id: str) -> Any:
        """The config of Tune's next trial, a `TrialSpec`; FINISHED where there is none."""
        if self.stop_reason or (not self.pending and not self.add_next()):
            return TuneSearcher.FINISHED
        trial = self.pending.pop(0)
        return TrialSpec(
            trial=trial.id,
            folder=str(self.folder.path.resolve()),
            group=self.folder.name,
            experiment_json=json.dumps(self.sweep.experiment_for(trial.overrides, trial.seed).dump()),
            overrides_json=json.dumps(trial.overrides),
            seed=trial.seed,
            wandb=self.wandb,
            command=self.command,
            resources=self.sweep.resources.model_dump(),
            storage=self.storage,
            code=CodeState.of_this_process().dump(),
            environment=environment_elsewhere(),
            population=self.num_trials if self.is_population else 0,
            decision_epochs=self.decision_epochs(),
        ).config()

    def decision_epochs(self) -> list[int] | None:
        """Numbers of epochs after which a trial waits for the scheduler; None: after each."""
        if self.sweep.budget is not None and self.sweep.budget.epochs is not None:
            return None  # The budget ends in the middle of a trial.
        return self.scheduler.decision_epochs(self.base.trainer.max_epochs)

    def on_trial_complete(self, trial_id: str, result: object = None, error: bool = False) -> None:
        """Tune's call. The driver calls `trial_ended` instead, once the record holds how the trial ended."""

    def trial_ended(self, trial: str) -> None:
        """A trial has ended, and the record holds how."""

    def epoch_ended(self) -> None:
        """A trial has reported an epoch."""

    def is_exhausted(self) -> bool:
        """Whether the budget of the phase is used up."""
        return self.stop_reason is not None

    def trial_stop_reason(self) -> str:
        """Recorded for a trial that Tune has stopped."""
        return self.stop_reason or f"{self.scheduler.name}: worse than the others"

    def conclude(self) -> str | None:
        """Record the end of the phase; why it ended early, if it did."""
        return None

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the record is the memory."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the record is the memory."""


class SearchPhase(TrialSource):
    """The configurations that the searcher proposes, each with every seed; it learns their mean when all have ended."""

    phase = "search"

    def load(self, trials: Sequence[Trial]) -> None:
        # Not `searcher`: Tune takes an attribute of that name for a wrapped Tune searcher.
        self.proposer = self.sweep.build_searcher()
        self.proposer.setup(self.sweep.search_space, self.sweep.num_samples, self.sweep.seed, self.base.mode)
        self.num_configurations = self.sweep.num_configurations
        self.num_trials = self.num_configurations * len(self.sweep.seeds)
        self.next_configuration = 1 + max((trial.configuration for trial in trials), default=-1)
        self.epochs = sum(trial.epochs for trial in trials)
        for number, row in enumerate(self.folder.warm_start()):
            self.proposer.tell(-1 - number, row["overrides"], row["value"])
        self.told: list[int] = []
        """Configurations whose results the searcher was told since it was last asked."""
        self.ended: dict[int, list[Trial]] = {}
        """Number of a configuration -> its trials that have ended."""
        for trial in trials:
            if trial.state in ENDED:
                self.ended.setdefault(trial.configuration, []).append(trial)
        # A population keeps all checkpoints: any trial may become the source of an exploit.
        top = None if self.is_population else self.sweep.num_kept_configurations
        self.retention = CheckpointRetention(self.folder, top, self.base.mode) if top else None
        self._replay(trials)
        self.end_reason: str | None = self.folder.about.get("ended")
        """Why no further configuration is tried, if so."""
        if self.end_reason:
            return
        self._add_missing_seeds(trials)
        self.end_reason = self._patience_reason()
        num_ended = sum(trial.state in ENDED for trial in trials)
        self.num_remaining = len(self.pending) if self.end_reason else self.num_trials - num_ended

    def _replay(self, trials: Sequence[Trial]) -> None:
        """Ask and tell the searcher again what it was asked and told, in the same order: its state is then the same."""
        order: dict[int, Row] = {}
        for row in self.folder.trial_rows():
            order.setdefault(row["configuration"], row)
        untold, asks_again = dict(self.ended), self.next_configuration < self.num_configurations
        for number in dict.fromkeys(trial.configuration for trial in trials):
            for other in order[number].get("told") or ():
                self._learn(untold.pop(other, ()))
            if asks_again:
                self.proposer.replay(number, order[number]["overrides"])
            self.told = []
        for rows in sorted(untold.values(), key=last_end):
            self._learn(rows)

    def _add_missing_seeds(self, trials: Sequence[Trial]) -> None:
        """A kill between the first and the last seed of a configuration leaves seeds that were never recorded."""
        seeds: dict[int, set[int]] = {}
        for trial in trials:
            seeds.setdefault(trial.configuration, set()).add(trial.seed)
        overrides = {trial.configuration: trial.overrides for trial in trials}
        for number, known in sorted(seeds.items()):
            self.add(number, overrides[number], [seed for seed in self.sweep.seeds if seed not in known])

    def _learn(self, trials: Sequence[Trial]) -> None:
        """Tell the searcher the mean of a configuration whose trials have all ended."""
        if len(trials) == len(self.sweep.seeds):
            values = [trial.value for trial in trials if trial.value is not None]
            first = trials[0]
            self.proposer.tell(first.configuration, first.overrides, mean(values) if values else None)
            self.told.append(first.configuration)
            if self.retention:
                self.retention.add(trials)

    def add_next(self) -> bool:
        if self.end_reason or self.next_configuration >= self.num_configurations:
            return False
        number, self.next_configuration = self.next_configuration, self.next_configuration + 1
        told, self.told = self.told, []
        self.add(number, self.proposer.ask(number), self.sweep.seeds, told)
        return True

    def trial_ended(self, trial: str) -> None:
        ended = self.folder.trial(trial)
        rows = self.ended.setdefault(ended.configuration, [])
        rows.append(ended)
        self._learn(rows)
        self.end_reason = self.end_reason or self._patience_reason()

    def epoch_ended(self) -> None:
        self.epochs += 1

    def is_exhausted(self) -> bool:
        budget = self.sweep.budget
        if self.stop_reason is None and budget is not None:
            if budget.epochs is not None and self.epochs >= budget.epochs:
                self.stop_reason = f"budget.epochs: {self.epochs} of {budget.epochs} epochs are done"
            elif budget.minutes is not None and self.clock() >= 60 * budget.minutes:
                self.stop_reason = f"budget.minutes: {budget.minutes:g} minutes are over"
        return self.stop_reason is not None

    def _patience_reason(self) -> str | None:
        patience = self.sweep.patience_trials
        if patience is None:
            return None
        ended = sorted(
            (trial for rows in self.ended.values() for trial in rows), key=lambda trial: int(trial.id.removeprefix("t"))
        )
        since, best = trials_since_best(ended, self.base.mode)
        if since < patience or best is None:
            return None
        return f"patience_trials: {since} trials were not better than {best.id}, {best.value:.4g}"

    def conclude(self) -> str | None:
        if self.folder.about.get("ended"):
            return None
        possible = self.sweep.num_samples * len(self.proposer.grid_combinations)
        is_cut = self.next_configuration < self.num_configurations
        reason = self.stop_reason or (self.end_reason if is_cut else None)
        if reason is None and self.num_configurations < possible:
            reason = f"budget.trials: {self.num_trials} of {possible * len(self.sweep.seeds)} possible trials are done"
        if reason is not None:
            for trial in self.trials():
                if trial.state not in ENDED:
                    self.folder.decide(trial.id, "stopped", reason if trial.epochs else f"{reason}; {NEVER_STARTED}")
            self.folder.describe(ended=reason)
        return reason


def last_end(trials: Iterable[Trial]) -> tuple[str, int]:
    """When the last of the trials of a configuration ended, and its number."""
    return max((trial.record.ended or "" if trial.record else "", trial.configuration) for trial in trials)


def trials_since_best(trials: Iterable[Trial], mode: str) -> tuple[int, Trial | None]:
    """How many trials have ended after the best one, and that best one; None where no trial has a value.

    Args:
        trials: in the order in which they were recorded.
        mode: min or max: which end of the monitored metric is better.
    """
    since, best = 0, None
    for trial in trials:
        if trial.state in ENDED:
            since += 1
            if trial.value is not None and better(trial.value, best.value if best else None, mode):
                since, best = 0, trial
    return since, best
