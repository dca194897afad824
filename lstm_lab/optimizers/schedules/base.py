"""The contract of a learning-rate schedule.

A schedule has no hidden counter: the rate of a step is a function of its number, so a resumed run cannot drift.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

from lstm_lab.config.registry import Named, Registered
from lstm_lab.optimizers.base import Fraction
from lstm_lab.records.run_record import Select


class Schedule(Registered, kind="schedule"):
    """Number of a step -> factor on the learning rate."""

    may_roll_back: ClassVar[bool] = False
    """Whether `rolls_back` is ever true."""
    observes: ClassVar[bool] = False
    """Whether it depends on the monitored metric of the validation split."""

    class Config(Named):
        owner: ClassVar[type[Schedule]]

        warmup_fraction: Fraction = 0.0
        """Share of all steps in which the rate grows linearly from zero."""

        def check_patience(self, patience: int | None) -> None:
            """Raise ValueError where early stopping after so many epochs (None: never) leaves it nothing to do."""

        def check_select(self, select: Select) -> None:
            """Raise ValueError where it needs the weights of the best epoch, which `trainer.select` does not keep."""

    def __init__(self, warmup_fraction: float = 0.0) -> None:
        self.warmup_fraction = warmup_fraction

    def lr_factor(self, step: int, total_steps: int) -> float:
        """What the learning rate is multiplied with at `step` of `total_steps`, counted from 0."""
        warmup = self.warmup_fraction * total_steps
        if step < warmup:
            return (step + 1) / math.ceil(warmup)
        rest = total_steps - warmup
        return self.annealed(min(1.0, (step - warmup) / rest) if rest > 0 else 1.0)

    @abstractmethod
    def annealed(self, progress: float) -> float:
        """The factor after warm-up; `progress` runs from 0 to 1."""

    @property
    def needs_total_steps(self) -> bool:
        """Whether the factor of a step depends on how many steps there are."""
        return self.warmup_fraction > 0 or self.annealed(0.0) != self.annealed(1.0)

    def observe(self, improved: bool) -> None:
        """Called after each epoch with whether the monitored metric was the best so far; most schedules ignore it."""

    @property
    def rolls_back(self) -> bool:
        """Whether weights and optimizer return to the best epoch, after the validation last observed."""
        return False

    def state_dict(self) -> dict[str, float]:
        """What `load_state_dict` needs to resume; most schedules have no state."""
        return {}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Restore what `state_dict` returned."""
