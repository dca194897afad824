"""Gaussian process over the hyperparameters of a population and the time at which they were used.

Parker-Holder et al. (2020), "Provably Efficient Online Hyperparameter Optimization with Population-Based Bandits":
k((x, t), (x', t')) = exp(-|x - x'|^2 / 2 l^2) (1 - e)^(|t - t'| / 2), so that older observations count less.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstm_lab.sweeps.space.domains import Domain

Array = NDArray[np.float64]
LENGTH_SCALES = (0.1, 0.2, 0.4, 0.8)
FORGETTING = (0.0, 0.05, 0.2)
NOISE = (0.01, 0.1, 0.4)


class Kernel(NamedTuple):
    """Covariance of two observations."""

    length_scale: float
    """l, in the unit cube."""
    forgetting: float
    """e, for each perturbation interval."""
    noise: float
    """Variance."""

    def __call__(self, a: Array, b: Array) -> Array:
        """(N, D + 1) and (M, D + 1), the time last -> (N, M)."""
        squared_distance = ((a[:, None, :-1] - b[None, :, :-1]) ** 2).sum(-1)
        elapsed = np.abs(a[:, None, -1] - b[None, :, -1])
        covariance: Array = np.exp(-squared_distance / (2 * self.length_scale**2)) * (1 - self.forgetting) ** (
            elapsed / 2
        )
        return covariance


class GaussianProcess:
    """Posterior of the gain, with the kernel of the highest marginal likelihood.

    Args:
        x: (N, D + 1) in the unit cube, the time in perturbation intervals last.
        y: (N,) gains.
        kernel: instead of the most likely one.
    """

    def __init__(self, x: Array, y: Array, kernel: Kernel | None = None) -> None:
        self.x, self.shift, self.scale = x, float(y.mean()), float(y.std()) or 1.0
        standardized = (y - self.shift) / self.scale
        grid = itertools.product(LENGTH_SCALES, FORGETTING, NOISE)
        kernels = [kernel] if kernel else [Kernel(*each) for each in grid]
        self.kernel = max(kernels, key=lambda each: self._fit(each, standardized))
        self._fit(self.kernel, standardized)

    def _fit(self, kernel: Kernel, y: Array) -> float:
        """Solve for a kernel; returns the log marginal likelihood up to a constant."""
        self.L = np.linalg.cholesky(kernel(self.x, self.x) + kernel.noise * np.eye(len(y)))
        self.alpha = np.linalg.solve(self.L.T, np.linalg.solve(self.L, y))
        return float(-0.5 * y @ self.alpha - np.log(np.diag(self.L)).sum())

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the gain at each of (M, D + 1)."""
        covariance = self.kernel(self.x, x)  # (N, M)
        explained = np.linalg.solve(self.L, covariance)
        std = np.sqrt(np.maximum(1.0 - (explained**2).sum(0), 1e-12))
        return covariance.T @ self.alpha * self.scale + self.shift, std * self.scale


def select_ucb(process: GaussianProcess, candidates: Array, pending: Array, time: float) -> int:
    """The candidate with the highest upper confidence bound, if those that run have the gains expected of them.

    Args:
        candidates, pending: (M, D + 1) and (P, D + 1) in the unit cube.
        time: in perturbation intervals; the later, the more is explored.
    """
    if len(pending):
        expected, _ = process(pending)
        x = np.concatenate([process.x, pending])
        y = np.concatenate([process.L @ process.L.T @ process.alpha * process.scale + process.shift, expected])
        process = GaussianProcess(x, y, process.kernel)
    mean, std = process(candidates)
    return int(np.argmax(mean + np.sqrt(0.2 * np.log(1 + 0.4 * (1 + time))) * std))


def to_unit_cube(domains: Mapping[str, Domain], overrides: Mapping[str, object]) -> list[float]:
    """A configuration in the unit cube: on a log scale where the domain is, by the index in a list of values."""
    return [_to_unit_interval(domain, overrides[key]) for key, domain in domains.items()]


def _to_unit_interval(domain: Domain, value: object) -> float:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    distribution, encode = domain.optuna_distribution()
    position = distribution.to_internal_repr(encode(value))
    if isinstance(distribution, CategoricalDistribution):
        low, high = 0.0, len(distribution.choices) - 1.0
    else:
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        low, high = float(distribution.low), float(distribution.high)
        if distribution.log:
            position, low, high = (float(np.log(each)) for each in (position, low, high))
    return float((position - low) / (high - low)) if high > low else 0.0
