"""One vector from a sequence, over its valid steps only."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from lstm_lab.models.encoder import Encoded
from lstm_lab.registry import Registered


class Pooling(Registered, kind="pooling"):
    """Outputs of an encoder -> one vector."""

    @abstractmethod
    def __call__(self, encoded: Encoded, lengths: Tensor) -> Tensor:
        """`Encoded` and lengths (B,) -> (B, D)."""


def _valid(encoded: Encoded, lengths: Tensor) -> Tensor:
    steps = torch.arange(encoded.outputs.shape[1], device=encoded.outputs.device)
    return (steps < lengths.to(steps.device).unsqueeze(1)).unsqueeze(-1)  # (B, T, 1)


class Last(Pooling, name="last"):
    """What each direction shows after its last valid step."""

    def __call__(self, encoded: Encoded, lengths: Tensor) -> Tensor:
        return encoded.final


class Mean(Pooling, name="mean"):
    """Mean over valid steps."""

    def __call__(self, encoded: Encoded, lengths: Tensor) -> Tensor:
        total = encoded.outputs.masked_fill(~_valid(encoded, lengths), 0.0).sum(1)
        return total / lengths.to(total.device).unsqueeze(1)


class Max(Pooling, name="max"):
    """Largest value of each unit over valid steps."""

    def __call__(self, encoded: Encoded, lengths: Tensor) -> Tensor:
        return encoded.outputs.masked_fill(~_valid(encoded, lengths), -torch.inf).amax(1)
