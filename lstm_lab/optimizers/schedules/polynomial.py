"""Polynomial decay."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lstm_lab.optimizers.base import Fraction
from lstm_lab.optimizers.schedules.base import Schedule


class Polynomial(Schedule, name="polynomial"):
    """(1 - progress)^power, from 1 down to `end_factor`; `power: 1` is linear."""

    class Config(Schedule.Config):
        power: Annotated[float, Field(gt=0.0)] = 1.0
        """Exponent."""
        end_factor: Fraction = 0.0
        """Factor at the end."""

    def __init__(self, warmup_fraction: float = 0.0, power: float = 1.0, end_factor: float = 0.0) -> None:
        super().__init__(warmup_fraction)
        self.power, self.end_factor = power, end_factor

    def annealed(self, progress: float) -> float:
        return float(self.end_factor + (1 - self.end_factor) * (1 - progress) ** self.power)
