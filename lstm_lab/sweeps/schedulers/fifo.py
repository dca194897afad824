"""No early stopping."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lstm_lab.sweeps.ordering import Compares
from lstm_lab.sweeps.schedulers.base import Scheduler
from lstm_lab.sweeps.wandb_format import WandbEarlyStopping

if TYPE_CHECKING:
    from ray.tune.schedulers import TrialScheduler


class FIFO(Scheduler, name="fifo"):
    """No early stopping: every trial is trained to completion."""

    compares = Compares.EARLIER_TRIALS
    stops_trials = False

    def tune_scheduler(self, max_epochs: int, metric: str, mode: str) -> TrialScheduler:
        from ray.tune.schedulers import FIFOScheduler

        make: Callable[[], TrialScheduler] = FIFOScheduler  # Tune leaves it untyped.
        return make()

    def decision_epochs(self, max_epochs: int) -> list[int]:
        return []

    def to_wandb(self) -> WandbEarlyStopping:
        return WandbEarlyStopping(None)
