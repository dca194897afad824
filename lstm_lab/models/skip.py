"""How a layer's input bypasses it. The first layer has no skip: its input is as wide as the data."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from lstm_lab.config.registry import Named, Registered


class Skip(Registered, nn.Module, kind="skip"):
    """Combines a layer's input x and its output y into the input of the next layer.

    Args:
        size: D, the width of both.
    """

    def __init__(self, size: int) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """x, y (B, T, D) -> (B, T, D)."""


class NoSkip(Skip, name="none"):
    """y alone."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return y


class Residual(Skip, name="residual"):
    """y + x (He et al. 2016; between recurrent layers: Wu et al. 2016)."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return y + x


class Highway(Skip, name="highway"):
    """t * y + (1 - t) * x, t = sigmoid(W x + b)  (Srivastava et al. 2015, equation 3, around a recurrent layer)."""

    class Config(Named):
        gate_bias: float = -2.0
        """Initial b: below zero, a layer passes on most of its input at first."""

    def __init__(self, size: int, gate_bias: float = -2.0) -> None:
        super().__init__(size)
        self.gate = nn.Linear(size, size)
        nn.init.constant_(self.gate.bias, gate_bias)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        t = torch.sigmoid(self.gate(x))  # (B, T, D)
        return t * y + (1 - t) * x
