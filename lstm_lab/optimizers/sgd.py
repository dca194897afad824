"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

import torch

from lstm_lab.optimizers.base import Fraction, Optimizer, Parameters, Rate


class SGD(Optimizer, name="sgd"):
    """Stochastic gradient descent with momentum; `momentum: 0` is plain SGD."""

    class Config(Optimizer.Config):
        lr: Rate = 0.1
        """Learning rate that the schedule's factor is applied to."""
        momentum: Fraction = 0.9
        """Momentum factor."""
        nesterov: bool = True
        """Whether the momentum is Nesterov's; without momentum the two are one."""

    def __init__(self, nesterov: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.nesterov = nesterov

    def build_torch(self, parameters: Parameters) -> torch.optim.Optimizer:
        nesterov = self.nesterov and self.options["momentum"] > 0
        return torch.optim.SGD(parameters, nesterov=nesterov, fused=True, **self.options)
