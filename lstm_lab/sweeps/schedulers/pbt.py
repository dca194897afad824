"""Population-based training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from lstm_lab.hyperparameter_schedule import MUTABLE, is_mutable
from lstm_lab.sweeps.schedulers.base import SweepSettings
from lstm_lab.sweeps.schedulers.population import Observation, PopulationScheduler
from lstm_lab.sweeps.space.domains import Overrides
from lstm_lab.sweeps.space.search_space import MAX_ATTEMPTS, SearchSpace


class PBT(PopulationScheduler, name="pbt"):
    """Population-based training (Jaderberg et al. 2017): the worst trials copy and perturb the best.

    All configurations train at the same time. Only hyperparameters that change no shape can be tuned: those of the
    optimizer, dropout of the model, and the gradient clipping.
    """

    class Config(PopulationScheduler.Config):
        resample_probability: Annotated[float, Field(ge=0.0, le=1.0)] = 0.25
        """Probability that a hyperparameter is sampled again instead of perturbed."""

    def __init__(self, perturbation_interval: int, quantile_fraction: float, resample_probability: float) -> None:
        super().__init__(perturbation_interval, quantile_fraction)
        self.resample_probability = resample_probability

    def check(self, sweep: SweepSettings) -> None:
        if len(sweep.seeds) > 1:
            raise ValueError(
                f"seeds: {list(sweep.seeds)}: the trials of {self.name} are one population; write one seed"
            )
        if sweep.learns_from_results:
            raise ValueError(
                f"searcher: all trials of {self.name} start at once, with no results to learn from; write random"
            )
        for key, value in (
            ("confirm", sweep.confirm), ("patience_trials", sweep.patience_trials),
            ("cross_validation", sweep.cross_validation),
        ):  # fmt: skip
            if value is not None:
                raise ValueError(
                    f"{key}: has no meaning for {self.name}, where configurations change during training; leave it out"
                )
        if sweep.base.hyperparameter_schedule:
            raise ValueError(f"experiment.hyperparameter_schedule: {self.name} makes the schedule; leave it out")
        max_epochs = sweep.base.trainer.max_epochs
        if self.perturbation_interval >= max_epochs:
            raise ValueError(
                f"scheduler.perturbation_interval: {self.perturbation_interval} must be below trainer.max_epochs, "
                f"which is {max_epochs}"
            )
        for key, domain in sweep.space.items():
            if domain.when:
                raise ValueError(
                    f"space.{key}: {self.name} changes all hyperparameters of all trials; leave `when` out"
                )
            if not is_mutable(sweep.base.optimizer, key):
                raise ValueError(
                    f"space.{key}: {self.name} copies weights between trials, and this may change their shape or "
                    f"meaning; it takes {MUTABLE}"
                )
        if sweep.num_configurations < 2:
            raise ValueError(
                f"num_samples: {self.name} needs a population of at least 2, got {sweep.num_configurations}"
            )

    def explore(
        self,
        overrides: Overrides,
        search_space: SearchSpace,
        history: Sequence[Observation],
        epochs: int,
        rng: np.random.Generator,
    ) -> Overrides:
        """Each hyperparameter sampled again or perturbed; unchanged where the constraints rule out every attempt."""
        for _ in range(MAX_ATTEMPTS):
            new = {
                key: domain.sample(rng)
                if rng.random() < self.resample_probability
                else domain.perturb(overrides[key], rng)
                for key, domain in search_space.domains.items()
            }
            if search_space.satisfies_constraints(new):
                return {key: new[key] for key in overrides}
        return dict(overrides)
