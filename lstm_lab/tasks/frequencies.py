"""What counting alone says of the next step. Each function fits on (step before, step) pairs of the training part."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Predict = Callable[[Tensor], Tensor]
"""Steps before -> logits of the steps, (N, K)."""

REACH = 4
"""Tokens that the longest n-gram looks back on."""
SMALL = 1000
"""Tokens up to which it does; of more, two, because each costs a row of all tokens."""
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
    """previous (N, REACH) token numbers, the last one first, 0 none; target (N,).

    The unigram adds one to every count. The bigram falls back on it: (c(v, w) + k p(w)) / (c(v) + k) (MacKay & Peto
    1995). The n-gram falls back from context to shorter context h by Witten & Bell (1991): with t(h) different tokens
    seen behind h, p(w | h) = (c(h, w) + t(h) p(w | shorter)) / (c(h) + t(h)).
    """
    from scipy.sparse import csr_array

    v, w = previous[:, 0].numpy(), target.numpy()
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
        rows = before[:, 0].numpy()
        counts = pairs[rows].toarray() + k * p
        return torch.from_numpy(counts / (totals[rows] + k)[:, None]).log()

    n = REACH + 1 if tokens <= SMALL else 3
    orders = [_Order(previous[:, :k].numpy(), w, tokens) for k in range(1, n)]

    def ngram(before: Tensor) -> Tensor:
        chances = np.broadcast_to(p, (len(before), tokens))
        for k, order in enumerate(orders, 1):
            chances = order.refine(before[:, :k].numpy(), chances)
        return torch.from_numpy(chances).log()

    return {"unigram": lambda before: unigram.expand(len(before), tokens), "bigram": bigram, f"{n}-gram": ngram}


class _Order:
    """Counts of tokens behind contexts of k tokens (N, k)."""

    def __init__(self, contexts: np.ndarray, target: np.ndarray, tokens: int) -> None:
        from scipy.sparse import csr_array

        self.tokens = tokens
        self.known, place = np.unique(self._keys(contexts), return_inverse=True)
        self.counts = csr_array((np.ones(len(target)), (place, target)), shape=(len(self.known), tokens))
        self.counts.sum_duplicates()
        self.total, self.kinds = self.counts.sum(1), np.diff(self.counts.indptr)

    def _keys(self, contexts: np.ndarray) -> np.ndarray:
        """A number for each context; of more than 2^63 contexts some share one, by an accident that costs little."""
        return contexts @ (np.int64(self.tokens) ** np.arange(contexts.shape[1]))

    def refine(self, contexts: np.ndarray, shorter: np.ndarray) -> np.ndarray:
        """Chances (N, V) by the context, where it was seen; `shorter` by one token less."""
        keys = self._keys(contexts)
        place = np.searchsorted(self.known, keys).clip(max=len(self.known) - 1)
        seen = self.known[place] == keys
        found, kinds, total = np.array(shorter), self.kinds[place[seen], None], self.total[place[seen], None]
        found[seen] = (self.counts[place[seen]].toarray() + kinds * found[seen]) / (total + kinds)
        return found
