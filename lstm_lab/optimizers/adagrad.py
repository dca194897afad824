"""Adagrad."""

from __future__ import annotations

import torch

from lstm_lab.optimizers.base import NonNegative, Optimizer, Parameters, Rate


class Adagrad(Optimizer, name="adagrad"):
    """Duchi, Hazan & Singer (2011)."""

    class Config(Optimizer.Config):
        lr: Rate = 0.01
        """Learning rate that the schedule's factor is applied to."""
        lr_decay: NonNegative = 0.0
        """The rate of step t, counted from 0, is lr / (1 + t lr_decay)."""
        eps: Rate = 1e-10
        """Added to the denominator."""

    def build_torch(self, parameters: Parameters) -> torch.optim.Optimizer:
        return torch.optim.Adagrad(parameters, foreach=True, **self.options)
