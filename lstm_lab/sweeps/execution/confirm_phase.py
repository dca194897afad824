"""The second phase of a sweep: its best configurations are confirmed with more seeds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from lstm_lab.config import canonical_json
from lstm_lab.sweeps.execution.trial_source import TrialSource
from lstm_lab.sweeps.schedulers.base import Scheduler
from lstm_lab.sweeps.schedulers.fifo import FIFO
from lstm_lab.sweeps.store.leaderboard import ENDED, Trial, confirmation, leaderboard


class ConfirmPhase(TrialSource):
    """The best configurations of the search with the confirmation's seeds, each trained to completion."""

    phase = "confirm"

    @cached_property
    def scheduler(self) -> Scheduler:
        return FIFO()

    def load(self, trials: Sequence[Trial]) -> None:
        confirm = self.sweep.confirm
        if confirm is None:
            return
        every = self.folder.trials()
        numbers = self.folder.about.get("confirmed")
        if numbers is None:
            searched = [trial for trial in every if trial.phase == "search"]
            ranked = leaderboard(searched, self.base.mode, self.sweep.criteria)
            # The same configuration may have been tried twice.
            distinct: dict[str, int] = {}
            for row in ranked:
                if row.mean is not None and not row.broken:
                    distinct.setdefault(canonical_json(row.overrides), row.number)
            numbers = list(distinct.values())[: confirm.top]
            self.folder.describe(confirmed=numbers)
        for number in numbers:
            known = {trial.repeat for trial in confirmation(every, number, confirm.seeds)}
            overrides = next(trial.overrides for trial in every if trial.configuration == number)
            self.add(number, overrides, [each for each in self.sweep.repeats_of(confirm.seeds) if each not in known])
        self.num_remaining = len(self.pending)
        self.num_trials = self.num_remaining + sum(trial.state in ENDED for trial in trials)
