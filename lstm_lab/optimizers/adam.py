"""Adam."""

from __future__ import annotations

import torch

from lstm_lab.optimizers.base import Betas, Optimizer, Parameters, Rate


class AdamConfig(Optimizer.Config):
    """What the optimizers after Adam share."""

    betas: Betas = (0.9, 0.999)
    """Decay of the running means of the gradient and of its square."""
    eps: Rate = 1e-8
    """Added to the denominator."""


class Adam(Optimizer, name="adam"):
    """Kingma & Ba (2015)."""

    class Config(AdamConfig):
        amsgrad: bool = False
        """Whether the denominator never falls (Reddi et al. 2018)."""

    def build_torch(self, parameters: Parameters) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, fused=True, **self.options)
