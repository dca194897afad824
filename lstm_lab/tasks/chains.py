"""Linear-chain conditional random fields (Lafferty, McCallum & Pereira 2001), in logarithms.

The score of a sequence of tags y is e_1(y_1) + sum over t > 1 of e_t(y_t) + a_t(y_{t-1}, y_t); its probability is
proportional to the exponential of it. All sums and maxima over sequences take T K^2 operations.

`emissions` are (B, T, K) and `transitions` (B, T, K, K) from row to column, those of the first step unused; `lengths`
(B,) say how many steps count.
"""

from __future__ import annotations

import torch
from torch import Tensor


def forward_scores(emissions: Tensor, transitions: Tensor, lengths: Tensor) -> list[Tensor]:
    """T tensors (B, K): the logarithm of the sum over all tags before a step, of sequences that have tag k there;
    behind the end of a sequence, those of its last step."""
    e, a = emissions.unbind(1), transitions.unbind(1)
    alphas = [e[0]]
    for t in range(1, len(e)):
        step = torch.logsumexp(alphas[-1].unsqueeze(2) + a[t], 1) + e[t]
        alphas.append(torch.where((t < lengths).unsqueeze(1), step, alphas[-1]))
    return alphas


def log_partition(emissions: Tensor, transitions: Tensor, lengths: Tensor) -> Tensor:
    """(B,) logarithm of the sum over all sequences of tags."""
    return forward_scores(emissions, transitions, lengths)[-1].logsumexp(1)


def log_likelihood(emissions: Tensor, transitions: Tensor, lengths: Tensor, y: Tensor) -> Tensor:
    """(B,) log-probability of the tags y (B, T); where y is below 0, any tag will do."""
    K = emissions.shape[2]
    possible = (y.unsqueeze(2) == torch.arange(K, device=y.device)) | (y < 0).unsqueeze(2)
    given = log_partition(emissions.masked_fill(~possible, -torch.inf), transitions, lengths)
    return given - log_partition(emissions, transitions, lengths)


def log_marginals(emissions: Tensor, transitions: Tensor, lengths: Tensor) -> Tensor:
    """(B, T, K) log-probability of each tag at each step; behind the end of a sequence all tags are equally likely."""
    e, a = emissions.unbind(1), transitions.unbind(1)
    alphas = forward_scores(emissions, transitions, lengths)
    beta = torch.zeros_like(e[0])
    found = [alphas[-1] + beta]
    for t in range(len(e) - 1, 0, -1):
        step = torch.logsumexp(a[t] + (e[t] + beta).unsqueeze(1), 2)
        beta = torch.where((t < lengths).unsqueeze(1), step, beta)
        found.append(alphas[t - 1] + beta)
    valid = torch.arange(len(e), device=lengths.device) < lengths.unsqueeze(1)
    return torch.stack(found[::-1], 1).masked_fill(~valid.unsqueeze(2), 0.0).log_softmax(2)


def viterbi(emissions: Tensor, transitions: Tensor, lengths: Tensor) -> Tensor:
    """(B, T) the most probable sequence of tags (Viterbi 1967); behind its end, its last tag."""
    e, a = emissions.unbind(1), transitions.unbind(1)
    best, pointers = e[0], []
    same = torch.arange(emissions.shape[2], device=emissions.device).expand_as(e[0])
    for t in range(1, len(e)):
        score, pointer = (best.unsqueeze(2) + a[t]).max(1)  # (B, K)
        going = (t < lengths).unsqueeze(1)
        best = torch.where(going, score + e[t], best)
        pointers.append(torch.where(going, pointer, same))
    tags = [best.argmax(1)]
    for pointer in reversed(pointers):
        tags.append(pointer.gather(1, tags[-1].unsqueeze(1)).squeeze(1))
    return torch.stack(tags[::-1], 1)
