"""Where the values of a model can be changed in training, and the noise that changes them there."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from enum import StrEnum
from typing import ClassVar

import torch
from torch import Tensor, nn


class Place(StrEnum):
    """Where a regularizer acts."""

    EMBEDDING = "embedding"
    """The vectors of tokens (V, E), before they are looked up."""
    INPUT = "input"
    """What the first layer of cells reads, (B, T, I)."""
    RECURRENCE = "recurrence"
    """The state that a cell carries from step to step."""
    RECURRENT_WEIGHTS = "recurrent_weights"
    """The matrices that multiply the state, for the sequences of one batch."""
    BETWEEN = "between"
    """What passes from one layer of cells to the next, (B, T, D)."""
    OUTPUT = "output"
    """What the head reads, (B, D) or (B, T, D)."""
    ACTIVATIONS = "activations"
    """The outputs of the top layer (B, T, D), by a penalty that is added to the loss."""
    LOSS = "loss"
    """The loss, by a penalty on the weights."""
    WEIGHTS = "weights"
    """The weights during the forward and backward pass of a step; the optimizer changes the unchanged ones."""
    GRADIENT = "gradient"
    """The gradient, after clipping."""
    UPDATED_WEIGHTS = "updated_weights"
    """The weights after a step of the optimizer."""


SITES = frozenset({Place.EMBEDDING, Place.INPUT, Place.BETWEEN, Place.OUTPUT})
"""Places at which a model has a `Site`."""
IN_EVERY_MODEL = frozenset({Place.LOSS, Place.WEIGHTS, Place.GRADIENT, Place.UPDATED_WEIGHTS})
"""Places that need nothing of a model."""


class Noise(nn.Module):
    """Changes values in training, and leaves them as they are in evaluation. It has no parameters."""

    is_dropout: ClassVar[bool] = False
    """Whether it zeroes values, so that Monte-Carlo dropout samples it in predictions too."""

    def forward(self, x: Tensor) -> Tensor:
        return self.noisy(x) if self.training else x

    @abstractmethod
    def noisy(self, x: Tensor) -> Tensor:
        """x changed at random, in the same shape."""


class Dropout(Noise):
    """Zeroes a share p of the values, each on its own, and divides the others by 1 - p (Srivastava et al. 2014)."""

    is_dropout = True

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def noisy(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, self.p)


class Site(nn.Module):
    """A place in a model whose values noise can change: `x = self.site(x)`. Without noise it returns x itself.

    Args:
        place: which one.
        dropout: share of the values that the model's own configuration zeroes here.
    """

    def __init__(self, place: Place, dropout: float = 0.0) -> None:
        super().__init__()
        self.place = place
        self.noises = nn.ModuleList([Dropout(dropout)] if dropout else [])

    def add(self, noise: Noise) -> None:
        """Let a noise act here, after those that do already."""
        self.noises.append(noise)

    def forward(self, x: Tensor) -> Tensor:
        for noise in self.noises:
            x = noise(x)
        return x


def sites(model: nn.Module, place: Place) -> list[Site]:
    """The sites of a model at a place, in the order in which they were made."""
    return [module for module in model.modules() if isinstance(module, Site) and module.place == place]


def dropouts(model: nn.Module) -> Iterator[Noise]:
    """Every noise in a model that zeroes values."""
    return (module for module in model.modules() if isinstance(module, Noise) and module.is_dropout)


def rescaled_mask(x: Tensor, shape: tuple[int, ...], p: float) -> Tensor:
    """A random mask of 0 with probability p and 1 / (1 - p) otherwise, on the device and in the dtype of x."""
    return torch.empty(shape, dtype=x.dtype, device=x.device).bernoulli_(1 - p).div_(1 - p)
