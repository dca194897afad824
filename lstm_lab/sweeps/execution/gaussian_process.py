"""A Gaussian process over the numbers of a population and the time at which they were tried.

Parker-Holder et al. (2020), "Provably Efficient Online Hyperparameter Optimization with Population-Based Bandits":
k((x, t), (x', t')) = exp(-|x - x'|^2 / 2 l^2) (1 - e)^(|t - t'| / 2), so that what was found out long ago counts less.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstm_lab.sweeps.space.domains import Domain

Array = NDArray[np.float64]
LENGTHS = (0.1, 0.2, 0.4, 0.8)
FORGETTING = (0.0, 0.05, 0.2)
NOISE = (0.01, 0.1, 0.4)


class Kernel(NamedTuple):
    """Length l in the unit cube, forgetting e for each interval, and variance of the noise."""

    length: float
    forgetting: float
    noise: float

    def __call__(self, a: Array, b: Array) -> Array:
        """(N, D + 1) and (M, D + 1), the time last -> (N, M)."""
        apart = ((a[:, None, :-1] - b[None, :, :-1]) ** 2).sum(-1)
        passed = np.abs(a[:, None, -1] - b[None, :, -1])
        return np.exp(-apart / (2 * self.length**2)) * (1 - self.forgetting) ** (passed / 2)


class GaussianProcess:
    """What gains are to be expected; its kernel is the one under which those seen are likeliest.

    Args:
        x: (N, D + 1) in the unit cube, the time in intervals last.
        y: (N,) gains.
    """

    def __init__(self, x: Array, y: Array, kernel: Kernel | None = None) -> None:
        self.x, self.shift, self.scale = x, y.mean(), y.std() or 1.0
        standard = (y - self.shift) / self.scale
        kernels = [kernel] if kernel else [Kernel(*each) for each in itertools.product(LENGTHS, FORGETTING, NOISE)]
        self.kernel = max(kernels, key=lambda each: self._solve(each, standard))
        self._solve(self.kernel, standard)

    def _solve(self, kernel: Kernel, y: Array) -> float:
        """Solve for this kernel; the logarithm of the likelihood."""
        self.L = np.linalg.cholesky(kernel(self.x, self.x) + kernel.noise * np.eye(len(y)))
        self.alpha = np.linalg.solve(self.L.T, np.linalg.solve(self.L, y))
        return float(-0.5 * y @ self.alpha - np.log(np.diag(self.L)).sum())

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the gain at each of (M, D + 1)."""
        near = self.kernel(self.x, x)  # (N, M)
        seen = np.linalg.solve(self.L, near)
        deviation = np.sqrt(np.maximum(1.0 - (seen**2).sum(0), 1e-12))
        return near.T @ self.alpha * self.scale + self.shift, deviation * self.scale


def select_ucb(process: GaussianProcess, candidates: Array, pending: Array, time: float) -> int:
    """The candidate with the highest upper bound, as if what still runs had come to what is expected of it."""
    if len(pending):
        expected, _ = process(pending)
        x = np.concatenate([process.x, pending])
        y = np.concatenate([process.L @ process.L.T @ process.alpha * process.scale + process.shift, expected])
        process = GaussianProcess(x, y, process.kernel)
    mean, deviation = process(candidates)
    return int(np.argmax(mean + np.sqrt(0.2 * np.log(1 + 0.4 * (1 + time))) * deviation))


def to_unit_cube(domains: Mapping[str, Domain], point: Mapping[str, Any]) -> list[float]:
    """A point in the unit cube: logarithms where the domain has them, places where it is a list."""
    return [_unit(domain, point[key]) for key, domain in domains.items()]


def _unit(domain: Domain, value: Any) -> float:
    distribution, convert = domain.optuna_distribution()
    inner = distribution.to_internal_repr(convert(value))
    choices: Sequence[Any] | None = getattr(distribution, "choices", None)
    low, high = (0, len(choices) - 1) if choices is not None else (distribution.low, distribution.high)
    if getattr(distribution, "log", False):
        inner, low, high = np.log(inner), np.log(low), np.log(high)
    return float((inner - low) / (high - low)) if high > low else 0.0
