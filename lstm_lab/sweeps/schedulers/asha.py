"""Asynchronous successive halving."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from lstm_lab.config.registry import Named
from lstm_lab.sweeps.ordering import Compares
from lstm_lab.sweeps.schedulers.base import Scheduler
from lstm_lab.sweeps.wandb_format import WandbEarlyStopping, WandbSection

if TYPE_CHECKING:
    from ray.tune.schedulers import TrialScheduler


def from_hyperband(section: WandbSection) -> dict[str, object]:
    """The fields of ASHA for W&B's hyperband, which has the same rungs and counts epochs as iterations."""
    eta = section.get("eta", 3)
    first_rung = section.get("min_iter") or max(1, int(section.get("max_iter", 1) / eta ** section.get("s", 0)))
    return {"grace_period": first_rung, "reduction_factor": eta}


class ASHA(Scheduler, name="asha"):
    """Asynchronous successive halving (Li et al. 2020): at each rung the best 1/reduction_factor continue."""

    compares = Compares.EARLIER_TRIALS
    from_wandb = {"hyperband": from_hyperband}

    class Config(Named):
        grace_period: Annotated[int, Field(ge=1)] = 3
        """Epochs that every trial is trained for; the first rung."""
        reduction_factor: Annotated[float, Field(gt=1.0)] = 3
        """One in so many trials continues at each rung, and each rung has so many times the epochs of the last."""

    def __init__(self, grace_period: int, reduction_factor: float) -> None:
        self.grace_period, self.reduction_factor = grace_period, reduction_factor

    def tune_scheduler(self, max_epochs: int, metric: str, mode: str) -> TrialScheduler:
        from ray.tune.schedulers import AsyncHyperBandScheduler

        return AsyncHyperBandScheduler(
            time_attr="epochs",
            metric=metric,
            mode=mode,
            # A trial ends itself at max_epochs; if Tune did, it would count as stopped early, not as finished.
            max_t=max_epochs + 1,
            grace_period=min(self.grace_period, max_epochs),
            reduction_factor=self.reduction_factor,
            brackets=self.num_brackets(max_epochs),
        )

    def num_brackets(self, max_epochs: int) -> int:
        """Halvings side by side, each with a longer grace period than the last."""
        return 1

    def decision_epochs(self, max_epochs: int) -> list[int]:
        rungs, rung = [], float(min(self.grace_period, max_epochs))
        while rung <= max_epochs:
            rungs.append(math.ceil(rung))
            rung *= self.reduction_factor
        return rungs

    def to_wandb(self) -> WandbEarlyStopping:
        return WandbEarlyStopping({"type": "hyperband", "min_iter": self.grace_period, "eta": self.reduction_factor})
