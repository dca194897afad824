"""How the losses of steps become one number, for tasks with a target at every step."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Reduction = Literal["mean", "sum"]
"""Of the losses of steps: their mean over all steps of a batch; or their sum over each sequence, and the mean of that
over sequences."""


def count_of(reduction: Reduction, mask: Tensor) -> int | Tensor:
    """What the loss of a batch is a mean over: its steps with a target, or its sequences.

    Args:
        mask: (B, T) whether a step has a target.
    """
    return len(mask) if reduction == "sum" else mask.sum()


def divisor(count: int | Tensor, losses: Tensor) -> Tensor:
    """The same (), at least 1, as a number that losses of this type are divided by."""
    return torch.as_tensor(count, dtype=losses.dtype, device=losses.device).clamp(min=1)
