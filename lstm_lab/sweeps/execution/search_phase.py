"""The search of a sweep, by arrival: a searcher is asked when Tune wants a trial, and told when one has ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lstm_lab.records.files import Row
from lstm_lab.sweeps.execution.trial_source import TrialSource
from lstm_lab.sweeps.objectives import SINGLE, Criteria
from lstm_lab.sweeps.sections import Repeat
from lstm_lab.sweeps.store.folder import warm_outcome
from lstm_lab.sweeps.store.leaderboard import ENDED, Configuration, Trial
from lstm_lab.sweeps.store.retention import CheckpointRetention
from lstm_lab.tasks.base import better


class SearchPhase(TrialSource):
    """The configurations that the searcher proposes, each with every seed; it learns their mean when all have ended."""

    phase = "search"
    end_reason: str | None
    """Why no further configuration is tried, if so."""

    def trials(self) -> list[Trial]:
        return [trial for trial in super().trials() if trial.configuration >= self.first_configuration]

    def load(self, trials: Sequence[Trial]) -> None:
        self.set_up()
        last = max((trial.configuration for trial in trials), default=self.first_configuration - 1)
        self.next_configuration = 1 + last
        self.epochs = sum(trial.epochs for trial in trials)
        for trial in trials:
            if trial.state in ENDED:
                self.ended.setdefault(trial.configuration, []).append(trial)
        self._replay(trials)
        self.end_reason = self.folder.about.get("ended")
        if self.end_reason:
            return
        self._add_missing_seeds(trials)
        self._add_missing_configurations(trials)
        self.end_reason = self._patience_reason()
        num_ended = sum(trial.state in ENDED for trial in trials)
        self.num_remaining = len(self.pending) if self.end_reason else self.num_trials - num_ended

    def set_up(self) -> None:
        """A searcher that knows nothing but the warm start."""
        # Not `searcher`: Tune takes an attribute of that name for a wrapped Tune searcher.
        self.proposer = self.sweep.start_searcher()
        self.num_configurations = self.first_configuration + self.sweep.num_configurations
        """Those of earlier searches among them."""
        self.num_trials = self.sweep.num_configurations * len(self.sweep.repeats)
        self.next_configuration = self.first_configuration
        self.epochs = 0
        for number, row in enumerate(self.folder.results_before() if self.proposer.learns_from_results else ()):
            self.proposer.tell_outcome(-1 - number, row["overrides"], warm_outcome(row))
        self.told: list[int] = []
        """Configurations whose results the searcher was told since it was last asked."""
        self.ended: dict[int, list[Trial]] = {}
        """Number of a configuration -> its trials that have ended."""
        self.end_reason = None
        # A population keeps all checkpoints: any trial may become the source of an exploit.
        top = None if self.is_population else self.sweep.num_kept_configurations
        self.retention = CheckpointRetention(self.folder, top, self.base.mode, self.sweep.criteria) if top else None
        if self.retention:
            before: dict[int, list[Trial]] = {}
            for trial in super().trials():
                if trial.configuration < self.first_configuration:
                    before.setdefault(trial.configuration, []).append(trial)
            for rows in before.values():
                self.retention.add(rows)

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
                self.replay(number, order[number]["overrides"])
            self.told = []
        for rows in sorted(untold.values(), key=last_end):
            self._learn(rows)

    def _add_missing_seeds(self, trials: Sequence[Trial]) -> None:
        """A kill between the first and the last trial of a configuration leaves some that were never recorded."""
        repeats: dict[int, set[Repeat]] = {}
        for trial in trials:
            repeats.setdefault(trial.configuration, set()).add(trial.repeat)
        overrides = {trial.configuration: trial.overrides for trial in trials}
        for number, known in sorted(repeats.items()):
            self.add(number, overrides[number], [repeat for repeat in self.sweep.repeats if repeat not in known])

    def _add_missing_configurations(self, trials: Sequence[Trial]) -> None:
        """Where both records of a trial are lost, only the gap in the numbers tells: it is asked for again."""
        known = {trial.configuration for trial in trials}
        for number in range(self.first_configuration, min(self.next_configuration, self.num_configurations)):
            if number not in known:
                self._ask(number)

    def _learn(self, trials: Sequence[Trial]) -> None:
        """Tell the searcher the mean of a configuration whose trials have all ended."""
        if len(trials) == len(self.sweep.repeats):
            row = Configuration.of(trials, self.sweep.criteria)
            number = row.number - self.first_configuration
            self.proposer.tell_outcome(number, row.overrides, row.outcome(self.sweep.criteria))
            self.told.append(row.number)
            if self.retention:
                self.retention.add(trials)

    def add_next(self) -> bool:
        if self.end_reason or self.next_configuration >= self.num_configurations:
            return False
        number, self.next_configuration = self.next_configuration, self.next_configuration + 1
        self._ask(number)
        return True

    def _ask(self, number: int) -> None:
        """Add the trials of a configuration that the searcher proposes."""
        told, self.told = self.told, []
        self.add(number, self.ask(number), self.sweep.repeats, told)

    def ask(self, number: int) -> Row:
        """A further configuration; its searcher counts from the first one of this search."""
        return self.proposer.ask(number - self.first_configuration)

    def replay(self, number: int, overrides: Row) -> None:
        """Ask again for what an earlier process was given."""
        self.proposer.replay(number - self.first_configuration, overrides)

    def trial_ended(self, trial: str) -> None:
        self.learn(self.folder.trial(trial))

    def learn(self, ended: Trial) -> None:
        """Tell the searcher of an ended trial, once it is the last of its configuration."""
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
            elif budget.minutes is not None:
                self.check_minutes(budget.minutes)
        return self.stop_reason is not None

    def check_minutes(self, minutes: float) -> None:
        """Stop the phase where it has taken so many."""
        if self.stop_reason is None and self.seconds() >= 60 * minutes:
            self.stop_reason = f"budget.minutes: {minutes:g} minutes are over"

    def _patience_reason(self) -> str | None:
        patience = self.sweep.patience_trials
        if patience is None:
            return None
        ended = sorted(
            (trial for rows in self.ended.values() for trial in rows), key=lambda trial: int(trial.id.removeprefix("t"))
        )
        since, best = trials_since_best(ended, self.base.mode, self.sweep.criteria)
        if since < patience or best is None:
            return None
        return f"patience_trials: {since} trials were not better than {best.id}, {best.value:.4g}"

    def early_end(self) -> str | None:
        """Why not every configuration was tried, or not every trial as far as its scheduler allows."""
        is_cut = self.next_configuration < self.num_configurations
        return self.stop_reason or (self.end_reason if is_cut else None)

    def conclude(self) -> str | None:
        if self.folder.about.get("ended"):
            return None
        possible = self.sweep.num_samples * len(self.proposer.grid_combinations)
        reason = self.early_end()
        if reason is None and self.sweep.num_configurations < possible:
            reason = (
                f"budget.trials: {self.num_trials} of {possible * len(self.sweep.repeats)} possible trials are done"
            )
        if reason is not None:
            self.end_unfinished(reason)
            self.folder.describe(ended=reason)
        return reason


def last_end(trials: Iterable[Trial]) -> tuple[str, int]:
    """When the last of the trials of a configuration ended, and its number."""
    return max((trial.record.ended or "" if trial.record else "", trial.configuration) for trial in trials)


def trials_since_best(trials: Iterable[Trial], mode: str, criteria: Criteria = SINGLE) -> tuple[int, Trial | None]:
    """How many trials have ended after the best one, and that best one; None where no trial has a value.

    Args:
        trials: in the order in which they were recorded.
        mode: min or max: which end of the monitored metric is better.
        criteria: constraints on metrics, which the best one keeps.
    """
    since, best = 0, None
    for trial in trials:
        if trial.state in ENDED:
            since += 1
            if (
                trial.value is not None
                and trial.keeps(criteria)
                and better(trial.value, best.value if best else None, mode)
            ):
                since, best = 0, trial
    return since, best
