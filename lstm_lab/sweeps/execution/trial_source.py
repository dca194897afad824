"""Where Tune's trials come from: a Tune searcher for each phase of a sweep.

Each works out what is missing from the sweep's record. So to resume a sweep is to make them again.
"""

from __future__ import annotations

import json
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

from ray.tune.search import Searcher as TuneSearcher

from lstm_lab.config import DataError
from lstm_lab.config.paths import environment_elsewhere
from lstm_lab.records import files
from lstm_lab.records.code_state import CodeState
from lstm_lab.records.files import Row
from lstm_lab.records.requests import Request
from lstm_lab.records.run import State
from lstm_lab.sweeps.execution.trial_spec import TrialSpec
from lstm_lab.sweeps.hopeless import check_epochs
from lstm_lab.sweeps.schedulers import PopulationScheduler
from lstm_lab.sweeps.schedulers.base import Scheduler
from lstm_lab.sweeps.sections import Repeat
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.leaderboard import ENDED, Trial
from lstm_lab.sweeps.store.record import NEVER_STARTED
from lstm_lab.tracking import Mode


class NotPickled:
    """Tune pickles all objects that it is given. These are never read back, so nothing of them is written."""

    def __getstate__(self) -> Row:
        return {}


class PendingTrial(NamedTuple):
    """A trial that is recorded and has not ended."""

    id: str
    repeat: Repeat
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
    is_ordered: ClassVar[bool] = False
    """Whether its decisions come in the order of a virtual clock."""

    def __init__(
        self, folder: SweepFolder, wandb: Mode, interrupted: threading.Event, clock: Callable[[], float],
        storage: str | None = None,
    ) -> None:  # fmt: skip
        sweep = folder.sweep
        self.folder, self.sweep, self.wandb = folder, sweep.with_base(sweep.base.with_found_paths()), wandb
        self.storage = storage
        self.interrupted, self.seconds = interrupted, clock
        self.base = self.sweep.base
        super().__init__(metric=self.base.monitor, mode=self.base.mode)
        self.command, self.version = folder.about.get("command", ""), folder.version
        self.stop_reason: str | None = None
        """Why all trials of the phase are stopped, if they are: its budget is used up."""
        self.refusal: str | None = None
        """Why a worker did not start a trial, if its code is not that of this process."""
        self.disk_full: str | None = None
        """The error of the trial that found the disk full."""
        self.paused_by: Request | None = None
        self.ends: dict[str, Request] = {}
        """Trials that somebody has asked to end."""
        self.running: set[str] = set()
        """Tune's ids of what it was given and has not ended; a process may die before it has begun one of them."""
        self.num_trials, self.num_remaining = 0, 0
        """Trials in all, and those that have not ended."""
        trials = self.trials()
        current = [trial for trial in trials if trial.configuration >= self.first_configuration]
        outside = next((t.id for t in current if not self.sweep.search_space.contains(t.overrides)), None)
        if outside is not None:
            raise DataError(f"{folder.path / files.TRIALS}: {outside}: its overrides are not in the space of "
                            f"{files.SWEEP}: restore a copy of either file")  # fmt: skip
        self.pending = [PendingTrial(t.id, t.repeat, t.overrides) for t in trials if t.state not in ENDED]
        self.load(trials)

    @abstractmethod
    def load(self, trials: Sequence[Trial]) -> None:
        """Work out `num_trials` and `num_remaining` from the recorded trials of the phase."""

    @cached_property
    def scheduler(self) -> Scheduler:
        """That of this phase."""
        return self.sweep.build_scheduler()

    @cached_property
    def first_configuration(self) -> int:
        """Number of the first configuration of the newest search; those before it are of earlier ones."""
        begun = self.folder.search
        return 0 if begun is None else int(begun["search"]["configuration"])

    @property
    def is_population(self) -> bool:
        """Whether trials continue from each other's weights."""
        return isinstance(self.scheduler, PopulationScheduler)

    def trials(self) -> list[Trial]:
        """The recorded trials of this phase."""
        return [trial for trial in self.folder.trials() if trial.phase == self.phase]

    def add(
        self, configuration: int, overrides: Row, repeats: Iterable[Repeat], told: Sequence[int] | None = None
    ) -> None:
        """Record a trial of a configuration for each seed and fold, to be run.

        Args:
            told: as `SweepFolder.add_trial` has it.
        """
        for repeat in repeats:
            trial = self.folder.add_trial(configuration, repeat, overrides, self.phase, told, self.version)
            self.pending.append(PendingTrial(trial, repeat, overrides))

    def add_next(self) -> bool:
        """Add the trials of a further configuration; False where there is none."""
        return False

    def suggest(self, trial_id: str) -> Any:
        """The config of Tune's next trial, a `TrialSpec`; None while there may be one, FINISHED where there is none."""
        if self.stop_reason:
            return TuneSearcher.FINISHED
        if not self.pending and not self.add_next():
            return None if self.running else TuneSearcher.FINISHED
        self.running.add(trial_id)
        return self.spec(self.pending.pop(0)).config()

    def spec(self, trial: PendingTrial) -> TrialSpec:
        """What the process of a trial is told."""
        return TrialSpec(
            trial=trial.id,
            folder=str(self.folder.path.resolve()),
            group=self.folder.name,
            experiment_json=json.dumps(self.sweep.experiment_for(trial.overrides, *trial.repeat).dump()),
            overrides_json=json.dumps(trial.overrides),
            seed=trial.repeat.seed,
            fold=trial.repeat.fold,
            wandb=self.wandb,
            command=self.command,
            resources=self.sweep.resources.model_dump(),
            storage=self.storage,
            code=CodeState.of_this_process().dump(),
            environment=environment_elsewhere(),
            population=self.num_trials if self.is_population and not self.is_ordered else 0,
            decision_epochs=self.decision_epochs(),
            is_ordered=self.is_ordered,
            measures_latency="latency" in self.sweep.criteria.measures,
        )

    def decision_epochs(self) -> list[int] | None:
        """Numbers of epochs after which a trial waits for the scheduler; None: after each."""
        if self.sweep.budget is not None and self.sweep.budget.epochs is not None:
            return None  # The budget ends in the middle of a trial.
        return self.looks()

    def looks(self) -> list[int] | None:
        """After how many epochs a trial may be stopped, by its scheduler or as hopeless; None: after each."""
        max_epochs = self.base.trainer.max_epochs
        rungs = self.scheduler.decision_epochs(max_epochs)
        if rungs is None or not self.stops_sick:
            return rungs
        return sorted({*rungs, *check_epochs(max_epochs)})

    @property
    def stops_sick(self) -> bool:
        """Whether hopeless trials are ended in this phase."""
        return False

    def on_trial_complete(self, trial_id: str, result: object = None, error: bool = False) -> None:
        """Tune's call. The driver calls `trial_ended` too, once the record holds how the trial ended."""
        self.running.discard(trial_id)

    def give_again(self, trial: str) -> None:
        """Give Tune a trial once more, which it gave up before a process had begun it."""
        recorded = self.folder.trial(trial)
        self.pending.insert(0, PendingTrial(trial, recorded.repeat, recorded.overrides))

    def trial_ended(self, trial: str) -> None:
        """A trial has ended, and the record holds how."""

    def epoch_ended(self) -> None:
        """A trial has reported an epoch."""

    def is_exhausted(self) -> bool:
        """Whether the budget of the phase is used up."""
        return self.stop_reason is not None

    def is_waiting(self, trial: str) -> bool:
        """Whether a trial has nothing to do until it is decided about."""
        return False

    def shown_reason(self, trial: str) -> str | None:
        """Why a trial that ends was stopped, where it is more than that others are better."""
        return self.stop_reason

    def trial_stop_reason(self, trial: str) -> str:
        """Recorded for a trial that Tune has stopped."""
        return self.stop_reason or f"{self.scheduler.name}: worse than the others"

    # --- what people ask for ------------------------------------------------------------------------------------------

    def pause(self, request: Request) -> None:
        """End the process of the sweep, so that it can be resumed."""
        self.paused_by = request
        self.interrupted.set()

    def end_sweep(self, request: Request) -> None:
        """End the sweep with what there is: no trial is started any more, and no phase follows."""
        self.stop_reason = self.stop_reason or request.reason
        self.folder.stopped_by(request)

    def end_trial(self, trial: str, request: Request) -> bool:
        """End a trial at its next report; one that waits to be started, at once. Returns whether it has ended."""
        self.ends.setdefault(trial, request)
        is_waiting = self.withdraw(trial)
        if is_waiting:
            self.end_unstarted(trial)
        return is_waiting

    def end_unstarted(self, trial: str) -> None:
        """End a trial that somebody has asked to end, and that no worker has."""
        self.folder.decide(trial, *self.end_of(trial))
        self.trial_ended(trial)

    def withdraw(self, trial: str) -> bool:
        """Whether a trial waited to be given to Tune; it is not given any more."""
        waited = [each for each in self.pending if each.id == trial]
        self.pending = [each for each in self.pending if each.id != trial]
        return bool(waited)

    def end_of(self, trial: str) -> tuple[State, str]:
        """State and reason of a trial that did not end by itself."""
        request = self.ends.get(trial)
        if request is None:
            return "stopped", self.trial_stop_reason(trial)
        reason = request.reason if self.folder.run(trial).exists() else f"{request.reason}; {NEVER_STARTED}"
        return "failed" if request.action == "kill" else "stopped", reason

    def reported_epochs(self, trial: str) -> int | None:
        """Epochs of a trial that its decisions rest on, where that is not all that its record holds."""
        return None

    # --- ends ---------------------------------------------------------------------------------------------------------

    def conclude(self) -> str | None:
        """Record the end of the phase; why it ended early, if it did."""
        if self.stop_reason is not None:
            self.end_unfinished(self.stop_reason)
        return self.stop_reason

    def end_unfinished(self, reason: str) -> None:
        """Record that the trials that have not ended are stopped."""
        for trial in self.trials():
            if trial.state not in ENDED:
                self.folder.decide(trial.id, "stopped", reason if trial.epochs else f"{reason}; {NEVER_STARTED}")

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the record is the memory."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the record is the memory."""
