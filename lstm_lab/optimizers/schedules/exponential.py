"""Exponential decay."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lstm_lab.optimizers.schedules.base import Schedule


class Exponential(Schedule, name="exponential"):
    """Exponential decay from 1 down to `end_factor` at the end."""

    class Config(Schedule.Config):
        end_factor: Annotated[float, Field(gt=0.0, le=1.0)] = 0.01
        """Factor at the end."""

    def __init__(self, warmup_fraction: float = 0.0, end_factor: float = 0.01) -> None:
        super().__init__(warmup_fraction)
        self.end_factor = end_factor

    def annealed(self, progress: float) -> float:
        return float(self.end_factor**progress)
