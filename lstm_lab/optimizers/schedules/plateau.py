"""Reduction of the learning rate on a plateau."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lstm_lab.config import Count
from lstm_lab.optimizers.schedules.base import Schedule


class Plateau(Schedule, name="plateau"):
    """Reduces the rate whenever the monitored metric has not improved for `patience` epochs."""

    observes = True

    class Config(Schedule.Config):
        patience: Count = 5
        """Epochs without improvement before the rate is reduced."""
        factor: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
        """What the rate is multiplied with each time."""

        def check_patience(self, patience: int | None) -> None:
            if patience is not None and patience <= self.patience:
                raise ValueError(
                    f"schedule.patience={self.patience} would do nothing: training stops after trainer.patience="
                    f"{patience} epochs without improvement; raise that, or lower this"
                )

    def __init__(self, warmup_fraction: float = 0.0, patience: int = 5, factor: float = 0.5) -> None:
        super().__init__(warmup_fraction)
        self.patience, self.factor = patience, factor
        self.waited, self.level = 0, 1.0

    def annealed(self, progress: float) -> float:
        return self.level

    def observe(self, improved: bool) -> None:
        self.waited = 0 if improved else self.waited + 1
        if self.waited >= self.patience:
            self.waited, self.level = 0, self.level * self.factor

    def state_dict(self) -> dict[str, float]:
        return {"waited": self.waited, "level": self.level}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.waited, self.level = int(state["waited"]), state["level"]
