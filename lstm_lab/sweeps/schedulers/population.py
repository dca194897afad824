"""What the schedulers that train a population have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
from pydantic import Field

from lstm_lab.config import Count
from lstm_lab.config.registry import Named
from lstm_lab.sweeps.ordering import Compares
from lstm_lab.sweeps.schedulers.base import Scheduler
from lstm_lab.sweeps.schedulers.fifo import FIFO
from lstm_lab.sweeps.space.domains import Overrides
from lstm_lab.sweeps.space.search_space import SearchSpace
from lstm_lab.sweeps.wandb_format import NoWandbEquivalent, WandbEarlyStopping

if TYPE_CHECKING:
    from ray.tune.schedulers import TrialScheduler


class Observation(NamedTuple):
    """A trial of a population at one comparison."""

    trial: str
    epochs: int
    """That it has trained."""
    overrides: Overrides
    """Its hyperparameters since the comparison before."""
    gain: float | None
    """Improvement of the monitored metric per epoch since then, positive is better; None where it is not known."""


class PopulationScheduler(Scheduler):
    """Base of population-based training: bad trials copy good ones (exploit) with other hyperparameters (explore).

    All trials train at the same time. Every `perturbation_interval` epochs they are compared, and those in the bottom
    `quantile_fraction` continue from the weights of those in the top one.
    """

    stops_trials = False
    compares = Compares.POPULATION

    class Config(Named):
        perturbation_interval: Count = 5
        """Epochs between two comparisons."""
        quantile_fraction: Annotated[float, Field(gt=0.0, le=0.5)] = 0.25
        """Fraction of the trials that is replaced by copies of trials from as large a fraction of the best."""

    def __init__(self, perturbation_interval: int, quantile_fraction: float) -> None:
        self.perturbation_interval, self.quantile_fraction = perturbation_interval, quantile_fraction

    @abstractmethod
    def explore(
        self,
        overrides: Overrides,
        search_space: SearchSpace,
        history: Sequence[Observation],
        epochs: int,
        rng: np.random.Generator,
    ) -> Overrides:
        """New hyperparameters for a trial that copies another.

        Args:
            overrides: the hyperparameters of the trial that is copied.
            history: all comparisons so far, in their order.
            epochs: that the copying trial has trained.
        """

    def tune_scheduler(self, max_epochs: int, metric: str, mode: str) -> TrialScheduler:
        # Tune stops no trial; the driver copies checkpoints between run folders.
        return FIFO().tune_scheduler(max_epochs, metric, mode)

    def decision_epochs(self, max_epochs: int) -> list[int]:
        return list(range(self.perturbation_interval, max_epochs, self.perturbation_interval))

    def to_wandb(self) -> WandbEarlyStopping:
        raise NoWandbEquivalent("W&B has no population-based training; write scheduler: asha or fifo")
