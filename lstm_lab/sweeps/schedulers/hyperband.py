"""Asynchronous Hyperband."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from lstm_lab.sweeps.schedulers.asha import ASHA
from lstm_lab.sweeps.wandb_format import WandbEarlyStopping


class Hyperband(ASHA, name="hyperband"):
    """Asynchronous Hyperband (Li et al. 2018, 2020): several halvings side by side, each with a longer grace period.

    The bracket of a trial is drawn at random. Brackets with a later first rung give trials that learn slowly at first
    more time.
    """

    from_wandb = {}

    class Config(ASHA.Config):
        grace_period: Annotated[int, Field(ge=1)] = 1
        """Epochs of every trial in the first bracket; `reduction_factor` times as many in the next."""
        brackets: Annotated[int, Field(ge=2)] = 3
        """Halvings side by side; one alone is asha."""

    def __init__(self, grace_period: int, reduction_factor: float, brackets: int) -> None:
        super().__init__(grace_period, reduction_factor)
        self.brackets = brackets

    def num_brackets(self, max_epochs: int) -> int:
        # A bracket whose first rung lies behind the last epoch would stop no trial.
        rungs = math.log(max_epochs / min(self.grace_period, max_epochs)) / math.log(self.reduction_factor)
        return min(self.brackets, 1 + int(rungs))

    def to_wandb(self) -> WandbEarlyStopping:
        note = f"brackets: {self.brackets} is left out: W&B's hyperband has one bracket, which is asha"
        return WandbEarlyStopping(super().to_wandb().early_terminate, (note,))
