"""How sure a difference is: paired tests, intervals, and ranks over several data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from lstm_lab.report import fmt

ENOUGH = 6
"""Fewest pairs of which all can go one way by chance less often than one time in twenty (signed ranks, two-sided)."""
LEVEL = 0.95


@dataclass(frozen=True)
class Paired:
    """Differences of pairs alike in everything else."""

    n: int
    mean: float
    low: float | None
    high: float | None
    """Interval of the mean difference; None for one pair."""
    p: float | None
    """Wilcoxon's signed-rank test, two-sided, exact; None with too few pairs to say anything."""

    @property
    def shown(self) -> bool:
        """Whether chance alone would show such a difference less often than one time in twenty."""
        return self.p is not None and self.p < 1 - LEVEL


def paired(differences: Sequence[float]) -> Paired:
    """Mean of paired differences, how far it can be trusted, and the chance of it without a difference."""
    low, high = interval(differences)
    return Paired(len(differences), mean(differences), low, high, signed_rank(differences))


def signed_rank(differences: Sequence[float]) -> float | None:
    """Wilcoxon (1945); pairs that are level are left out, as he did."""
    from scipy.stats import wilcoxon

    apart = [difference for difference in differences if difference != 0]
    return float(wilcoxon(apart).pvalue) if len(apart) >= ENOUGH else None


def interval(values: Sequence[float]) -> tuple[float, float] | tuple[None, None]:
    """Of a mean, at 95 %: bootstrapped (BCa; Efron, 1987) from 10 values on, where fewer are too narrow, Student's."""
    import numpy as np
    from scipy import stats

    if len(values) < 2:
        return None, None
    if min(values) == max(values):
        return values[0], values[0]
    if len(values) < 10:
        half = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1)) * stdev(values) / len(values) ** 0.5
        return mean(values) - half, mean(values) + half
    found = stats.bootstrap(
        (np.asarray(values),), np.mean, confidence_level=LEVEL, n_resamples=2000, rng=np.random.default_rng(0)
    ).confidence_interval
    return float(found.low), float(found.high)


def holm(chances: Sequence[float]) -> list[float]:
    """Chances of several tests at once, corrected step by step (Holm, 1979)."""
    order = sorted(range(len(chances)), key=lambda place: chances[place])
    corrected, highest = [0.0] * len(chances), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(chances) - rank) * chances[place]))
        corrected[place] = highest
    return corrected


@dataclass(frozen=True)
class Ranks:
    """Mean ranks of treatments over blocks (Demšar, 2006)."""

    names: list[str]
    """Best first."""
    ranks: list[float]
    blocks: int
    p: float
    """Friedman's test: the chance of such ranks where all are alike."""
    critical: float
    """Nemenyi: two that are nearer than this are not told apart."""

    @property
    def alike(self) -> list[tuple[int, int]]:
        """The longest runs of treatments that are not told apart, as first and last place."""
        runs: list[tuple[int, int]] = []
        for first in range(len(self.ranks)):
            last = max(place for place, rank in enumerate(self.ranks) if rank - self.ranks[first] < self.critical)
            if last > first and not any(start <= first and last <= end for start, end in runs):
                runs.append((first, last))
        return runs


def ranks(names: Sequence[str], blocks: Sequence[Sequence[float]], mode: str) -> Ranks | None:
    """Ranks of the columns over the rows of `blocks`; None for fewer than three columns or three rows."""
    import numpy as np
    from scipy import stats

    if len(names) < 3 or len(blocks) < 3:
        return None
    held = np.asarray(blocks) * (-1 if mode == "max" else 1)  # (N, k)
    N, k = held.shape
    average = stats.rankdata(held, axis=1).mean(0)
    if (held == held[:, :1]).all():
        return None
    critical = float(stats.studentized_range.ppf(LEVEL, k, np.inf)) / 2**0.5 * (k * (k + 1) / (6 * N)) ** 0.5
    order = np.argsort(average, kind="stable")
    p = float(stats.friedmanchisquare(*held.T).pvalue)
    return Ranks([names[place] for place in order], [float(average[place]) for place in order], N, p, critical)


def chance(p: float | None) -> str:
    """`p = 0.031`, `p < 0.001`"""
    if p is None:
        return "no test"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def between(low: float | None, high: float | None) -> str:
    return fmt.NONE if low is None or high is None else f"{fmt.number(low)} to {fmt.number(high)}"
