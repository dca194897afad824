"""The normal distribution as a domain."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from lstm_lab.sweeps.space.domains.base import Domain, OptunaDistribution
from lstm_lab.sweeps.space.domains.ranges import Range

if TYPE_CHECKING:
    from optuna.trial import BaseTrial


class Normal(Range, name="normal"):
    """Normal with a mean and a standard deviation, truncated at three of them, so that it has bounds to check."""

    syntax = "[mean, std]"
    cutoff: ClassVar[float] = 3.0
    """Standard deviations from the mean to each bound."""
    from_wandb = {"normal": lambda parameter: [parameter.get("mu", 0.0), parameter.get("sigma", 1.0)]}
    wandb_note = "the normal is truncated at three standard deviations, but not in W&B"

    def check_arguments(self, *arguments: float) -> None:
        _, std = arguments
        if std <= 0:
            raise ValueError(f"std must be above 0, got {std}")
        tail = NormalDist().cdf(-self.cutoff)
        self._quantiles = (tail, 1 - tail)

    @property
    def bounds(self) -> tuple[float, float]:
        mean, std = self.arguments
        return mean - self.cutoff * std, mean + self.cutoff * std

    def joined(self, other: Domain) -> Domain:
        assert isinstance(other, Normal)
        bounds = (*self.bounds, *other.bounds)
        low, high = min(bounds), max(bounds)
        return type(self)([(low + high) / 2, (high - low) / (2 * self.cutoff)])

    def value(self, quantile: float) -> float:
        """The value at a quantile of the normal that is not truncated."""
        mean, std = self.arguments
        low, high = self.bounds
        return float(min(max(mean + std * NormalDist().inv_cdf(quantile), low), high))

    def quantile(self, value: float) -> float:
        """The inverse of `value`."""
        mean, std = self.arguments
        low, high = self._quantiles
        return min(max(NormalDist().cdf((value - mean) / std), low), high)

    def sample(self, rng: np.random.Generator) -> float:
        return self.value(float(rng.uniform(*self._quantiles)))

    def suggest(self, key: str, trial: BaseTrial) -> float:
        # Optuna has no normal distribution: it models the quantile, which is uniform.
        return self.value(trial.suggest_float(key, *self._quantiles))

    def optuna_distribution(self) -> OptunaDistribution:
        from optuna.distributions import FloatDistribution

        return OptunaDistribution(FloatDistribution(*self._quantiles), self.quantile)

    def to_wandb(self) -> dict[str, object]:
        mean, std = self.arguments
        return {"distribution": "normal", "mu": mean, "sigma": std}
