"""What a layer hands on besides what it computes. The first has none: its input is as wide as the data."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from lstm_lab.registry import Named, Registered


class Skip(Registered, nn.Module, kind="skip"):
    """How a layer's input x and its output y become what the next layer reads."""

    def __init__(self, size: int) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """x, y (B, T, D) -> (B, T, D)."""


class Without(Skip, name="none"):
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
        """b at the start: below zero, a layer begins by handing its input on."""

    def __init__(self, size: int, gate_bias: float = -2.0) -> None:
        super().__init__(size)
        self.gate = nn.Linear(size, size)
        nn.init.constant_(self.gate.bias, gate_bias)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        t = torch.sigmoid(self.gate(x))  # (B, T, D)
        return t * y + (1 - t) * x
