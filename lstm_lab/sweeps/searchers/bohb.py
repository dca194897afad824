"""BOHB: Bayesian optimisation with a kernel density estimator, beside Hyperband (Falkner, Klein & Hutter 2018)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from lstm_lab.config import Count
from lstm_lab.config.registry import Named
from lstm_lab.sweeps.objectives import Outcome
from lstm_lab.sweeps.searchers.base import Searcher
from lstm_lab.sweeps.space.domains import Overrides
from lstm_lab.sweeps.space.search_space import SearchSpace
from lstm_lab.sweeps.wandb_format import WandbSearch

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

COMPLETE = 10**9
"""Budget of a result of which only the value is known: that of an earlier sweep."""


class BOHB(Searcher, name="bohb"):
    """Density of the good configurations over that of the bad ones, of the largest budget with enough of them; a share
    of the configurations is random. With `scheduler: hyperband`, whose stopped trials it learns from, it is BOHB.
    """

    supports_grid = False
    takes_first = True

    class Config(Named):
        min_points_in_model: Count | None = None
        """Configurations that are good, and bad, at least; null: the hyperparameters and one more. The model is built
        once two more have so many epochs."""
        top_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.15
        """Share of the configurations that count as good."""
        num_candidates: Count = 64
        """Draws from the density of the good ones, of which the best is proposed."""
        random_fraction: Annotated[float, Field(ge=0.0, le=1.0)] = 1 / 3
        """Share of the configurations that are drawn from the space, without the model."""
        bandwidth_factor: Annotated[float, Field(gt=0.0)] = 3.0
        """What the bandwidth is multiplied with for the draws."""

    MIN_BANDWIDTH = 1e-3

    def __init__(
        self, min_points_in_model: int | None, top_share: float, num_candidates: int, random_fraction: float,
        bandwidth_factor: float,
    ) -> None:  # fmt: skip
        self.min_points_in_model, self.top_share = min_points_in_model, top_share
        self.num_candidates, self.random_fraction = num_candidates, random_fraction
        self.bandwidth_factor = bandwidth_factor

    @property
    def learns_from_results(self) -> bool:
        return True

    def setup(self, search_space: SearchSpace, num_samples: int, seed: int, mode: str) -> None:
        super().setup(search_space, num_samples, seed, mode)
        self.axes = [Axis.of(key, *domain.optuna_distribution()) for key, domain in search_space.domains.items()]
        self.least = self.min_points_in_model or len(self.axes) + 1
        self.results: dict[int, list[tuple[float, Overrides]]] = {}
        """Epochs -> loss and configuration of those that were trained so long."""
        self.failed: list[Overrides] = []

    def tell(self, number: int, overrides: Overrides, value: float | None) -> None:
        self.tell_outcome(number, overrides, Outcome(value))

    def tell_outcome(self, number: int, overrides: Overrides, outcome: Outcome) -> None:
        if outcome.value is None:
            self.failed.append(overrides)
            return
        for epochs, value in outcome.by_epochs or ((COMPLETE, outcome.value),):
            loss = -value if self.mode == "max" else value
            self.results.setdefault(epochs, []).append((loss, overrides))

    def ask(self, number: int) -> Overrides:
        if number < len(self.first):
            return self.first[number]
        # Seeded by the number, not by a running generator: a resumed search proposes the same configurations.
        rng = np.random.default_rng((self.seed, number, 1))
        is_random = rng.random() < self.random_fraction
        found = None if is_random else self.densities(rng)
        if found is not None:
            good, bad = found
            drawn = good.draw(self.num_candidates, rng, self.bandwidth_factor)
            for index in np.argsort(bad.log_density(drawn) - good.log_density(drawn), kind="stable"):
                overrides = self._overrides(drawn[index])
                if self.search_space.satisfies_constraints(overrides):
                    return overrides
        return self.search_space.sample((self.seed, number))

    def densities(self, rng: np.random.Generator) -> tuple[Density, Density] | None:
        """Of good and of bad configurations, at the largest budget that has enough of them; None where none has."""
        enough = [epochs for epochs, rows in self.results.items() if len(rows) + len(self.failed) >= self.least + 2]
        if not enough:
            return None
        ranked = sorted(self.results[max(enough)], key=lambda row: row[0])
        rows = [*(overrides for _, overrides in ranked), *self.failed]
        points = self._filled(np.array([[axis.encode(row) for axis in self.axes] for row in rows], float), rng)
        num_good = max(self.least, int(self.top_share * len(rows)))
        num_bad = max(self.least, len(rows) - num_good)
        return self._density(points[:num_good]), self._density(points[-num_bad:])

    def _density(self, points: np.ndarray) -> Density:
        return Density.of(points, [axis.count for axis in self.axes], self.MIN_BANDWIDTH)

    def _filled(self, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Values of keys that a configuration does not have, drawn from those of the others."""
        for column, axis in zip(points.T, self.axes, strict=True):
            missing = np.isnan(column)
            known = column[~missing]
            if missing.any():
                column[missing] = rng.choice(known, missing.sum()) if len(known) else axis.draw(rng, int(missing.sum()))
        return points

    def _overrides(self, point: np.ndarray) -> Overrides:
        """The configuration of a point, decoded by the domains as Optuna's trials are."""
        from optuna.trial import FixedTrial

        trial = FixedTrial({axis.key: axis.decode(x) for axis, x in zip(self.axes, point, strict=True)})
        space = self.search_space
        return space.keep_active({key: domain.suggest(key, trial) for key, domain in space.domains.items()})

    def to_wandb(self, search_space: SearchSpace) -> WandbSearch:
        return WandbSearch("bayes", (f"searcher {self.name} is replaced by W&B's Gaussian process",))


@dataclass(frozen=True)
class Axis:
    """A hyperparameter as a coordinate: in [0, 1], or the number of a category."""

    key: str
    distribution: BaseDistribution
    to_parameter: Any
    """Value -> the parameter of Optuna's distribution."""
    count: int
    """Of categories; 0: it is a number."""

    @classmethod
    def of(cls, key: str, distribution: BaseDistribution, to_parameter: Any) -> Axis:
        from optuna.distributions import CategoricalDistribution

        count = len(distribution.choices) if isinstance(distribution, CategoricalDistribution) else 0
        return cls(key, distribution, to_parameter, count)

    def encode(self, overrides: Overrides) -> float:
        """The coordinate of a configuration; NaN where it does not have the key."""
        from optuna.distributions import IntDistribution

        if self.key not in overrides:
            return math.nan
        x, d = float(self.distribution.to_internal_repr(self.to_parameter(overrides[self.key]))), self._bounds()
        if self.count:
            return x
        if isinstance(self.distribution, IntDistribution):
            return (x - d[0] + 0.5) / (d[1] - d[0] + 1)
        low, high = map(self._scaled, d)
        return (self._scaled(x) - low) / (high - low) if high > low else 0.5

    def decode(self, x: float) -> Any:
        """The parameter of a coordinate."""
        from optuna.distributions import IntDistribution

        if self.count:
            return int(x)
        low, high = self._bounds()
        if isinstance(self.distribution, IntDistribution):
            return min(int(low + x * (high - low + 1)), int(high))
        inside = self._scaled(low) + x * (self._scaled(high) - self._scaled(low))
        return min(max(math.exp(inside) if self._is_log else inside, low), high)

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Coordinates drawn evenly."""
        return rng.integers(self.count, size=count).astype(float) if self.count else rng.random(count)

    def _bounds(self) -> tuple[float, float]:
        from optuna.distributions import FloatDistribution, IntDistribution

        d = self.distribution
        return (float(d.low), float(d.high)) if isinstance(d, FloatDistribution | IntDistribution) else (0.0, 1.0)

    @property
    def _is_log(self) -> bool:
        from optuna.distributions import FloatDistribution

        return isinstance(self.distribution, FloatDistribution) and self.distribution.log

    def _scaled(self, x: float) -> float:
        return math.log(x) if self._is_log else x


@dataclass(frozen=True)
class Density:
    """A kernel density over several coordinates: a product of kernels around each point.

    The kernel of a number is normal, that of a category is Aitchison and Aitken's; bandwidths follow Scott's rule.
    """

    points: np.ndarray
    """(N, D)"""
    bandwidths: np.ndarray
    """(D,)"""
    counts: Sequence[int]
    """(D,) categories; 0: a number."""

    @classmethod
    def of(cls, points: np.ndarray, counts: Sequence[int], least: float) -> Density:
        """Around points (N, D).

        Args:
            counts: (D,) categories; 0: a number.
            least: bandwidth.
        """
        n, d = points.shape
        widths = np.maximum(1.06 * points.std(0) * n ** (-1 / (4 + d)), least)
        # A category must stay more likely than the others together are by chance.
        most = np.array([(count - 1) / count if count > 1 else np.inf for count in counts])
        return cls(points, np.minimum(widths, most), counts)

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """(M,) logarithm of the density at (M, D)."""
        total = np.zeros((len(x), len(self.points)))
        for j, (width, count) in enumerate(zip(self.bandwidths, self.counts, strict=True)):
            if count > 1:
                same = x[:, j, None] == self.points[None, :, j]
                total += np.where(same, np.log1p(-width), np.log(width / (count - 1)))
            elif not count:
                z = (x[:, j, None] - self.points[None, :, j]) / width
                total -= z**2 / 2 + np.log(width * math.sqrt(2 * math.pi))
        most = total.max(1)
        found: np.ndarray = most + np.log(np.exp(total - most[:, None]).mean(1))
        return found

    def draw(self, count: int, rng: np.random.Generator, factor: float) -> np.ndarray:
        """(count, D) points near those of the density, inside of the space.

        Args:
            factor: what bandwidths are multiplied with.
        """
        found = self.points[rng.integers(len(self.points), size=count)].copy()
        for j, (width, categories) in enumerate(zip(self.bandwidths, self.counts, strict=True)):
            if categories:
                moves = rng.random(count) < width
                found[moves, j] = rng.integers(categories, size=int(moves.sum()))
                continue
            for i, mean in enumerate(found[:, j]):  # From the normal distribution, cut to [0, 1].
                normal = NormalDist(mean, width * factor)
                share = rng.uniform(normal.cdf(0.0), normal.cdf(1.0))
                found[i, j] = min(max(normal.inv_cdf(min(max(share, 1e-12), 1 - 1e-12)), 0.0), 1.0)
        return found
