"""Early-stopping rules, as the arguments of the Tune scheduler that carries each out."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field

from lstm_lab.config import Count
from lstm_lab.registry import Named, Registered


class Scheduler(Registered, kind="scheduler"):
    """When a trial is stopped for being worse than the others."""

    tune_class: ClassVar[str]
    """Name of the class in `ray.tune.schedulers`."""
    population: ClassVar[str] = ""
    """Name of the class in `sweeps.execution.population` by which trials go on from one another; empty: they do not."""
    stops: ClassVar[bool] = True
    """Whether it ends trials before they are trained through."""

    @classmethod
    def check(cls, config: Any, sweep: Any) -> None:
        """Raise ValueError, with place and way out, for a sweep that this rule cannot run."""

    @abstractmethod
    def arguments(self, max_epochs: int) -> dict[str, Any]:
        """Arguments of Ray Tune's class, for trials of at most so many epochs."""

    def decision_epochs(self, max_epochs: int) -> list[int] | None:
        """After how many epochs a trial has to wait for what the rule makes of it; None: after each."""
        return None


class FIFO(Scheduler, name="fifo"):
    """No trial is stopped for another's sake."""

    tune_class = "FIFOScheduler"
    stops = False

    def arguments(self, max_epochs: int) -> dict[str, Any]:
        return {}

    def decision_epochs(self, max_epochs: int) -> list[int] | None:
        return []


class ASHA(Scheduler, name="asha"):
    """Asynchronous successive halving (Li et al. 2020): at each rung the best 1/reduction_factor continue."""

    tune_class = "AsyncHyperBandScheduler"

    class Config(Named):
        grace_period: Annotated[int, Field(ge=1)] = 3
        """Epochs that every trial gets; the first rung."""
        reduction_factor: Annotated[float, Field(gt=1.0)] = 3
        """One in so many goes on at each rung."""

    def __init__(self, grace_period: int, reduction_factor: float) -> None:
        self.grace_period, self.reduction_factor = grace_period, reduction_factor

    def arguments(self, max_epochs: int) -> dict[str, Any]:
        # The trial ends itself at max_epochs; stopped there by Tune it would count as stopped, not finished.
        return {
            "time_attr": "epochs",
            "max_t": max_epochs + 1,
            "grace_period": min(self.grace_period, max_epochs),
            "reduction_factor": self.reduction_factor,
        }

    def decision_epochs(self, max_epochs: int) -> list[int] | None:
        rungs, rung = [], float(min(self.grace_period, max_epochs))
        while rung <= max_epochs:
            rungs.append(math.ceil(rung))
            rung *= self.reduction_factor
        return rungs


class Hyperband(ASHA, name="hyperband"):
    """Asynchronous Hyperband (Li et al. 2018, 2020): several halvings side by side, each with a longer grace.

    Which trial goes into which bracket is drawn; a bracket with a later first rung spares what starts slowly.
    """

    class Config(ASHA.Config):
        grace_period: Annotated[int, Field(ge=1)] = 1
        """Epochs that every trial of the first bracket gets; of the next, `reduction_factor` times as many."""
        brackets: Annotated[int, Field(ge=2)] = 3
        """Halvings side by side; one of them is asha."""

    def __init__(self, grace_period: int, reduction_factor: float, brackets: int) -> None:
        super().__init__(grace_period, reduction_factor)
        self.brackets = brackets

    def arguments(self, max_epochs: int) -> dict[str, Any]:
        # A bracket whose first rung lies behind the last epoch would stop nothing.
        rungs = math.log(max_epochs / min(self.grace_period, max_epochs)) / math.log(self.reduction_factor)
        return {**super().arguments(max_epochs), "brackets": min(self.brackets, 1 + int(rungs))}


class Median(Scheduler, name="median"):
    """Stopped when the best so far is worse than the median of the others' running means (Golovin et al. 2017)."""

    tune_class = "MedianStoppingRule"

    class Config(Named):
        grace_period: Annotated[int, Field(ge=1)] = 3
        """Epochs that every trial gets."""
        min_samples_required: Annotated[int, Field(ge=1)] = 3
        """Other trials needed for a median."""

    def __init__(self, grace_period: int, min_samples_required: int) -> None:
        self.grace_period, self.min_samples_required = grace_period, min_samples_required

    def arguments(self, max_epochs: int) -> dict[str, Any]:
        return {
            "time_attr": "epochs",
            "grace_period": self.grace_period,
            "min_samples_required": self.min_samples_required,
        }


class PBT(Scheduler, name="pbt"):
    """Population-based training (Jaderberg et al. 2017): the worst go on from the best, their numbers changed a little.

    All points train side by side. What may change is what changes no shape: an optimiser's numbers, dropout of the
    model, and the largest gradient.
    """

    # Nobody is stopped; the cloning is ours.
    tune_class = "FIFOScheduler"
    stops = False
    population = "Population"

    class Config(Named):
        perturbation_interval: Count = 5
        """Epochs between two comparisons."""
        quantile_fraction: Annotated[float, Field(gt=0.0, le=0.5)] = 0.25
        """Of the trials: so many at the bottom go on from so many at the top."""
        resample_probability: Annotated[float, Field(ge=0.0, le=1.0)] = 0.25
        """How often a number is drawn anew instead of moved."""

    def __init__(self, perturbation_interval: int, quantile_fraction: float, resample_probability: float) -> None:
        self.perturbation_interval, self.quantile_fraction = perturbation_interval, quantile_fraction
        self.resample_probability = resample_probability

    @classmethod
    def check(cls, config: Any, sweep: Any) -> None:
        if len(sweep.seeds) > 1:
            raise ValueError(f"seeds: {list(sweep.seeds)}: the trials of {cls.name} are one population; write one seed")
        if sweep.searcher.owner.learns(sweep.searcher):
            raise ValueError(
                f"searcher: the points of {cls.name} all begin at once, there is nothing to learn; write random"
            )
        for name in ("confirm", "patience_trials"):
            if getattr(sweep, name) is not None:
                raise ValueError(
                    f"{name}: has no meaning for {cls.name}, whose points change while they train; leave it out"
                )
        epochs = sweep.base.trainer.max_epochs
        if config.perturbation_interval >= epochs:
            raise ValueError(
                f"scheduler.perturbation_interval: {config.perturbation_interval} is never before the last of {epochs} "
                "epochs"
            )
        for key, domain in sweep.space.items():
            if domain.when:
                raise ValueError(f"space.{key}: {cls.name} changes every number of every trial; leave `when` out")
            if not changeable(sweep.base, key):
                raise ValueError(
                    f"space.{key}: {cls.name} copies weights between trials, and this may change their shape or "
                    "meaning; it takes numbers of the optimizer, model.dropout.* and trainer.gradient_clip_val"
                )
        if sweep.num_configurations < 2:
            raise ValueError(
                f"num_samples: {cls.name} needs a population of at least 2, got {sweep.num_configurations}"
            )

    def arguments(self, max_epochs: int) -> dict[str, Any]:
        return {}


class PB2(PBT, name="pb2"):
    """Population-based bandits (Parker-Holder et al. 2020): as pbt, but a model chooses the new numbers.

    A Gaussian process over the numbers and the time says what an epoch with them would gain. Small populations, from
    four on, are what it is for.
    """

    population = "PB2"

    class Config(Named):
        perturbation_interval: Count = 5
        """Epochs between two comparisons."""
        quantile_fraction: Annotated[float, Field(gt=0.0, le=0.5)] = 0.25
        """Of the trials: so many at the bottom go on from so many at the top."""

    def __init__(self, perturbation_interval: int, quantile_fraction: float) -> None:
        super().__init__(perturbation_interval, quantile_fraction, resample_probability=1.0)


def group_of(experiment: Any) -> dict[str, Any]:
    """The numbers with which torch's optimiser of an experiment is made."""
    optimizer = experiment.optimizer.build().over([torch.nn.Parameter(torch.zeros(1))])
    return {key: value for key, value in optimizer.param_groups[0].items() if key != "params"}


def changeable(experiment: Any, key: str) -> bool:
    """Whether a number may change in the middle of a training: it shapes nothing, and the next step obeys it."""
    if key == "trainer.gradient_clip_val" or key.startswith("model.dropout."):
        return True
    section, _, name = key.partition(".")
    value = experiment.optimizer.choices().get(name) if section == "optimizer" else None
    return isinstance(value, float) and group_of(experiment).get(name) == value
