"""Losses of predicted numbers, which `regress` and point forecasts share: formula and derivative of each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from lstm_lab.tasks.base import Task

LossName = Literal["mse", "mae", "huber", "quantile"]
DELTA, QUANTILE = 1.0, 0.5


class NumberLossConfig(Task.Config):
    """Fields of every task whose targets are numbers."""

    loss: LossName = "mse"
    """What training minimises, of standardised values: the squared error; the absolute one; huber, quadratic up to an
    error of `delta` and linear beyond (Huber 1964); or quantile, the pinball loss, least at that `quantile` of the
    targets (Koenker & Bassett 1978)."""
    delta: Annotated[float, Field(gt=0.0)] = DELTA
    """Of the Huber loss, in standard deviations where values are standardised."""
    quantile: Annotated[float, Field(gt=0.0, lt=1.0)] = QUANTILE
    """Of the quantile loss: the share of targets below the prediction."""

    @model_validator(mode="after")
    def _check_fields_of_the_number_loss(self) -> NumberLossConfig:
        for key, value, default, loss in (
            ("delta", self.delta, DELTA, "huber"), ("quantile", self.quantile, QUANTILE, "quantile"),
        ):  # fmt: skip
            if value != default and self.loss != loss:
                raise ValueError(
                    f"{key}={value:g} would do nothing: loss is {self.loss}; leave it out, or choose {loss}"
                )
        return self


class NumberLoss(ABC):
    """Predictions z and targets y of one shape -> the loss of each value."""

    @abstractmethod
    def __call__(self, z: Tensor, y: Tensor) -> Tensor:
        """The loss of each value."""

    @abstractmethod
    def gradient(self, d: Tensor, z: Tensor, y: Tensor) -> Tensor:
        """The gradient in z, as autograd computes it.

        Args:
            d: that of each loss, in the shape of z.
        """


class SquaredError(NumberLoss):
    """(z - y)^2."""

    def __call__(self, z: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(z, y, reduction="none")

    def gradient(self, d: Tensor, z: Tensor, y: Tensor) -> Tensor:
        gradient: Tensor = torch.ops.aten.mse_loss_backward.default(d, z, y, 0)
        return gradient


class AbsoluteError(NumberLoss):
    """abs(z - y)."""

    def __call__(self, z: Tensor, y: Tensor) -> Tensor:
        return F.l1_loss(z, y, reduction="none")

    def gradient(self, d: Tensor, z: Tensor, y: Tensor) -> Tensor:
        return d * (z - y).sgn()


class Huber(NumberLoss):
    """e^2 / 2 where abs(e) <= delta, else delta (abs(e) - delta / 2); e = z - y."""

    def __init__(self, delta: float) -> None:
        self.delta = delta

    def __call__(self, z: Tensor, y: Tensor) -> Tensor:
        return F.huber_loss(z, y, reduction="none", delta=self.delta)

    def gradient(self, d: Tensor, z: Tensor, y: Tensor) -> Tensor:
        gradient: Tensor = torch.ops.aten.huber_loss_backward.default(d, z, y, 0, self.delta)
        return gradient


class Pinball(NumberLoss):
    """max(q e, (q - 1) e); e = y - z. Its derivative at e = 0 is the mean of those on either side."""

    def __init__(self, q: float) -> None:
        self.q = q

    def __call__(self, z: Tensor, y: Tensor) -> Tensor:
        error = y - z
        return torch.maximum(self.q * error, (self.q - 1) * error)

    def gradient(self, d: Tensor, z: Tensor, y: Tensor) -> Tensor:
        error, q = y - z, self.q
        return torch.where(error > 0, d * -q, torch.where(error < 0, d * (1 - q), d * (0.5 - q)))


def number_loss(name: str, delta: float = DELTA, quantile: float = QUANTILE) -> NumberLoss:
    """The loss that the fields of `NumberLossConfig` mean."""
    losses: dict[str, NumberLoss] = {
        "mse": SquaredError(), "mae": AbsoluteError(), "huber": Huber(delta), "quantile": Pinball(quantile),
    }  # fmt: skip
    return losses[name]


def mean_gradient(losses: Tensor) -> Tensor:
    """The gradient of the mean of losses in each of them; only their shape and type matter."""
    return losses.new_full((), 1 / losses.numel()).expand_as(losses)
