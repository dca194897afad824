"""Optimisers, and learning-rate schedules as functions of the step.

A schedule has no hidden counter: the rate of a step is a function of its number, so a resumed run cannot drift.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn

from lstm_lab.config import Count
from lstm_lab.registry import Named, Registered

Rate = Annotated[float, Field(gt=0.0)]
Positive = Annotated[float, Field(ge=0.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Optimizer(Registered, kind="optimizer"):
    """Parameters -> a torch optimiser."""

    class Config(Named):
        lr: Rate = 1e-3
        """Learning rate at the top of the schedule."""
        weight_decay: Positive = 0.0
        """L2 penalty on the weights (decoupled in adamw)."""

    def __init__(self, **choices: Any) -> None:
        self.choices = choices

    @abstractmethod
    def over(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The torch optimiser of these parameters."""


class Adam(Optimizer, name="adam"):
    """Kingma & Ba (2015)."""

    def over(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, fused=True, **self.choices)


class AdamW(Optimizer, name="adamw"):
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019)."""

    class Config(Optimizer.Config):
        weight_decay: Positive = 0.01
        """Decoupled weight decay."""

    def over(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, fused=True, **self.choices)


class SGD(Optimizer, name="sgd"):
    """Stochastic gradient descent with Nesterov momentum; `momentum: 0` is the plain form."""

    class Config(Optimizer.Config):
        lr: Rate = 0.1
        """Learning rate at the top of the schedule."""
        momentum: Share = 0.9
        """Share of the last step that is repeated."""

    def over(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, nesterov=self.choices["momentum"] > 0, fused=True, **self.choices)


class RMSprop(Optimizer, name="rmsprop"):
    """Tieleman & Hinton (2012)."""

    class Config(Optimizer.Config):
        momentum: Share = 0.0
        """Share of the last step that is repeated."""

    def over(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(parameters, foreach=True, **self.choices)


class Schedule(Registered, kind="schedule"):
    """Step number -> factor on the learning rate."""

    class Config(Named):
        warmup_fraction: Share = 0.0
        """Share of all steps in which the rate grows from zero."""

    def __init__(self, warmup_fraction: float = 0.0) -> None:
        self.warmup_fraction = warmup_fraction

    def lr_factor(self, step: int, total: int) -> float:
        """What the learning rate is multiplied with at `step` of `total`, both counted from 0."""
        rising = self.warmup_fraction * total
        if step < rising:
            return (step + 1) / math.ceil(rising)
        falling = total - rising
        return self.annealed(min(1.0, (step - rising) / falling) if falling > 0 else 1.0)

    @abstractmethod
    def annealed(self, progress: float) -> float:
        """The factor after warm-up; `progress` runs from 0 to 1."""

    def observe(self, better: bool) -> None:
        """Told whether the deciding metric after each epoch was the best so far; most schedules do not care."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Most schedules have nothing to restore."""


class Constant(Schedule, name="constant"):
    """The same rate throughout."""

    def annealed(self, progress: float) -> float:
        return 1.0


class Cosine(Schedule, name="cosine"):
    """Half a cosine from 1 down to `end_factor` (Loshchilov & Hutter, 2017)."""

    class Config(Schedule.Config):
        end_factor: Share = 0.0
        """Factor at the end."""

    def __init__(self, warmup_fraction: float = 0.0, end_factor: float = 0.0) -> None:
        super().__init__(warmup_fraction)
        self.end_factor = end_factor

    def annealed(self, progress: float) -> float:
        return self.end_factor + (1 - self.end_factor) * 0.5 * (1 + math.cos(math.pi * progress))


class Decay(Schedule, name="decay"):
    """Exponential decay from 1 down to `end_factor` at the end."""

    class Config(Schedule.Config):
        end_factor: Annotated[float, Field(gt=0.0, le=1.0)] = 0.01
        """Factor at the end."""

    def __init__(self, warmup_fraction: float = 0.0, end_factor: float = 0.01) -> None:
        super().__init__(warmup_fraction)
        self.end_factor = end_factor

    def annealed(self, progress: float) -> float:
        return self.end_factor**progress


class Plateau(Schedule, name="plateau"):
    """Step back the rate when the deciding metric has not improved for a while."""

    class Config(Schedule.Config):
        patience: Count = 5
        """Epochs without improvement before the rate steps back."""
        factor: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
        """Factor of one step back."""

    def __init__(self, warmup_fraction: float = 0.0, patience: int = 5, factor: float = 0.5) -> None:
        super().__init__(warmup_fraction)
        self.patience, self.factor = patience, factor
        self.waited, self.level = 0, 1.0

    def annealed(self, progress: float) -> float:
        return self.level

    def observe(self, better: bool) -> None:
        self.waited = 0 if better else self.waited + 1
        if self.waited >= self.patience:
            self.waited, self.level = 0, self.level * self.factor

    def state_dict(self) -> dict[str, Any]:
        return {"waited": self.waited, "level": self.level}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.waited, self.level = state["waited"], state["level"]
