"""Adamax."""

from __future__ import annotations

import torch

from lstm_lab.optimizers.adam import AdamConfig
from lstm_lab.optimizers.base import Optimizer, Parameters, Rate


class Adamax(Optimizer, name="adamax"):
    """Adam by the largest gradient instead of its mean square (Kingma & Ba, 2015, section 7)."""

    class Config(AdamConfig):
        lr: Rate = 2e-3
        """Learning rate that the schedule's factor is applied to."""

    def build_torch(self, parameters: Parameters) -> torch.optim.Optimizer:
        return torch.optim.Adamax(parameters, foreach=True, **self.options)
