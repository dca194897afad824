"""The median stopping rule."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from lstm_lab.config.registry import Named
from lstm_lab.sweeps.ordering import Compares
from lstm_lab.sweeps.schedulers.base import Scheduler
from lstm_lab.sweeps.wandb_format import WandbEarlyStopping

if TYPE_CHECKING:
    from ray.tune.schedulers import TrialScheduler


class Median(Scheduler, name="median"):
    """Stops a trial whose best value is worse than the median of the others' running means (Golovin et al. 2017)."""

    compares = Compares.EARLIER_TRIALS

    class Config(Named):
        grace_period: Annotated[int, Field(ge=1)] = 3
        """Epochs that every trial is trained for."""
        min_samples_required: Annotated[int, Field(ge=1)] = 3
        """Other trials needed for a median."""

    def __init__(self, grace_period: int, min_samples_required: int) -> None:
        self.grace_period, self.min_samples_required = grace_period, min_samples_required

    def tune_scheduler(self, max_epochs: int, metric: str, mode: str) -> TrialScheduler:
        from ray.tune.schedulers import MedianStoppingRule

        return MedianStoppingRule(
            time_attr="epochs",
            metric=metric,
            mode=mode,
            grace_period=self.grace_period,
            min_samples_required=self.min_samples_required,
            # Else it pauses a trial for one that waits, while there are too few for a median. That needs one of Tune's
            # checkpoints, and ours are in the run folder.
            min_time_slice=math.inf,  # type: ignore[arg-type]  # It is only compared.
        )

    def to_wandb(self) -> WandbEarlyStopping:
        return WandbEarlyStopping(None, (f"scheduler {self.name} is left out: W&B stops early by hyperband only",))
