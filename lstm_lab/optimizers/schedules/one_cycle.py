"""One cycle: up and down again."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field, model_validator

from lstm_lab.optimizers.schedules.base import Schedule


class OneCycle(Schedule, name="one_cycle"):
    """Smith & Topin (2018): by half cosines up to `optimizer.lr`, then down to almost nothing.

    Momentum stays as it is.
    """

    class Config(Schedule.Config):
        pct_start: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.3
        """Share of all steps in which the rate rises."""
        div_factor: Annotated[float, Field(ge=1.0)] = 25.0
        """`optimizer.lr` over the rate of the first step."""
        final_div_factor: Annotated[float, Field(ge=1.0)] = 1e4
        """The rate of the first step over that of the last."""

        @model_validator(mode="after")
        def _check_warmup(self) -> OneCycle.Config:
            if self.warmup_fraction:
                raise ValueError(
                    f"warmup_fraction={self.warmup_fraction}: one_cycle rises by itself: use pct_start, or leave it out"
                )
            return self

    def __init__(
        self, warmup_fraction: float = 0.0, pct_start: float = 0.3, div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:  # fmt: skip
        super().__init__(warmup_fraction)
        self.peak, self.start = pct_start, 1 / div_factor
        self.end = self.start / final_div_factor

    @property
    def needs_total_steps(self) -> bool:
        return True

    def annealed(self, progress: float) -> float:
        if progress < self.peak:
            return _between(self.start, 1.0, progress / self.peak)
        return _between(1.0, self.end, (progress - self.peak) / (1 - self.peak))


def _between(start: float, end: float, share: float) -> float:
    """Half a cosine from start to end."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))
