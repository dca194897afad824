"""One vector from a sequence, over its valid steps only."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from lstm_lab.config.registry import Named, Registered
from lstm_lab.kernels.lengths import length_mask
from lstm_lab.models.base import TaskConfig
from lstm_lab.models.encoder import Encoded


class Pooling(Registered, nn.Module, kind="pooling"):
    """Outputs of an encoder -> one vector.

    Args:
        size: D, the width of the encoder's outputs.
    """

    def __init__(self, size: int) -> None:
        super().__init__()

    has_backward: ClassVar[bool] = False
    """Whether it defines `backward`; without it, autograd differentiates it."""

    def __init_subclass__(cls, **more: str | None) -> None:
        super().__init_subclass__(**more)
        if "forward" in vars(cls) and "backward" not in vars(cls):
            cls.has_backward = False

    def backward(self, d: Tensor, encoded: Encoded, pooled: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """The gradients of `encoded.outputs`, whose padding is not read, and of `encoded.final`; None: zero.

        Args:
            d: (B, D) that of `pooled`.
            encoded, pooled: what `forward` read and returned.
        """
        raise NotImplementedError

    @abstractmethod
    def forward(self, encoded: Encoded, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
        """The vector (B, D) of each sequence, and where the pooling learns them the weights of its steps (B, T).

        Args:
            encoded: outputs (B, T, D) among them.
            lengths: (B,) valid steps.
        """


def check_pooling(pooling: Named, default: Named, task: TaskConfig) -> None:
    """Raise ValueError where a pooling that somebody chose would do nothing."""
    if task.owner.per_step and pooling != default:
        raise ValueError(
            f"model.pooling={pooling.name} would do nothing: task '{task.name}' has a target at every step; leave it "
            "out"
        )


def valid_steps(encoded: Encoded, lengths: Tensor) -> Tensor:
    """(B, T, 1): which steps are not padding."""
    outputs = encoded.outputs
    return length_mask(lengths.to(outputs.device), outputs.shape[1]).unsqueeze(-1)


class Last(Pooling, name="last"):
    """The output of each direction after the last valid step it reads."""

    def forward(self, encoded: Encoded, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
        return encoded.final, None

    has_backward = True

    def backward(self, d: Tensor, encoded: Encoded, pooled: Tensor) -> tuple[Tensor | None, Tensor | None]:
        return None, d


class Mean(Pooling, name="mean"):
    """Mean over valid steps."""

    def forward(self, encoded: Encoded, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
        total = encoded.outputs.masked_fill(~valid_steps(encoded, lengths), 0.0).sum(1)
        return total / lengths.to(total.device).unsqueeze(1), None

    has_backward = True

    def backward(self, d: Tensor, encoded: Encoded, pooled: Tensor) -> tuple[Tensor | None, Tensor | None]:
        return (d / encoded.lengths.to(d.device).unsqueeze(1)).unsqueeze(1).expand_as(encoded.outputs), None


class Max(Pooling, name="max"):
    """Largest value of each unit over valid steps."""

    def forward(self, encoded: Encoded, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
        return self._without_padding(encoded, lengths).amax(1), None

    def _without_padding(self, encoded: Encoded, lengths: Tensor) -> Tensor:
        return encoded.outputs.masked_fill(~valid_steps(encoded, lengths), -torch.inf)

    has_backward = True

    def backward(self, d: Tensor, encoded: Encoded, pooled: Tensor) -> tuple[Tensor | None, Tensor | None]:
        # Steps that are equally large share the gradient, as in torch.
        largest = self._without_padding(encoded, encoded.lengths) == pooled.unsqueeze(1)
        return d.unsqueeze(1) * largest / largest.sum(1, keepdim=True), None
