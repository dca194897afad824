"""Cosine annealing with restarts."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Annotated

from pydantic import Field

from lstm_lab.config import Count
from lstm_lab.optimizers.base import Fraction
from lstm_lab.optimizers.schedules.base import Schedule


class CosineRestarts(Schedule, name="cosine_restarts"):
    """SGDR (Loshchilov & Hutter, 2017): half a cosine from 1 down to `end_factor`, `num_cycles` times."""

    class Config(Schedule.Config):
        num_cycles: Annotated[Count, Field(le=1000)] = 4
        """Times that the rate falls."""
        t_mult: Annotated[float, Field(ge=1.0, le=10.0)] = 1.0
        """How many times as long each cycle is as the one before."""
        end_factor: Fraction = 0.0
        """Factor at the end of each cycle."""

    def __init__(
        self, warmup_fraction: float = 0.0, num_cycles: int = 4, t_mult: float = 1.0, end_factor: float = 0.0
    ) -> None:
        super().__init__(warmup_fraction)
        self.end_factor = end_factor
        lengths = [t_mult ** (i - num_cycles) for i in range(num_cycles)]  # To the last one: no power overflows.
        self.starts = [sum(lengths[:i]) / sum(lengths) for i in range(num_cycles)] + [1.0]

    def annealed(self, progress: float) -> float:
        cycle = bisect_right(self.starts, progress, hi=len(self.starts) - 1) - 1
        start, end = self.starts[cycle], self.starts[cycle + 1]
        inside = (progress - start) / (end - start)
        return self.end_factor + (1 - self.end_factor) * 0.5 * (1 + math.cos(math.pi * inside))
