"""From probabilities of symbols at each step to a text: connectionist temporal classification (Graves et al. 2006).

An alignment has a symbol or the blank, number 0, at each step. Its text is what is left when equal neighbours are
merged and blanks are removed; the probability of a text is the sum over all its alignments.
"""

from __future__ import annotations

import math
from itertools import groupby

import numpy as np
from torch import Tensor

BLANK = 0
NEGLIGIBLE = math.log(1e-6)
"""Log-probability of a symbol below which a search leaves it out at a step; a trained model is sure of most steps."""


def collapsed(alignment: list[int]) -> list[int]:
    """The text of an alignment.

    >>> collapsed([0, 3, 3, 0, 3, 5])
    [3, 3, 5]
    """
    return [symbol for symbol, _ in groupby(alignment) if symbol != BLANK]


def best_path(logits: Tensor, lengths: Tensor) -> list[list[int]]:
    """The text of the most probable alignment of each sequence: logits (B, T, K), lengths (B,)."""
    best = logits.argmax(-1).tolist()
    return [collapsed(row[:length]) for row, length in zip(best, lengths.tolist(), strict=True)]


def prefix_beam(log_probabilities: np.ndarray, beams: int) -> list[int]:
    """The most probable text (Hannun et al. 2014): the alignments of each beginning are summed up, step by step.

    It is exact where `beams` is at least the number of beginnings that are possible, but for symbols less probable than
    1e-6 at a step.

    Args:
        log_probabilities: (T, K) of the blank, number 0, and the symbols.
        beams: beginnings that are kept after each step.
    """
    # Of each beginning, the log-probability of its alignments that end in a blank, and of those that do not.
    kept: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -math.inf)}
    for step in log_probabilities.tolist():
        found: dict[tuple[int, ...], tuple[float, float]] = {}
        likely = [k for k in range(1, len(step)) if step[k] > NEGLIGIBLE]
        for text, (blank, symbol) in kept.items():
            either = _sum(blank, symbol)
            _add(found, text, either + step[BLANK], -math.inf)
            if text:
                _add(found, text, -math.inf, symbol + step[text[-1]])  # The last symbol goes on.
            for k in likely:
                before = blank if text and text[-1] == k else either  # Between two equal ones there is a blank.
                _add(found, (*text, k), -math.inf, before + step[k])
        best = sorted(found.items(), key=lambda item: -_sum(*item[1]))[:beams]
        kept = dict(best)
    return list(next(iter(kept)))  # The first is the best.


def _add(found: dict[tuple[int, ...], tuple[float, float]], text: tuple[int, ...], blank: float, symbol: float) -> None:
    if max(blank, symbol) == -math.inf:
        return
    old = found.get(text)
    found[text] = (blank, symbol) if old is None else (_sum(old[0], blank), _sum(old[1], symbol))


def _sum(a: float, b: float) -> float:
    """log(exp(a) + exp(b))"""
    if a < b:
        a, b = b, a
    return a if b == -math.inf else a + math.log1p(math.exp(b - a))
