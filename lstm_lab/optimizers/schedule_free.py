"""Schedule-free optimizers, of the package schedulefree by the authors of the method."""

from __future__ import annotations

import importlib.util
from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Protocol, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor

from lstm_lab.config.registry import Named
from lstm_lab.optimizers.averaging import Averaging
from lstm_lab.optimizers.averaging.none import NoAveraging
from lstm_lab.optimizers.base import Betas, NonNegative, Optimizer, Parameters, Rate
from lstm_lab.optimizers.schedules.constant import Constant

Momentum = Annotated[float, Field(gt=0.0, lt=1.0)]


class _ScheduleFree(Protocol):
    """What the package's optimizers have besides those of torch."""

    def train(self) -> None: ...

    def eval(self) -> None: ...


class AverageOfOptimizer(Averaging):
    """The average that a schedule-free optimizer keeps: taken from it after each epoch.

    The optimizer can turn the weights that it trains into their average and back. Those are put back as they were: what
    it turns back is equal but for rounding.
    """

    optimizer: _ScheduleFree

    def begin(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = cast("_ScheduleFree", optimizer)

    def after_epoch(self, weights: Sequence[Tensor], progress: float) -> None:
        trained = [weight.detach().clone() for weight in weights]
        self.optimizer.eval()
        self.average = [weight.detach().clone() for weight in weights]
        self.optimizer.train()
        with torch.no_grad():
            for weight, kept in zip(weights, trained, strict=True):
                weight.copy_(kept)
        self.count += 1


class ScheduleFree(Optimizer):
    """Defazio et al. (2024), "The road less scheduled": the average of the weights in place of a falling learning rate.

    The average is validated, evaluated and predicted with; checkpoints hold it and the weights that are trained. Only
    the schedule `constant` goes with it, with or without warm-up.
    """

    class Config(Optimizer.Config):
        r: NonNegative = 0.0
        """Power of the number of a step, in its weight in the average."""
        weight_lr_power: NonNegative = 2.0
        """Power of the largest learning rate so far, in that weight: less of the steps in a warm-up."""

        @model_validator(mode="after")
        def _check_package(self) -> ScheduleFree.Config:
            if importlib.util.find_spec("schedulefree") is None:
                raise ValueError("needs the package schedulefree: pip install schedulefree, or use adamw")
            return self

        def check_fits(self, schedule: Named, averaging: Named) -> None:
            if not isinstance(schedule, Constant.Config):
                raise ValueError(
                    f"schedule={schedule.name}: optimizer '{self.name}' takes the place of a schedule; leave it out"
                )
            if not isinstance(averaging, NoAveraging.Config):
                raise ValueError(
                    f"averaging={averaging.name}: optimizer '{self.name}' averages the weights itself; leave it out"
                )

    def averaging(self) -> Averaging:
        return AverageOfOptimizer()

    def build_torch(self, parameters: Parameters) -> torch.optim.Optimizer:
        optimizer = self.build_schedule_free(parameters)
        cast("_ScheduleFree", optimizer).train()
        return optimizer

    @abstractmethod
    def build_schedule_free(self, parameters: Parameters) -> torch.optim.Optimizer:
        """The package's optimizer of these parameters."""


class ScheduleFreeAdamW(ScheduleFree, name="schedule_free_adamw"):
    """The schedule-free form of AdamW."""

    class Config(ScheduleFree.Config):
        lr: Rate = 2.5e-3
        """Learning rate, which does not fall."""
        betas: Betas = (0.9, 0.999)
        """Share of the average in the weights at which gradients are taken, and decay of the mean of their squares."""
        eps: Rate = 1e-8
        """Added to the denominator."""

        @model_validator(mode="after")
        def _check_betas(self) -> ScheduleFreeAdamW.Config:
            if not self.betas[0]:
                raise ValueError("betas[0]=0: the weights would have no share of their average; 0.9 is usual")
            return self

    def build_schedule_free(self, parameters: Parameters) -> torch.optim.Optimizer:
        import schedulefree

        found: torch.optim.Optimizer = schedulefree.AdamWScheduleFree(parameters, **self.options)
        return found


class ScheduleFreeSGD(ScheduleFree, name="schedule_free_sgd"):
    """The schedule-free form of stochastic gradient descent."""

    class Config(ScheduleFree.Config):
        lr: Rate = 1.0
        """Learning rate, which does not fall; larger than that of sgd."""
        momentum: Momentum = 0.9
        """Share of the average in the weights at which gradients are taken."""

    def build_schedule_free(self, parameters: Parameters) -> torch.optim.Optimizer:
        import schedulefree

        found: torch.optim.Optimizer = schedulefree.SGDScheduleFree(parameters, **self.options)
        return found
