"""Models of the next step from counts alone, fitted on (step before, step) pairs of the training split."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

Predict = Callable[[Tensor], Tensor]
"""Steps before -> logits of the steps, (N, K)."""

MAX_CONTEXT = 4
"""Tokens of context of the longest n-gram."""
SMALL_VOCABULARY = 1000
"""Largest vocabulary with that context; a larger one has two, because each context costs a row of all tokens."""
STRENGTHS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)
"""Pseudo-counts of the unigram in the bigram; leave-one-out over the training split chooses."""


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
    """previous (N, MAX_CONTEXT) token numbers, the last one first, 0 for none; target (N,).

    The unigram adds one to every count. The bigram backs off to it: (c(v, w) + k p(w)) / (c(v) + k) (MacKay & Peto
    1995). The n-gram backs off from a context to a shorter one by Witten & Bell (1991): with t(h) different tokens
    seen after the context h, p(w | h) = (c(h, w) + t(h) p(w | shorter)) / (c(h) + t(h)). The Kneser-Ney n-gram is
    interpolated (Chen & Goodman 1999): p(w | h) = (c(h, w) - D + D t(h) p(w | shorter)) / c(h), where contexts shorter
    than the longest count the different tokens before (h, w), and D = n1 / (n1 + 2 n2), of grams seen once and twice.
    """
    from scipy.sparse import csr_array

    v, w = previous[:, 0].numpy(), target.numpy()
    p = np.bincount(w, minlength=tokens) + 1.0
    p[0] = 0.0
    p /= p.sum()
    pairs = csr_array((np.ones(len(w)), (v, w)), shape=(tokens, tokens))
    totals = np.bincount(v, minlength=tokens).astype(float)
    _, pair, counts = np.unique(v * tokens + w, return_inverse=True, return_counts=True)
    others, rest = counts[pair] - 1, totals[v] - 1  # without the pair itself: leave-one-out
    k = max(STRENGTHS, key=lambda k: np.log((others + k * p[w]) / (rest + k)).sum())
    unigram = torch.from_numpy(p).float().log()

    def bigram(before: Tensor) -> Tensor:
        rows = before[:, 0].numpy()
        counts = pairs[rows].toarray() + k * p
        return torch.from_numpy(counts / (totals[rows] + k)[:, None]).log()

    n = MAX_CONTEXT + 1 if tokens <= SMALL_VOCABULARY else 3
    contexts = previous.numpy()
    return {
        "unigram": lambda before: unigram.expand(len(before), tokens),
        "bigram": bigram,
        f"{n}-gram": _backing_off([_ContextCounts(contexts[:, :k], w, tokens) for k in range(1, n)], p),
        f"{n}-gram, Kneser-Ney": _kneser_ney(contexts, w, tokens, n),
    }


def _backing_off(orders: Sequence[_ContextCounts], unigram: np.ndarray) -> Predict:
    """Of the longest context that was seen, with contexts of 1, 2, ... tokens, from the unigram (V,)."""

    def predict(before: Tensor) -> Tensor:
        probabilities = np.broadcast_to(unigram, (len(before), len(unigram)))
        for k, order in enumerate(orders, 1):
            probabilities = order.refine(before[:, :k].numpy(), probabilities)
        return torch.from_numpy(probabilities).log()

    return predict


def _kneser_ney(contexts: np.ndarray, target: np.ndarray, tokens: int, n: int) -> Predict:
    """The interpolated n-gram of Kneser & Ney (1995).

    Args:
        contexts: (N, at least n - 1) tokens before each of `target` (N,), the last one first.
    """

    def distinct(k: int) -> np.ndarray:
        """Rows whose token and the k before it are seen for the first time."""
        first: np.ndarray = np.unique(_keys(contexts[:, :k], tokens) * tokens + target, return_index=True)[1]
        return first

    after = np.bincount(target[distinct(1)], minlength=tokens)  # of each token, the different tokens before it
    D = _discount(after)
    unigram = (np.maximum(after - D, 0) + D * np.count_nonzero(after) / (tokens - 1)) / after.sum()
    unigram[0] = 0.0  # Padding is never next.
    lower = [_ContextCounts(contexts[rows, :k], target[rows], tokens, discounted=True)
             for k in range(1, n - 1) for rows in [distinct(k + 1)]]  # fmt: skip
    longest = _ContextCounts(contexts[:, : n - 1], target, tokens, discounted=True)
    return _backing_off([*lower, longest], unigram)


def _discount(counts: np.ndarray) -> float:
    """D of Ney, Essen & Kneser (1994), from how many counts are 1 and how many 2."""
    once, twice = np.count_nonzero(counts == 1), np.count_nonzero(counts == 2)
    return once / (once + 2 * twice) if once and twice else 0.5


def _keys(contexts: np.ndarray, tokens: int) -> np.ndarray:
    """A number for each context. With more than 2^63 possible contexts some may collide, which costs little."""
    keys: np.ndarray = contexts @ (np.int64(tokens) ** np.arange(contexts.shape[1]))
    return keys


class _ContextCounts:
    """Counts of tokens after contexts of k tokens (N, k), and what of a shorter context goes in between.

    Args:
        discounted: whether each count is less by D, whose sum is the share of the shorter context (Kneser-Ney); else
            that context has as many more counts as there are different tokens (Witten-Bell).
    """

    def __init__(self, contexts: np.ndarray, target: np.ndarray, tokens: int, discounted: bool = False) -> None:
        from scipy.sparse import csr_array

        self.tokens = tokens
        self.contexts, index = np.unique(_keys(contexts, tokens), return_inverse=True)
        self.counts = csr_array((np.ones(len(target)), (index, target)), shape=(len(self.contexts), tokens))
        self.counts.sum_duplicates()
        kinds, total = np.diff(self.counts.indptr), self.counts.sum(1)
        D = _discount(self.counts.data) if discounted else 1.0
        self.shorter, self.total = D * kinds, total if discounted else total + kinds
        if discounted:
            self.counts.data -= D

    def refine(self, contexts: np.ndarray, shorter: np.ndarray) -> np.ndarray:
        """Probabilities (N, V) after the contexts that were seen; `shorter`, of one token less, after others."""
        keys = _keys(contexts, self.tokens)
        index = np.searchsorted(self.contexts, keys).clip(max=len(self.contexts) - 1)
        seen = self.contexts[index] == keys
        found, rows = np.array(shorter), index[seen]
        found[seen] = (self.counts[rows].toarray() + self.shorter[rows, None] * found[seen]) / self.total[rows, None]
        return found
