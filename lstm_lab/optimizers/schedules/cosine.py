"""Cosine annealing."""

from __future__ import annotations

import math

from lstm_lab.optimizers.base import Fraction
from lstm_lab.optimizers.schedules.base import Schedule


class Cosine(Schedule, name="cosine"):
    """Half a cosine from 1 down to `end_factor` (Loshchilov & Hutter, 2017)."""

    class Config(Schedule.Config):
        end_factor: Fraction = 0.0
        """Factor at the end."""

    def __init__(self, warmup_fraction: float = 0.0, end_factor: float = 0.0) -> None:
        super().__init__(warmup_fraction)
        self.end_factor = end_factor

    def annealed(self, progress: float) -> float:
        return self.end_factor + (1 - self.end_factor) * 0.5 * (1 + math.cos(math.pi * progress))
