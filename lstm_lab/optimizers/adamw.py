"""AdamW."""

from __future__ import annotations

import torch

from lstm_lab.optimizers.adam import AdamConfig
from lstm_lab.optimizers.base import NonNegative, Optimizer, Parameters


class AdamW(Optimizer, name="adamw"):
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019)."""

    class Config(AdamConfig):
        weight_decay: NonNegative = 0.01
        """Decoupled weight decay."""
        amsgrad: bool = False
        """Whether the denominator never falls (Reddi et al. 2018)."""

    def build_torch(self, parameters: Parameters) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, fused=True, **self.options)
