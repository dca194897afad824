"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from lstm_lab.optimizers.base import Fraction, Optimizer, Rate


class SGD(Optimizer, name="sgd"):
    """Stochastic gradient descent with Nesterov momentum; `momentum: 0` is plain SGD."""

    class Config(Optimizer.Config):
        lr: Rate = 0.1
        """Learning rate that the schedule's factor is applied to."""
        momentum: Fraction = 0.9
        """Momentum factor."""

    def build_torch(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, nesterov=self.options["momentum"] > 0, fused=True, **self.options)
