"""Ray Tune's schedulers as deciders, fed in an order that the sweep determines."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from ray.tune.schedulers import TrialScheduler

from lstm_lab.sweeps.ordering import Decider, Report
from lstm_lab.sweeps.schedulers.base import Scheduler


class OrderedTrial:
    """As much of a Tune trial as its schedulers read of one that runs."""

    status = "RUNNING"

    def __init__(self, number: int) -> None:
        self.trial_id = f"{number:06d}"

    def is_finished(self) -> bool:
        return False


class NoController:
    """As much of Tune's controller as its schedulers read: no trial waits for a place that they could make."""

    def get_live_trials(self) -> list[OrderedTrial]:
        return []


class TuneDecider:
    """Asks a Tune scheduler whether a trial continues.

    Args:
        seed: of what it draws, which is drawn for each trial apart.
    """

    def __init__(self, scheduler: Scheduler, max_epochs: int, metric: str, mode: str, seed: int) -> None:
        self.tunes, self.seed = scheduler.tune_scheduler(max_epochs, metric, mode), seed
        self.controller: Any = NoController()
        self.trials: dict[int, Any] = {}

    def decide(self, trial: int, epochs: int, row: Report) -> bool:
        if trial not in self.trials:
            self.trials[trial] = OrderedTrial(trial)
            with numpy_seed(self.seed, trial):
                self.tunes.on_trial_add(self.controller, self.trials[trial])
        result = {**row, "epochs": epochs, "training_iteration": epochs}
        decision = self.tunes.on_trial_result(self.controller, self.trials[trial], result)
        return bool(decision != TrialScheduler.STOP)

    def compare(self, epochs: int, rows: Mapping[int, Report]) -> None:
        raise NotImplementedError("no scheduler of Tune compares a population here")


class FoldDecider:
    """A decider for each fold of a cross-validation: a fold is compared with the same fold of other configurations.

    Args:
        make: a new decider.
        fold_of: number of a trial -> its fold.
    """

    def __init__(self, make: Callable[[], Decider], fold_of: Callable[[int], int | None]) -> None:
        self.make, self.fold_of = make, fold_of
        self.deciders: dict[int | None, Decider] = {}

    def decide(self, trial: int, epochs: int, row: Report) -> bool:
        fold = self.fold_of(trial)
        if fold not in self.deciders:
            self.deciders[fold] = self.make()
        return self.deciders[fold].decide(trial, epochs, row)

    def compare(self, epochs: int, rows: Mapping[int, Report]) -> None:
        raise NotImplementedError("the trials of a population are not compared by folds")


@contextlib.contextmanager
def numpy_seed(*seed: int) -> Iterator[None]:
    """Inside, numpy's global generator, which Tune draws a trial's bracket from, starts from a seed."""
    before = np.random.get_state()
    np.random.seed(np.random.SeedSequence(seed).generate_state(1))
    try:
        yield
    finally:
        np.random.set_state(before)
