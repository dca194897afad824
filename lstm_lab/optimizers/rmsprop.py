"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from lstm_lab.optimizers.base import Fraction, Optimizer


class RMSprop(Optimizer, name="rmsprop"):
    """Tieleman & Hinton (2012)."""

    class Config(Optimizer.Config):
        momentum: Fraction = 0.0
        """Momentum factor."""

    def build_torch(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(parameters, foreach=True, **self.options)
