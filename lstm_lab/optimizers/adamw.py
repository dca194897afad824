"""AdamW."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from lstm_lab.optimizers.base import NonNegative, Optimizer


class AdamW(Optimizer, name="adamw"):
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019)."""

    class Config(Optimizer.Config):
        weight_decay: NonNegative = 0.01
        """Decoupled weight decay."""

    def build_torch(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, fused=True, **self.options)
