"""Uncertainty of differences: paired tests, confidence intervals, and mean ranks over several data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from lstm_lab.records.scores import level
from lstm_lab.report import fmt

MIN_PAIRS = 6
"""Fewest pairs with which the two-sided signed-rank test can reach p < 0.05."""
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Paired:
    """Paired differences, summarised."""

    n: int
    mean: float
    low: float | None
    high: float | None
    """Confidence interval of the mean difference; None for one pair."""
    p: float | None
    """Of Wilcoxon's signed-rank test, two-sided, exact; None for fewer than MIN_PAIRS pairs."""

    @property
    def significant(self) -> bool:
        """Whether p < 0.05."""
        return self.p is not None and self.p < 1 - CONFIDENCE


def paired(differences: Sequence[float]) -> Paired:
    """Mean of paired differences, its confidence interval, and the p-value of the signed-rank test."""
    low, high = confidence_interval(differences)
    return Paired(len(differences), mean(differences), low, high, signed_rank(differences))


def signed_rank(differences: Sequence[float]) -> float | None:
    """p-value of Wilcoxon's signed-rank test (1945), two-sided; zeros are dropped. None for too few pairs."""
    from scipy.stats import wilcoxon

    nonzero = [difference for difference in differences if difference != 0]
    return float(wilcoxon(nonzero).pvalue) if len(nonzero) >= MIN_PAIRS else None


def confidence_interval(values: Sequence[float]) -> tuple[float, float] | tuple[None, None]:
    """95 % confidence interval of a mean: BCa bootstrap (Efron, 1987) from 10 values on, Student's t for fewer.

    With few values the bootstrap interval is too narrow. None for fewer than two values.
    """
    import numpy as np
    from scipy import stats

    if len(values) < 2:
        return None, None
    if min(values) == max(values):
        return values[0], values[0]
    if len(values) < 10:
        half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * stdev(values) / len(values) ** 0.5
        return mean(values) - half, mean(values) + half
    found = stats.bootstrap(
        (np.asarray(values),), np.mean, confidence_level=CONFIDENCE, n_resamples=2000, rng=np.random.default_rng(0)
    ).confidence_interval
    return float(found.low), float(found.high)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values of several tests, corrected for their number (Holm, 1979)."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


@dataclass(frozen=True)
class Ranks:
    """Mean ranks of treatments over blocks (Demšar, 2006)."""

    names: list[str]
    """Best first."""
    ranks: list[float]
    blocks: int
    p: float
    """p-value of Friedman's test that all treatments are equal."""
    critical_difference: float
    """Of the Nemenyi test: mean ranks that differ by less are not significantly different."""

    @property
    def cliques(self) -> list[tuple[int, int]]:
        """Maximal groups of treatments without a significant difference, as first and last index."""
        groups: list[tuple[int, int]] = []
        for first, best in enumerate(self.ranks):
            last = max(index for index, rank in enumerate(self.ranks) if rank - best < self.critical_difference)
            if last > first and not any(start <= first and last <= end for start, end in groups):
                groups.append((first, last))
        return groups


def mean_ranks(blocks: Sequence[Sequence[float]]) -> list[float]:
    """Mean ranks of the columns over the rows, 1 for the least; equal values share a rank."""
    from scipy import stats

    found: list[float] = stats.rankdata([_tied(block) for block in blocks], axis=1).mean(0).tolist()
    return found


def ranks(names: Sequence[str], blocks: Sequence[Sequence[float]], mode: str) -> Ranks | None:
    """Mean ranks of the columns over the rows of `blocks`, best first.

    Args:
        names: of the k treatments (columns).
        blocks: N rows of k values.
        mode: min or max: which end is better.

    Returns:
        None for fewer than three treatments or three blocks, and where all values of each block are equal.
    """
    import numpy as np
    from scipy import stats

    if len(names) < 3 or len(blocks) < 3:
        return None
    values = np.array([_tied(block) for block in blocks]) * (-1 if mode == "max" else 1)  # (N, k)
    N, k = values.shape
    average = stats.rankdata(values, axis=1).mean(0)
    if (values == values[:, :1]).all():
        return None
    critical = float(stats.studentized_range.ppf(CONFIDENCE, k, np.inf)) / 2**0.5 * (k * (k + 1) / (6 * N)) ** 0.5
    order = np.argsort(average, kind="stable")
    p = float(stats.friedmanchisquare(*values.T).pvalue)
    return Ranks([names[index] for index in order], [float(average[index]) for index in order], N, p, critical)


def _tied(values: Sequence[float]) -> list[float]:
    """The same, with those that are level but for rounding made equal, so that they share a rank."""
    found: dict[int, float] = {}
    last: float | None = None
    for index in sorted(range(len(values)), key=lambda index: values[index]):
        if last is None or not level(values[index], last):
            last = values[index]
        found[index] = last
    return [found[index] for index in range(len(values))]


def p_value(p: float | None) -> str:
    """`p = 0.031`, `p < 0.001`"""
    if p is None:
        return "no test"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def interval(low: float | None, high: float | None) -> str:
    """`0.01200 to 0.03400`"""
    return fmt.MISSING if low is None or high is None else f"{fmt.number(low)} to {fmt.number(high)}"
