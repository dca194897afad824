"""The matrix memories of an mLSTM over chunks of a sequence at once: products instead of a loop over steps."""

from __future__ import annotations

import torch
from torch import Tensor

MAX_EXPONENT = 80.0
"""Bound of |m| in exp(-m), which overflows float32 above 88."""


def retrieve_in_chunks(
    q: Tensor, k: Tensor, v: Tensor, i: Tensor, log_f: Tensor, C: Tensor, n: Tensor, m: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What q retrieves at each step of K chunks of L steps: within a chunk by a masked product, before it from C.

    F_t = sum of log f up to t      D_ts = F_t - F_s + i~_s for s <= t      m_t = max(F_t + m, max_s D_ts)
    C_t q_t = exp(F_t + m - m_t) C q_t + sum_s exp(D_ts - m_t) (q_t . k_s) v_s

    Args:
        q, k, v: (B, N, K, L, d)
        i, log_f: (B, N, K, L)
        C, n, m: (B, N, d, d), (B, N, 1, d) and (B, N) before the first step.

    Returns:
        C q over its normalizer, (B, N, K, L, d), and C, n, m after the last step.
    """
    D, F = log_weights(log_f, i), log_f.cumsum(3)  # (B, N, K, L, L), (B, N, K, L)
    start, before = m, []
    for F_L, peak in zip(F[..., -1].unbind(2), D[..., -1, :].amax(3).unbind(2), strict=True):
        before.append(m.detach())
        m = torch.maximum(F_L + m, peak)
    # m_t scales both sides of the division, so the quotient has no gradient for it; only the first and the last C do.
    decayed = F + torch.stack(before, 2).unsqueeze(3)
    m_t = torch.maximum(decayed, D.amax(4)).detach()
    new, old = torch.exp(D - m_t.unsqueeze(4)), torch.exp(decayed - m_t)

    weights = new[..., -1, :].unsqueeze(3)  # (B, N, K, 1, L)
    scale = torch.exp(start - before[0])[:, :, None, None]
    C, past_C = scan_chunks(C * scale, old[..., -1], (weights.mT * v).mT @ k)
    n, past_n = scan_chunks(n * scale, old[..., -1], weights @ k)
    scale = torch.exp(m_t[:, :, -1, -1] - m)[:, :, None, None]

    S, old = new * (q @ k.mT), old.unsqueeze(4)
    nq = old * (q @ past_n.mT) + S.sum(4, keepdim=True)  # (B, N, K, L, 1)
    Cq = old * (q @ past_C.mT) + S @ v  # (B, N, K, L, d)
    return Cq / normalizer(nq, m_t.unsqueeze(4)), C * scale, n * scale, m


def scan_chunks(C: Tensor, f: Tensor, update: Tensor) -> tuple[Tensor, Tensor]:
    """C' = f C + update over K chunks; f (B, N, K), update (B, N, K, ...) -> the last C, and C before each chunk."""
    past = []
    for f_k, new in zip(f[..., None, None].unbind(2), update.unbind(2), strict=True):
        past.append(C)
        C = f_k * C + new
    return C, torch.stack(past, 2)


def log_weights(log_f: Tensor, i: Tensor) -> Tensor:
    """(..., L) both -> D (..., L, L): at t, s the sum of log f over s < u <= t, and i~_s; -inf for s > t."""
    future = torch.ones(log_f.shape[-1:] * 2, dtype=torch.bool, device=i.device).triu(1)
    # Summed from s to t instead of subtracted: after strong forgetting the difference of two sums loses all its digits.
    between = log_f.unsqueeze(-1).masked_fill(~future.mT, 0.0).cumsum(-2)
    return (between + i.unsqueeze(-2)).masked_fill(future, -torch.inf)


def normalizer(nq: Tensor, m: Tensor) -> Tensor:
    """The divisor of C q: |n q|, and at least 1 in the scale of exp(m)."""
    return torch.maximum(nq.abs(), torch.exp((-m).clamp(-MAX_EXPONENT, MAX_EXPONENT)))
