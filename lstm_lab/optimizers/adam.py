"""Adam."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from lstm_lab.optimizers.base import Optimizer


class Adam(Optimizer, name="adam"):
    """Kingma & Ba (2015)."""

    def build_torch(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, fused=True, **self.options)
