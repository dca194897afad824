"""What counting alone says of the next step. Each function fits on (step before, step) pairs of the training part."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Predict = Callable[[Tensor], Tensor]
"""Steps before -> logits of the steps, (N, K)."""

STRENGTHS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)
"""Of the bigram's belief in the unigram, in observations; leave-one-out over the training part chooses."""


def of_frames(previous: Tensor, target: Tensor, channels: int) -> dict[str, Predict]:
    """previous, target (N, K) of zeros and ones. One is added to every count."""
    n = len(target)
    share = torch.logit((target.sum(0) + 1) / (n + 2))  # (K,)
    return {
        "share of each channel": lambda before: share.expand(len(before), channels),
        "last frame, smoothed": _after_itself(previous.flatten(), target.flatten()),
        "each channel after itself": _after_itself(previous, target),
    }


def _after_itself(previous: Tensor, target: Tensor) -> Predict:
    """P(on | it was on), P(on | it was off) along the first dimension."""
    on, off = previous.sum(0, dtype=torch.float64), (1 - previous).sum(0, dtype=torch.float64)
    stays = torch.logit(((previous * target).sum(0, dtype=torch.float64) + 1) / (on + 2)).float()
    comes = torch.logit((((1 - previous) * target).sum(0, dtype=torch.float64) + 1) / (off + 2)).float()
    return lambda before: torch.where(before > 0.5, stays, comes)


def of_tokens(previous: Tensor, target: Tensor, tokens: int) -> dict[str, Predict]:
    """previous, target (N,) token numbers, 0 none.

    The unigram adds one to every count. The bigram falls back on it: (c(v, w) + k p(w)) / (c(v) + k) (MacKay & Peto
    1995).
    """
    from scipy.sparse import csr_array

    v, w = previous.numpy(), target.numpy()
    p = np.bincount(w, minlength=tokens) + 1.0
    p[0] = 0.0
    p /= p.sum()
    pairs = csr_array((np.ones(len(w)), (v, w)), shape=(tokens, tokens))
    totals = np.bincount(v, minlength=tokens).astype(float)
    _, place, counts = np.unique(v * tokens + w, return_inverse=True, return_counts=True)
    others, rest = counts[place] - 1, totals[v] - 1  # like this pair, and with its first step, itself left out
    k = max(STRENGTHS, key=lambda k: np.log((others + k * p[w]) / (rest + k)).sum())
    unigram = torch.from_numpy(p).float().log()

    def bigram(before: Tensor) -> Tensor:
        rows = before.numpy()
        counts = pairs[rows].toarray() + k * p
        return torch.from_numpy(counts / (totals[rows] + k)[:, None]).log()

    return {"unigram": lambda before: unigram.expand(len(before), tokens), "bigram": bigram}
