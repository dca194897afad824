"""Domains between bounds: continuous, whole, in steps, on a log scale, and the normal."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, ClassVar

import numpy as np

from lstm_lab.sweeps.space.domains import Domain


class Range(Domain):
    """Base of the domains between two bounds."""

    log: ClassVar[bool] = False
    whole: ClassVar[bool] = False
    shape: ClassVar[str] = "[low, high]"

    def check(self) -> None:
        def fits(bound: Any) -> bool:
            kinds = int if self.whole else (int, float)
            return isinstance(bound, kinds) and type(bound) is not bool and math.isfinite(bound)

        given, count = self.arguments, self.shape.count(",") + 1
        if not isinstance(given, list) or len(given) != count or not all(map(fits, given)):
            raise ValueError(f"must be {self.shape} of {'whole ' if self.whole else ''}numbers, got {given!r}")
        self.check_bounds(*given)

    def check_bounds(self, low: float, high: float) -> None:
        """Raise ValueError for numbers that span no range."""
        if low >= high:
            raise ValueError(f"low must be below high, got {[low, high]!r}")
        if self.log and low <= 0:
            raise ValueError(f"low must be above 0 on a log scale, got {low}")

    @property
    def bounds(self) -> tuple[Any, Any]:
        """The lowest and the highest value there is."""
        return self.arguments[0], self.arguments[1]

    def corner_values(self) -> list[Any]:
        return list(self.bounds)

    def contains(self, value: Any) -> bool:
        kinds = int if self.whole else (int, float)
        low, high = self.bounds
        return isinstance(value, kinds) and type(value) is not bool and low <= value <= high

    def perturb(self, value: Any, random: np.random.Generator) -> Any:
        """A quarter more or a fifth less on a log scale, a tenth of the range else; at least 1 of what is whole."""
        low, high = self.bounds
        up = bool(random.integers(2))
        step = max((high - low) / 10, 1 if self.whole else 0)
        moved = value * (1.25 if up else 0.8) if self.log else value + (step if up else -step)
        return min(max(round(moved) if self.whole else float(moved), low), high)


class Uniform(Range, name="uniform"):
    """A number between two bounds."""

    def sample(self, random: np.random.Generator) -> float:
        return float(random.uniform(*self.arguments))

    def suggest(self, key: str, trial: Any) -> float:
        return trial.suggest_float(key, *self.bounds, log=self.log)

    def optuna_distribution(self) -> tuple[Any, Any]:
        from optuna.distributions import FloatDistribution

        low, high = self.bounds
        return FloatDistribution(float(low), float(high), log=self.log), float


class LogUniform(Uniform, name="loguniform"):
    """A number between two bounds, each decade equally likely."""

    log = True

    def sample(self, random: np.random.Generator) -> float:
        low, high = self.bounds
        return min(max(float(np.exp(random.uniform(np.log(low), np.log(high)))), low), high)


class RandInt(Range, name="randint"):
    """A whole number between two bounds, both included."""

    whole = True

    def sample(self, random: np.random.Generator) -> int:
        low, high = self.arguments
        return int(random.integers(low, high + 1))

    def suggest(self, key: str, trial: Any) -> int:
        return trial.suggest_int(key, *self.arguments)

    def optuna_distribution(self) -> tuple[Any, Any]:
        from optuna.distributions import IntDistribution

        return IntDistribution(*self.arguments), int


class Stepped(Range):
    """Base of the domains that go from low to high in equal steps; whole numbers where all three are whole."""

    shape = "[low, high, step]"

    def check_bounds(self, low: float, high: float, step: float = 1) -> None:
        super().check_bounds(low, high)
        if step <= 0:
            raise ValueError(f"step must be above 0, got {step}")
        self.steps = round((high - low) / step)
        if self.steps < 1 or not math.isclose(low + self.steps * step, high, rel_tol=1e-9, abs_tol=1e-9 * step):
            raise ValueError(f"high must be low and a whole number of steps, got {self.arguments!r}")

    def value(self, place: int) -> Any:
        """The value that so many steps lead to."""
        low, _, step = self.arguments
        if all(isinstance(each, int) for each in self.arguments):
            return low + place * step
        # 0.1 * 3 is 0.30000000000000004: a person asked for 0.3.
        return float(f"{low + place * step:.12g}")

    def place(self, value: float) -> int:
        """The nearest number of steps."""
        low, _, step = self.arguments
        return min(max(round((value - low) / step), 0), self.steps)

    @property
    def bounds(self) -> tuple[Any, Any]:
        return self.value(0), self.value(self.steps)

    def contains(self, value: Any) -> bool:
        return super().contains(value) and self.value(self.place(value)) == value

    def perturb(self, value: Any, random: np.random.Generator) -> Any:
        return self.value(min(max(self.place(value) + int(random.choice([-1, 1])), 0), self.steps))


class QUniform(Stepped, name="quniform"):
    """One of the steps from low to high, each equally likely."""

    def sample(self, random: np.random.Generator) -> Any:
        return self.value(int(random.integers(self.steps + 1)))

    def suggest(self, key: str, trial: Any) -> Any:
        return self.value(trial.suggest_int(key, 0, self.steps))

    def optuna_distribution(self) -> tuple[Any, Any]:
        from optuna.distributions import IntDistribution

        return IntDistribution(0, self.steps), self.place


class QLogUniform(Stepped, name="qloguniform"):
    """The step nearest to a number between low and high, each decade equally likely."""

    log = True

    def sample(self, random: np.random.Generator) -> Any:
        low, high = self.bounds
        return self.value(self.place(float(np.exp(random.uniform(np.log(low), np.log(high))))))

    def suggest(self, key: str, trial: Any) -> Any:
        return self.value(self.place(trial.suggest_float(key, *self.bounds, log=True)))

    def optuna_distribution(self) -> tuple[Any, Any]:
        from optuna.distributions import FloatDistribution

        low, high = self.bounds
        return FloatDistribution(float(low), float(high), log=True), float


class Normal(Range, name="normal"):
    """Normal with a mean and a standard deviation, cut at three of them: so that it has corners to check."""

    shape = "[mean, deviation]"
    cut: ClassVar[float] = 3.0

    def check_bounds(self, mean: float, deviation: float) -> None:
        if deviation <= 0:
            raise ValueError(f"deviation must be above 0, got {deviation}")
        tail = NormalDist().cdf(-self.cut)
        self._shares = (tail, 1 - tail)

    @property
    def bounds(self) -> tuple[float, float]:
        mean, deviation = self.arguments
        return mean - self.cut * deviation, mean + self.cut * deviation

    def _at(self, share: float) -> float:
        """The value below which this share of the whole normal lies."""
        mean, deviation = self.arguments
        low, high = self.bounds
        return min(max(mean + deviation * NormalDist().inv_cdf(share), low), high)

    def sample(self, random: np.random.Generator) -> float:
        return self._at(float(random.uniform(*self._shares)))

    def suggest(self, key: str, trial: Any) -> float:
        # Optuna knows no normal: it is asked for the share, so that what it takes for equally likely is.
        return self._at(trial.suggest_float(key, *self._shares))

    def optuna_distribution(self) -> tuple[Any, Any]:
        from optuna.distributions import FloatDistribution

        def share(value: float) -> float:
            mean, deviation = self.arguments
            low, high = self._shares
            return min(max(NormalDist().cdf((value - mean) / deviation), low), high)

        return FloatDistribution(*self._shares), share
