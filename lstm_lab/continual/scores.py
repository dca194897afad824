"""What a matrix of scores says: how much was learned, forgotten and passed on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import mean, stdev

import numpy as np

from lstm_lab.records.files import Row


@dataclass(frozen=True)
class Summary:
    """Of a matrix R, R[i][j] the score on stage j after training on stage i; of T stages. Forgetting and transfer are
    counted so that a positive transfer, and a negative forgetting, is good, whichever direction the metric has."""

    final: float
    """mean_j R[T-1][j]: on all stages, after the last."""
    forgetting: float
    """mean over j < T - 1 of the best score on stage j before the last, less that after it (Chaudhry et al. 2018)."""
    backward_transfer: float
    """mean over j < T - 1 of R[T-1][j] - R[j][j] (Lopez-Paz & Ranzato 2017)."""
    forward_transfer: float
    """mean over j > 0 of R[j-1][j] - b[j], b the scores of random weights (the same)."""


def summarize(scores: np.ndarray, random: np.ndarray, mode: str) -> Summary:
    """Of one sequence of stages.

    Args:
        scores: R (T, T).
        random: b (T,), scores of the weights before the first stage.
        mode: max or min, which of the metric is better.

    >>> summarize(np.array([[0.9, 0.2], [0.5, 0.8]]), np.array([0.1, 0.1]), "max").forgetting
    0.4
    """
    sign = 1.0 if mode == "max" else -1.0
    R, b, last = sign * scores, sign * random, len(scores) - 1
    before = np.arange(last)
    return Summary(
        final=float(scores[last].mean()),
        forgetting=float((R[:last, :last].max(0) - R[last, :last]).mean()),
        backward_transfer=float((R[last, before] - R[before, before]).mean()),
        forward_transfer=float((R[before, before + 1] - b[1:]).mean()),
    )


def over_seeds(summaries: list[Summary]) -> Row:
    """Name -> mean and standard deviation over seeds; null of one seed."""
    rows = [asdict(each) for each in summaries]
    return {
        name: {
            "mean": mean(row[name] for row in rows),
            "std": stdev(row[name] for row in rows) if len(rows) > 1 else None,
        }
        for name in rows[0]
    }
