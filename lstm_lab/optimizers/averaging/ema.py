"""Exponential moving average."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor

from lstm_lab.optimizers.averaging.base import Averaging


class EMA(Averaging, name="ema"):
    """Exponential moving average over steps.

    At step t, counted from 0, the average keeps min(decay, (1 + t) / (10 + t)) of itself, so that the first weights are
    soon forgotten.
    """

    class Config(Averaging.Config):
        decay: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.999
        """Share of the average that a step keeps."""

    def __init__(self, decay: float) -> None:
        super().__init__()
        self.decay = decay

    def after_step(self, weights: Sequence[Tensor]) -> None:
        self.add(weights, 1 - min(self.decay, (1 + self.count) / (10 + self.count)))
