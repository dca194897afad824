"""Early-stopping rules, as the arguments of the Tune scheduler that carries each out."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated, Any, ClassVar

from pydantic import Field

from lstm_lab.registry import Named, Registered


class Scheduler(Registered, kind="scheduler"):
    """When a trial is stopped for being worse than the others."""

    tune_class: ClassVar[str]
    """Name of the class in `ray.tune.schedulers`."""
    stops: ClassVar[bool] = True
    """Whether it ends trials before they are trained through."""

    @abstractmethod
    def arguments(self, max_epochs: int) -> dict[str, Any]: ...


class FIFO(Scheduler, name="fifo"):
    """No trial is stopped for another's sake."""

    tune_class = "FIFOScheduler"
    stops = False

    def arguments(self, max_epochs: int) -> dict[str, Any]:
        return {}


class ASHA(Scheduler, name="asha"):
    """Asynchronous successive halving (Li et al. 2020): at each rung the best 1/reduction go on."""

    tune_class = "AsyncHyperBandScheduler"

    class Config(Named):
        grace: Annotated[int, Field(ge=1)] = 3
        """Epochs that every trial gets; the first rung."""
        reduction: Annotated[float, Field(gt=1.0)] = 3
        """One in so many goes on at each rung."""

    def __init__(self, grace: int, reduction: float) -> None:
        self.grace, self.reduction = grace, reduction

    def arguments(self, max_epochs: int) -> dict[str, Any]:
        # The trial ends itself at max_epochs; stopped there by Tune it would count as stopped, not finished.
        return {
            "time_attr": "epochs",
            "max_t": max_epochs + 1,
            "grace_period": min(self.grace, max_epochs),
            "reduction_factor": self.reduction,
        }


class Hyperband(ASHA, name="hyperband"):
    """Asynchronous Hyperband (Li et al. 2018, 2020): several halvings side by side, each with a longer grace.

    Which trial goes into which bracket is drawn; a bracket with a later first rung spares what starts slowly.
    """

    class Config(ASHA.Config):
        grace: Annotated[int, Field(ge=1)] = 1
        """Epochs that every trial of the first bracket gets; of the next, `reduction` times as many."""
        brackets: Annotated[int, Field(ge=2)] = 3
        """Halvings side by side; one of them is asha."""

    def __init__(self, grace: int, reduction: float, brackets: int) -> None:
        super().__init__(grace, reduction)
        self.brackets = brackets

    def arguments(self, max_epochs: int) -> dict[str, Any]:
        # A bracket whose first rung lies behind the last epoch would stop nothing.
        rungs = math.log(max_epochs / min(self.grace, max_epochs)) / math.log(self.reduction)
        return {**super().arguments(max_epochs), "brackets": min(self.brackets, 1 + int(rungs))}


class Median(Scheduler, name="median"):
    """Stopped when the best so far is worse than the median of the others' running means (Golovin et al. 2017)."""

    tune_class = "MedianStoppingRule"

    class Config(Named):
        grace: Annotated[int, Field(ge=1)] = 3
        """Epochs that every trial gets."""
        least: Annotated[int, Field(ge=1)] = 3
        """Other trials needed for a median."""

    def __init__(self, grace: int, least: int) -> None:
        self.grace, self.least = grace, least

    def arguments(self, max_epochs: int) -> dict[str, Any]:
        return {"time_attr": "epochs", "grace_period": self.grace, "min_samples_required": self.least}
