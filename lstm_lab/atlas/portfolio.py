"""A short list of configurations, of which one is good on each data set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def relative_regret(costs: np.ndarray) -> np.ndarray:
    """How far each configuration is from the best of its data set.

    Args:
        costs: (S, N) of N configurations on S data sets, less is better; NaN: it failed there.

    Returns:
        (S, N): 0, the best on the set; 1, no better than the median of all there.
    """
    finite = np.where(np.isfinite(costs), costs, np.inf)
    best, median = finite.min(1, keepdims=True), np.median(finite, 1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        regret = np.where(finite <= best, 0.0, (finite - best) / (median - best))
    # A median that is infinite, or is the best itself, tells those that are not the best no further apart.
    return np.clip(np.where(np.isfinite(regret), regret, 1.0), 0.0, 1.0)


def greedy(regret: np.ndarray, size: int | None = None) -> list[int]:
    """Configurations in an order in which each adds most to those before it.

    After k of them the regret of a set is the least of the k; what they take off the mean regret over the sets is a
    monotone submodular function, so the first k have at least 1 - 1/e = 63 % of what the best k would take off
    (Nemhauser, Wolsey & Fisher 1978). Where nothing is left to gain, those of the least mean regret follow.

    Args:
        regret: (S, N) as `relative_regret` has it.
        size: how many; None: all.

    Returns:
        Numbers of configurations.
    """
    count = regret.shape[1]
    left, chosen = list(range(count)), list[int]()
    reached = np.ones(regret.shape[0])
    while left and len(chosen) < (count if size is None else size):
        after = np.minimum(reached[:, None], regret[:, left]).mean(0)
        # Sums are rounded: what differs by less is equal, and the mean over all sets decides.
        close = [n for n, value in zip(left, after, strict=True) if value <= after.min() + 1e-12]
        best = min(close, key=lambda n: (round(float(regret[:, n].mean()), 12), n))
        chosen.append(best)
        left.remove(best)
        reached = np.minimum(reached, regret[:, best])
    return chosen


def reached_regret(regret: np.ndarray, chosen: Sequence[int]) -> np.ndarray:
    """(S,) regret of the best of some configurations on each set; 1 for none."""
    return regret[:, list(chosen)].min(1) if len(chosen) else np.ones(regret.shape[0])
