"""Padded batches: which steps are valid, padding set to zero, sequences reversed within their own lengths.

Shapes: B samples, T time steps; lengths (B,), the number of valid steps of each sample, each in 0..T.
"""

from __future__ import annotations

import torch
from torch import Tensor


def length_mask(lengths: Tensor, steps: int) -> Tensor:
    """Which steps of a padded batch are valid.

    Args:
        lengths: (B,) valid steps of each sample.
        steps: T, the steps of the padded batch.

    Returns:
        (B, T) bool on the device of `lengths`; True at the valid steps.

    >>> length_mask(torch.tensor([1, 3]), 3).tolist()
    [[True, False, False], [True, True, True]]
    """
    return torch.arange(steps, device=lengths.device) < lengths.unsqueeze(1)


def mask_padding(x: Tensor, lengths: Tensor) -> Tensor:
    """x (B, T, D) with zeros in the padding, whatever it held.

    A NaN there would otherwise reach the gradients: 0 * NaN is NaN.
    """
    valid = length_mask(lengths.to(x.device), x.shape[1])
    return torch.where(valid.unsqueeze(-1), x, torch.zeros_like(x))


def reverse_padded(x: Tensor, lengths: Tensor) -> Tensor:
    """Each sample of x (B, T, D) reversed in time within its own length; padding stays where it is."""
    B, T, D = x.shape
    t, end = torch.arange(T, device=x.device), lengths.to(x.device).unsqueeze(1)
    rows = torch.arange(B, device=x.device).unsqueeze(1) * T + torch.where(t < end, end - 1 - t, t)  # (B, T)
    return x.reshape(B * T, D).index_select(0, rows.flatten()).view(B, T, D)  # Faster than a gather of single elements.
