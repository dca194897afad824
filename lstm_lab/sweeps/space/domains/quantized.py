"""Domains that go from one bound to the other in equal steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lstm_lab.sweeps.space.domains.base import OptunaDistribution
from lstm_lab.sweeps.space.domains.ranges import Range
from lstm_lab.sweeps.wandb_format import NoWandbEquivalent, multiples_of_q

if TYPE_CHECKING:
    from optuna.trial import BaseTrial


class Quantized(Range):
    """Base of the domains from low to high in equal steps; whole numbers where low, high and step are whole."""

    syntax = "[low, high, step]"

    def check_arguments(self, *arguments: float) -> None:
        low, high, step = arguments
        super().check_arguments(low, high)
        if step <= 0:
            raise ValueError(f"step must be above 0, got {step}")
        self.num_steps = round((high - low) / step)
        end = low + self.num_steps * step
        if self.num_steps < 1 or not math.isclose(end, high, rel_tol=1e-9, abs_tol=1e-9 * step):
            raise ValueError(f"high must be low and a whole number of steps, got {self.arguments!r}")

    def value(self, index: int) -> float:
        """The value after so many steps."""
        low, _, step = self.arguments
        if all(isinstance(argument, int) for argument in self.arguments):
            return int(low + index * step)
        # 0.1 * 3 is 0.30000000000000004 and should be 0.3.
        return float(f"{low + index * step:.12g}")

    def index(self, value: float) -> int:
        """The number of steps to the nearest value of the domain."""
        low, _, step = self.arguments
        return int(min(max(round((value - low) / step), 0), self.num_steps))

    @property
    def bounds(self) -> tuple[float, float]:
        return self.value(0), self.value(self.num_steps)

    def contains(self, value: object) -> bool:
        return self._is_number(value) and super().contains(value) and self.value(self.index(value)) == value

    def perturb(self, value: Any, rng: np.random.Generator) -> float:
        """One step up or down."""
        return self.value(min(max(self.index(value) + int(rng.choice([-1, 1])), 0), self.num_steps))


class QUniform(Quantized, name="quniform"):
    """One of the values from low to high in equal steps, each equally likely."""

    from_wandb = {"q_uniform": multiples_of_q}

    def sample(self, rng: np.random.Generator) -> float:
        return self.value(int(rng.integers(self.num_steps + 1)))

    def suggest(self, key: str, trial: BaseTrial) -> float:
        return self.value(trial.suggest_int(key, 0, self.num_steps))

    def optuna_distribution(self) -> OptunaDistribution:
        from optuna.distributions import IntDistribution

        return OptunaDistribution(IntDistribution(0, self.num_steps), self.index)

    def to_wandb(self) -> dict[str, object]:
        # As a list: W&B's q_uniform rounds to multiples of the step and gives the two ends half the probability.
        return {"values": [self.value(index) for index in range(self.num_steps + 1)]}


class QLogUniform(Quantized, name="qloguniform"):
    """The step nearest to a number between low and high, each decade equally likely."""

    log = True
    from_wandb = {"q_log_uniform_values": multiples_of_q}

    def sample(self, rng: np.random.Generator) -> float:
        low, high = self.bounds
        return self.value(self.index(float(np.exp(rng.uniform(np.log(low), np.log(high))))))

    def suggest(self, key: str, trial: BaseTrial) -> float:
        return self.value(self.index(trial.suggest_float(key, *self.bounds, log=True)))

    def optuna_distribution(self) -> OptunaDistribution:
        from optuna.distributions import FloatDistribution

        low, high = self.bounds
        return OptunaDistribution(FloatDistribution(float(low), float(high), log=True), float)

    def to_wandb(self) -> dict[str, object]:
        low, high, step = self.arguments
        if not math.isclose(low, round(low / step) * step, rel_tol=1e-9):
            raise NoWandbEquivalent(f"W&B rounds to multiples of {step:g}, and {low:g} is none; change low or the step")
        return {"distribution": "q_log_uniform_values", "min": low, "max": high, "q": step}
