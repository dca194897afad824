"""NAdam."""

from __future__ import annotations

import torch

from lstm_lab.optimizers.adam import AdamConfig
from lstm_lab.optimizers.base import NonNegative, Optimizer, Parameters, Rate


class NAdam(Optimizer, name="nadam"):
    """Adam with Nesterov momentum (Dozat, 2016)."""

    class Config(AdamConfig):
        lr: Rate = 2e-3
        """Learning rate that the schedule's factor is applied to."""
        momentum_decay: NonNegative = 4e-3
        """How fast the momentum rises to its first beta."""

    def build_torch(self, parameters: Parameters) -> torch.optim.Optimizer:
        return torch.optim.NAdam(parameters, foreach=True, **self.options)
