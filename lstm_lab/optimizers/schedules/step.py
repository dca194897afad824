"""Reduction of the learning rate in steps."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import Field, field_validator

from lstm_lab.optimizers.schedules.base import Schedule

Milestones = Annotated[tuple[Annotated[float, Field(gt=0.0, lt=1.0)], ...], Field(strict=False, min_length=1)]


class Step(Schedule, name="step"):
    """The rate is multiplied with `gamma` at each milestone."""

    class Config(Schedule.Config):
        milestones: Milestones = (0.5, 0.75)
        """Shares of all steps behind warm-up, in order."""
        gamma: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
        """What the rate is multiplied with each time."""

        @field_validator("milestones")
        @classmethod
        def _milestones_are_in_order(cls, milestones: tuple[float, ...]) -> tuple[float, ...]:
            if any(later <= before for before, later in pairwise(milestones)):
                raise ValueError(f"milestones {list(milestones)} must increase")
            return milestones

    def __init__(
        self, warmup_fraction: float = 0.0, milestones: tuple[float, ...] = (0.5, 0.75), gamma: float = 0.1
    ) -> None:
        super().__init__(warmup_fraction)
        self.milestones, self.gamma = milestones, gamma

    def annealed(self, progress: float) -> float:
        return float(self.gamma ** sum(progress >= milestone for milestone in self.milestones))
