"""A padded batch packed by time, as torch's PackedSequence: no row for padding."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Packing(NamedTuple):
    """The valid steps of a batch, packed by time with the longest sample first."""

    sorted_indices: Tensor | None
    """(B,) sample at each position; None: in their own order."""
    batch_sizes: Tensor
    """(T,) samples alive at each step."""
    offsets: Tensor
    """(T,) rows before each step."""
    rows: Tensor | None
    """(R,) index b T + t of each row in the flattened batch; None: every step is valid."""


def pack_by_time(lengths: Tensor, steps: int) -> Packing:
    """The packing of a batch of lengths (B,), padded to T steps.

    Raises:
        ValueError: a length outside 0..T.
    """
    lengths = lengths.to("cpu", torch.int64)
    B, T = len(lengths), steps
    if B and not 0 <= int(lengths.min()) <= int(lengths.max()) <= T:
        raise ValueError(
            f"every length must lie in 0..{T}, the steps of the batch, got {int(lengths.min())}..{int(lengths.max())}"
        )
    if not B or int(lengths.min()) == T:
        return Packing(None, torch.full((T,), B), torch.arange(T) * B, None)
    ordered, order = lengths.sort(descending=True, stable=True)
    t = torch.arange(T).unsqueeze(1)
    alive = t < ordered  # (T, B)
    batch_sizes = alive.sum(1)
    return Packing(order, batch_sizes, batch_sizes.cumsum(0) - batch_sizes, (order * T + t)[alive])
