"""No change of the learning rate."""

from __future__ import annotations

from lstm_lab.optimizers.schedules.base import Schedule


class Constant(Schedule, name="constant"):
    """The same rate after warm-up throughout."""

    def annealed(self, progress: float) -> float:
        return 1.0
