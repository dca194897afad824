"""RAdam."""

from __future__ import annotations

import torch

from lstm_lab.optimizers.adam import AdamConfig
from lstm_lab.optimizers.base import Optimizer, Parameters


class RAdam(Optimizer, name="radam"):
    """Adam whose first steps do without the variance of its denominator (Liu et al. 2020)."""

    class Config(AdamConfig):
        """Adam's fields."""

    def build_torch(self, parameters: Parameters) -> torch.optim.Optimizer:
        return torch.optim.RAdam(parameters, foreach=True, **self.options)
