"""Population-based bandits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from lstm_lab.sweeps.schedulers.gaussian_process import GaussianProcess, select_ucb, to_unit_cube
from lstm_lab.sweeps.schedulers.pbt import PBT
from lstm_lab.sweeps.schedulers.population import Observation, PopulationScheduler
from lstm_lab.sweeps.space.domains import Overrides
from lstm_lab.sweeps.space.search_space import SearchSpace


class PB2(PBT, name="pb2"):
    """Population-based bandits (Parker-Holder et al. 2020): as pbt, with hyperparameters chosen by a model.

    A Gaussian process over the hyperparameters and the epochs predicts the gain per epoch. It is meant for small
    populations, from four trials on.
    """

    NUM_CANDIDATES: ClassVar[int] = 200
    MIN_OBSERVATIONS: ClassVar[int] = 3
    """Gains without which the hyperparameters are sampled at random."""

    class Config(PopulationScheduler.Config):
        """Without `resample_probability`: the model chooses."""

    def __init__(self, perturbation_interval: int, quantile_fraction: float) -> None:
        super().__init__(perturbation_interval, quantile_fraction, resample_probability=1.0)

    def explore(
        self,
        overrides: Overrides,
        search_space: SearchSpace,
        history: Sequence[Observation],
        epochs: int,
        rng: np.random.Generator,
    ) -> Overrides:
        """The candidate with the highest upper confidence bound of the gain, out of random configurations."""

        def encode(configurations: Sequence[tuple[Overrides, int]]) -> np.ndarray:
            rows = [
                [*to_unit_cube(search_space.domains, each), time / self.perturbation_interval]
                for each, time in configurations
            ]
            return np.array(rows)

        known = [(each, each.gain) for each in history if each.gain is not None]
        if len(known) < self.MIN_OBSERVATIONS:
            return super().explore(overrides, search_space, history, epochs, rng)
        process = GaussianProcess(
            encode([(each.overrides, each.epochs) for each, _ in known]), np.array([gain for _, gain in known])
        )
        candidates = [search_space.sample((int(rng.integers(2**31)),)) for _ in range(self.NUM_CANDIDATES)]
        running = {each.trial: each.overrides for each in history}
        best = select_ucb(
            process,
            encode([(each, epochs) for each in candidates]),
            encode([(each, epochs) for each in running.values()]),
            epochs / self.perturbation_interval,
        )
        return {key: candidates[best][key] for key in overrides}
