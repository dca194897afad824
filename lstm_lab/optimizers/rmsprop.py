"""RMSprop."""

from __future__ import annotations

import torch

from lstm_lab.optimizers.base import Beta, Fraction, Optimizer, Parameters, Rate


class RMSprop(Optimizer, name="rmsprop"):
    """Tieleman & Hinton (2012)."""

    class Config(Optimizer.Config):
        alpha: Beta = 0.99
        """Decay of the running mean of the squared gradient."""
        eps: Rate = 1e-8
        """Added to the denominator."""
        momentum: Fraction = 0.0
        """Momentum factor."""
        centered: bool = False
        """Whether the gradient is divided by its standard deviation, as Graves (2013) does, instead of its norm."""

    def build_torch(self, parameters: Parameters) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(parameters, foreach=True, **self.options)
