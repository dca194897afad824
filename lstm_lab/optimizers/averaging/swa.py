"""Stochastic weight averaging."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor

from lstm_lab.optimizers.averaging.base import Averaging


class SWA(Averaging, name="swa"):
    """Izmailov et al. (2018): the mean of the weights after each of the last epochs. The schedule sets their rate."""

    class Config(Averaging.Config):
        swa_epoch_start: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.75
        """Share of `trainer.max_epochs` behind which epochs are averaged; early stopping must not come before."""

    needs_max_epochs = True

    def __init__(self, swa_epoch_start: float) -> None:
        super().__init__()
        self.swa_epoch_start = swa_epoch_start

    def after_epoch(self, weights: Sequence[Tensor], progress: float) -> None:
        if progress > self.swa_epoch_start:
            self.add(weights)
