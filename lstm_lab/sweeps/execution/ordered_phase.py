"""The search in the order of a virtual clock: what is tried and what is stopped depends on the sweep alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray.tune.search import Searcher as TuneSearcher

from lstm_lab.records.files import Row
from lstm_lab.sweeps.execution.population import Population
from lstm_lab.sweeps.execution.search_phase import SearchPhase
from lstm_lab.sweeps.execution.trial_source import PendingTrial
from lstm_lab.sweeps.execution.tune_decider import FoldDecider, TuneDecider
from lstm_lab.sweeps.hopeless import HopelessDecider
from lstm_lab.sweeps.ordering import Answer, Decider, Planned, Report, VirtualClock
from lstm_lab.sweeps.schedulers import PopulationScheduler
from lstm_lab.sweeps.store.leaderboard import ENDED, Trial
from lstm_lab.sweeps.store.record import NEVER_STARTED


class OrderedPhase(SearchPhase):
    """The same search, with each suggestion and each stopping decision at its time on the virtual clock.

    What the record holds is reported to a new clock: so a resumed sweep stands where it stood.
    """

    is_ordered = True

    def load(self, trials: Sequence[Trial]) -> None:
        self.set_up()
        self.end_reason = self.folder.about.get("ended")
        if self.end_reason:
            return
        self.known = {trial.id: trial for trial in trials}
        self.recorded: dict[int, list[Trial]] = {}
        """Number of a configuration -> its trials, of an earlier process."""
        for trial in trials:
            self.recorded.setdefault(trial.configuration, []).append(trial)
        self.known_epochs = {
            row["trial"]: row["epochs"] for row in self.folder.events() if row.get("epochs") is not None
        }
        """Trials that somebody has ended -> epochs that were known of each when it was."""
        self.planned: list[PendingTrial] = []
        self.numbers: dict[str, int] = {}
        """Trial -> its number on the clock."""
        self.configurations: list[int] = []
        self.lengths: list[int] = []
        """Configuration, and epochs that it is trained for at most, of each trial on the clock."""
        self.hopeless: dict[int, str] = {}
        """Number of a trial -> why a rule has ended it."""
        self.waiting: set[str] = set()
        """Trials that wait for a decision, in a process or without one."""
        self.has_room: Callable[[], bool] = lambda: True
        """Whether a real worker has nothing to do."""
        self.on_exploit: Callable[[Row], None] = lambda row: None
        """Called with the row of each lineage."""
        self.clock = self._make_clock()
        while self.clock.asks_ahead and len(self.clock.trials) < len(trials) and self.clock.plan():
            pass
        self._record_stops()
        self.pending = []
        self.num_remaining = self.num_trials - sum(trial.state in ENDED for trial in self.trials())

    def _make_clock(self) -> VirtualClock:
        sweep, scheduler = self.sweep, self.scheduler
        limit = sweep.budget.epochs if sweep.budget else None
        is_free = limit is None and sweep.patience_trials is None and not self.stops_folds
        decider: Decider
        if isinstance(scheduler, PopulationScheduler):
            workers, decider = self.num_trials, PopulationDecider(self, Population(self.folder, scheduler))
        else:
            workers = sweep.max_concurrent_trials
            decider = FoldDecider(self._make_decider, lambda trial: self.planned[trial].repeat.fold)
        return VirtualClock(
            workers,
            self,
            decider,
            compares=scheduler.compares,
            decision_epochs=self.looks(),
            max_ticks=limit,
            asks_ahead=is_free and not sweep.learns_from_results,
            starts_ahead=is_free,
        )

    def _make_decider(self) -> Decider:
        sweep, base, scheduler = self.sweep, self.base, self.scheduler
        max_epochs = base.trainer.max_epochs
        decider = TuneDecider(scheduler, max_epochs, base.monitor, base.mode, sweep.seed)
        if not self.stops_sick:
            return decider
        return HopelessDecider(
            decider,
            scheduler.decision_epochs(max_epochs),
            max_epochs,
            base.monitor,
            base.mode,
            self.configurations.__getitem__,
            self.lengths.__getitem__,
            self.hopeless,
        )

    @property
    def stops_sick(self) -> bool:
        return self.sweep.stop_sick

    # --- the clock asks -----------------------------------------------------------------------------------------------

    def plan(self) -> list[Planned]:
        """The trials of the next configuration: recorded ones of an earlier process, or new ones."""
        if self.end_reason or self.next_configuration >= self.num_configurations:
            return []
        number, self.next_configuration = self.next_configuration, self.next_configuration + 1
        told, self.told = self.told, []
        learns, known = self.sweep.learns_from_results, self.recorded.get(number, [])
        if not known:
            overrides = self.ask(number)
        else:
            overrides = known[0].overrides
            # Asked again only where it will be asked for more.
            if learns and len(self.recorded) < self.sweep.num_configurations:
                self.replay(number, overrides)
        self.pending = [PendingTrial(trial.id, trial.repeat, overrides) for trial in known]
        missing = [repeat for repeat in self.sweep.repeats if repeat not in {trial.repeat for trial in known}]
        self.add(number, overrides, missing, told if learns else None)
        return [self._plan_one(trial, number) for trial in self.pending]

    def _plan_one(self, pending: PendingTrial, configuration: int) -> Planned:
        self.numbers[pending.id] = len(self.planned)
        self.planned.append(pending)
        epochs = self.base.trainer.max_epochs
        if "trainer.max_epochs" in pending.overrides:
            epochs = self.sweep.experiment_for(pending.overrides, *pending.repeat).trainer.max_epochs
        self.configurations.append(configuration)
        self.lengths.append(epochs)
        trial = self.known.get(pending.id)
        rows: Mapping[int, Report] = {}
        if trial is not None and trial.record is not None:
            known = self.known_epochs.get(pending.id, epochs)
            rows = {row["epoch"] + 1: row for row in trial.record.rows if row["epoch"] < known}
        group = configuration if self.stops_folds else None
        return Planned(epochs, rows, trial is not None and trial.state in ENDED, group)

    @property
    def stops_folds(self) -> bool:
        """Whether a fold that is stopped stops the rest of its configuration."""
        return self.sweep.cross_validation is not None and self.sweep.stops_trials

    def skip(self, trial: int, because: int) -> None:
        """A trial is not started, because another fold of its configuration was stopped."""
        id = self.planned[trial].id
        if id not in self.known or self.known[id].state not in ENDED:
            self.folder.decide(id, "stopped", f"{self._reason_of(because)}; {NEVER_STARTED}")

    def _reason_of(self, because: int) -> str:
        fold = self.planned[because]
        by = "stop_sick" if because in self.hopeless else self.scheduler.name
        return f"{by}: fold {fold.repeat.fold} of its configuration was stopped ({fold.id})"

    def end(self, trial: int) -> None:
        """The clock has come to the end of a trial."""
        id = self.planned[trial].id
        found = self.known.get(id)
        self.learn(found if found is not None and found.state in ENDED else self.folder.trial(id))

    # --- Tune asks and reports ----------------------------------------------------------------------------------------

    def suggest(self, trial_id: str) -> Any:
        if self.stop_reason:
            return TuneSearcher.FINISHED
        self._record_stops()
        if not self.has_room():
            return None
        while (number := self.clock.take()) is not None:
            if self.planned[number].id not in self.ends:
                return self.spec(self.planned[number]).config()
            self.end_unstarted(self.planned[number].id)
        return TuneSearcher.FINISHED if self.clock.is_over else None

    def report(self, trial: str, epochs: int, row: Row) -> None:
        """A trial has trained so many epochs, or stands there after it was started again."""
        self.clock.report(self.numbers[trial], epochs, row)

    def answer(self, trial: str, epochs: int) -> Answer:
        """Whether a trial trains on after so many epochs."""
        return Answer.STOP if trial in self.ends else self.clock.answer(self.numbers[trial], epochs)

    def give_again(self, trial: str) -> None:
        self.waiting.discard(trial)
        self.clock.give_back(self.numbers[trial])

    def trial_ended(self, trial: str) -> None:
        self.waiting.discard(trial)
        self.clock.end(self.numbers[trial])

    def is_waiting(self, trial: str) -> bool:
        return trial in self.waiting

    def withdraw(self, trial: str) -> bool:
        number = self.numbers.get(trial)
        return number is not None and not self.clock.trials[number].started

    def reported_epochs(self, trial: str) -> int | None:
        return self.clock.trials[self.numbers[trial]].reached

    def _record_stops(self) -> None:
        """Trials that are stopped where an earlier process left them."""
        for number, epochs in self.clock.stopped_unstarted():
            id = self.planned[number].id
            reason = self.trial_stop_reason(id)
            self.folder.decide(id, "stopped", reason if epochs else f"{reason}; {NEVER_STARTED}")
            self.trial_ended(id)

    # --- ends ---------------------------------------------------------------------------------------------------------

    def is_exhausted(self) -> bool:
        budget = self.sweep.budget
        if budget is not None and budget.minutes is not None:
            self.check_minutes(budget.minutes)
        return self.stop_reason is not None

    def trial_stop_reason(self, trial: str) -> str:
        if self.stop_reason is None and self.clock.is_cut(self.numbers[trial]):
            return self._epochs_reason()
        because = self.clock.trials[self.numbers[trial]].because
        if self.stop_reason is None and because is not None:
            return self._reason_of(because)
        return self.stop_reason or self.hopeless.get(self.numbers[trial]) or super().trial_stop_reason(trial)

    def shown_reason(self, trial: str) -> str | None:
        return super().shown_reason(trial) or self.hopeless.get(self.numbers[trial])

    def _epochs_reason(self) -> str:
        assert self.sweep.budget is not None
        return f"budget.epochs: {self.sweep.budget.epochs} epochs are done"

    def early_end(self) -> str | None:
        is_cut = self.clock.cut is not None or self.next_configuration < self.num_configurations
        return super().early_end() or (self._epochs_reason() if self.clock.is_used_up and is_cut else None)


class PopulationDecider:
    """Compares the trials of a population."""

    def __init__(self, phase: OrderedPhase, population: Population) -> None:
        self.phase, self.population = phase, population

    def decide(self, trial: int, epochs: int, row: Report) -> bool:
        return True

    def compare(self, epochs: int, rows: Mapping[int, Report]) -> None:
        named = {self.phase.planned[number].id: row for number, row in rows.items()}
        for event in self.population.compare(epochs, named):
            self.phase.on_exploit(event)
