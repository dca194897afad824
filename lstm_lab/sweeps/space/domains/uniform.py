"""Domains between two bounds, each value or each decade equally likely."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lstm_lab.sweeps.space.domains.base import OptunaDistribution
from lstm_lab.sweeps.space.domains.ranges import Range
from lstm_lab.sweeps.wandb_format import min_max

if TYPE_CHECKING:
    from optuna.trial import BaseTrial


class Uniform(Range, name="uniform"):
    """A number between two bounds."""

    from_wandb = {"uniform": min_max}

    def sample(self, rng: np.random.Generator) -> float:
        low, high = self.bounds
        return float(rng.uniform(low, high))

    def suggest(self, key: str, trial: BaseTrial) -> float:
        return trial.suggest_float(key, *self.bounds, log=self.log)

    def optuna_distribution(self) -> OptunaDistribution:
        from optuna.distributions import FloatDistribution

        low, high = self.bounds
        return OptunaDistribution(FloatDistribution(float(low), float(high), log=self.log), float)

    def to_wandb(self) -> dict[str, object]:
        low, high = self.bounds
        return {"distribution": "uniform", "min": low, "max": high}


class LogUniform(Uniform, name="loguniform"):
    """A number between two bounds, each decade equally likely."""

    log = True
    from_wandb = {
        "log_uniform_values": min_max,
        # The bounds are exponents of e.
        "log_uniform": lambda parameter: [math.exp(bound) for bound in min_max(parameter)],
    }

    def sample(self, rng: np.random.Generator) -> float:
        low, high = self.bounds
        return min(max(float(np.exp(rng.uniform(np.log(low), np.log(high)))), low), high)

    def to_wandb(self) -> dict[str, object]:
        return {**super().to_wandb(), "distribution": "log_uniform_values"}


class RandInt(Range, name="randint"):
    """A whole number between two bounds, both included."""

    integer = True
    from_wandb = {"int_uniform": min_max}

    def sample(self, rng: np.random.Generator) -> int:
        low, high = self.bounds
        return int(rng.integers(int(low), int(high) + 1))

    def suggest(self, key: str, trial: BaseTrial) -> int:
        low, high = self.bounds
        return trial.suggest_int(key, int(low), int(high))

    def optuna_distribution(self) -> OptunaDistribution:
        from optuna.distributions import IntDistribution

        low, high = self.bounds
        return OptunaDistribution(IntDistribution(int(low), int(high)), int)

    def to_wandb(self) -> dict[str, object]:
        low, high = self.bounds
        return {"distribution": "int_uniform", "min": low, "max": high}
