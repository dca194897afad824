"""One vector from a sequence, over its valid steps only."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from lstm_lab.models.encoder import Encoded
from lstm_lab.registry import Registered


class Pooling(Registered, nn.Module, kind="pooling"):
    """Outputs of an encoder -> one vector."""

    def __init__(self, size: int) -> None:
        """size: D, the width of the encoder's outputs."""
        super().__init__()

    @abstractmethod
    def forward(self, encoded: Encoded, lengths: Tensor) -> Tensor:
        """`Encoded` and lengths (B,) -> (B, D)."""


def valid_steps(encoded: Encoded, lengths: Tensor) -> Tensor:
    """(B, T, 1): which steps are not padding."""
    steps = torch.arange(encoded.outputs.shape[1], device=encoded.outputs.device)
    return (steps < lengths.to(steps.device).unsqueeze(1)).unsqueeze(-1)


class Last(Pooling, name="last"):
    """What each direction shows after its last valid step."""

    def forward(self, encoded: Encoded, lengths: Tensor) -> Tensor:
        return encoded.final


class Mean(Pooling, name="mean"):
    """Mean over valid steps."""

    def forward(self, encoded: Encoded, lengths: Tensor) -> Tensor:
        total = encoded.outputs.masked_fill(~valid_steps(encoded, lengths), 0.0).sum(1)
        return total / lengths.to(total.device).unsqueeze(1)


class Max(Pooling, name="max"):
    """Largest value of each unit over valid steps."""

    def forward(self, encoded: Encoded, lengths: Tensor) -> Tensor:
        return encoded.outputs.masked_fill(~valid_steps(encoded, lengths), -torch.inf).amax(1)
