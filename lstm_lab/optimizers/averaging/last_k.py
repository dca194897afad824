"""Mean of the last checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lstm_lab.config import Count
from lstm_lab.optimizers.averaging.base import Averaging


class LastK(Averaging, name="last_k"):
    """The mean of the weights after the last `k` epochs, or of all of them while there are fewer."""

    class Config(Averaging.Config):
        k: Count = 5
        """Epochs; each checkpoint holds the weights of all of them."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k
        self.kept: list[list[Tensor]] = []
        """Weights after the last epochs, oldest first."""

    def after_epoch(self, weights: Sequence[Tensor], progress: float) -> None:
        self.kept = [*self.kept, [weight.detach().clone() for weight in weights]][-self.k :]
        # Of the differences: the mean of equal weights, as of a frozen layer, is then that weight to the last bit.
        self.average = [each[0] + (torch.stack(each) - each[0]).mean(0) for each in zip(*self.kept, strict=True)]
        self.count = len(self.kept)

    def to(self, device: torch.device) -> None:
        super().to(device)
        self.kept = [[weight.to(device) for weight in weights] for weights in self.kept]

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "kept": [[weight.cpu() for weight in weights] for weights in self.kept]}

    def load_state_dict(self, state: Mapping[str, Any], average: list[Tensor] | None) -> None:
        super().load_state_dict(state, average)
        self.kept = [list(weights) for weights in state["kept"]]
