"""One vector from a sequence, over its valid steps only."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from lstm_lab.kernels.lengths import length_mask
from lstm_lab.models.encoder import Encoded
from lstm_lab.registry import Registered


class Pooling(Registered, nn.Module, kind="pooling"):
    """Outputs of an encoder -> one vector.

    Args:
        size: D, the width of the encoder's outputs.
    """

    def __init__(self, size: int) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, encoded: Encoded, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
        """The vector (B, D) of each sequence, and where the pooling learns them the weights of its steps (B, T).

        Args:
            encoded: outputs (B, T, D) among them.
            lengths: (B,) valid steps.
        """


def valid_steps(encoded: Encoded, lengths: Tensor) -> Tensor:
    """(B, T, 1): which steps are not padding."""
    outputs = encoded.outputs
    return length_mask(lengths.to(outputs.device), outputs.shape[1]).unsqueeze(-1)


class Last(Pooling, name="last"):
    """The output of each direction after the last valid step it reads."""

    def forward(self, encoded: Encoded, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
        return encoded.final, None


class Mean(Pooling, name="mean"):
    """Mean over valid steps."""

    def forward(self, encoded: Encoded, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
        total = encoded.outputs.masked_fill(~valid_steps(encoded, lengths), 0.0).sum(1)
        return total / lengths.to(total.device).unsqueeze(1), None


class Max(Pooling, name="max"):
    """Largest value of each unit over valid steps."""

    def forward(self, encoded: Encoded, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
        return encoded.outputs.masked_fill(~valid_steps(encoded, lengths), -torch.inf).amax(1), None
