"""The contract of an optimiser."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn

from lstm_lab.registry import Named, Registered

Rate = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Optimizer(Registered, kind="optimizer"):
    """Parameters -> a torch optimiser.

    Args:
        options: the fields of its Config, `lr` among them.
    """

    class Config(Named):
        lr: Rate = 1e-3
        """Learning rate that the schedule's factor is applied to."""
        weight_decay: NonNegative = 0.0
        """L2 penalty on the weights (decoupled in adamw)."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    @property
    def lr(self) -> float:
        """The learning rate before the schedule's factor."""
        return float(self.options["lr"])

    @abstractmethod
    def build_torch(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The torch optimiser of these parameters."""
