"""Where the values of a model can be changed in training, and the noise that changes them there."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import ClassVar, NamedTuple, cast

import torch
from torch import Tensor, nn

from lstm_lab.kernels import draws
from lstm_lab.kernels.philox import NoiseKey


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


class StepKey(NamedTuple):
    """What the random numbers of a step depend on: equal keys, equal numbers, in one process or several."""

    seed: int
    step: int
    """Batches trained before this one since the run began, over all epochs; a resumed run counts on."""
    first: int = 0
    """Sample i of the batch at hand is sample `first + stride * i` of the whole batch, which workers share."""
    stride: int = 1
    size: int | None = None
    """Samples of the batch at hand, where a model may make several sequences of each; None: it makes one."""

    def rows(self, count: int, device: torch.device) -> Tensor:
        """(count,) int64 number of each sequence among those of the whole batch, those of a sample in turn."""
        each = 1 if not self.size else count // self.size
        row = torch.arange(count, device=device)
        if self.first == 0 and self.stride == 1:
            return row
        return (self.first + self.stride * (row // each)) * each + row % each


class Keyed(nn.Module):
    """Part of a model that draws random numbers by key: those of one batch are set by `begin_batch`.

    Without a key, as in a model that is used on its own, numbers depend on torch's generator.
    """

    key: StepKey | None = None
    site: str = ""
    """Its place among the modules of the model: each has numbers of its own."""
    calls: int = 0
    """Keys handed out for the batch."""

    def begin_batch(self, key: StepKey | None, site: str) -> None:
        """Set the key of the next batch."""
        self.key, self.site, self.calls = key, site, 0

    @property
    def draws_masks(self) -> bool:
        """Whether Monte-Carlo dropout samples it in predictions too."""
        return False

    def noise_key(self, count: int, device: torch.device, *, same: bool = False, samples: bool = True) -> NoiseKey:
        """The key of random numbers for `count` rows.

        Args:
            same: whether a second call for a batch gets the same numbers; else each gets its own.
            samples: whether the rows are the sequences of the batch; else all workers have the same rows.
        """
        if self.key is None:
            return NoiseKey(int(torch.randint(2**62, ())), 0, torch.arange(count, device=device))
        rows = self.key.rows(count, device) if samples else torch.arange(count, device=device)
        part = 0 if same else self.calls
        self.calls += 1
        return NoiseKey(self.key.seed, self.key.step, rows, f"{self.site}.{part}" if part else self.site)


def keyed_parts(model: nn.Module) -> list[tuple[str, Keyed]]:
    """Every part of a model that draws random numbers, with its name."""
    return [(name, module) for name, module in model.named_modules() if isinstance(module, Keyed)]


class Noise(Keyed):
    """Changes values in training, and leaves them as they are in evaluation. It has no parameters."""

    is_dropout: ClassVar[bool] = False
    """Whether it zeroes values, so that Monte-Carlo dropout samples it in predictions too."""

    @property
    def draws_masks(self) -> bool:
        return self.is_dropout

    def forward(self, x: Tensor) -> Tensor:
        return self.noisy(x) if self.training else x

    @abstractmethod
    def noisy(self, x: Tensor) -> Tensor:
        """x (B, T, D) or (B, D), changed at random."""


class MaskNoise(Noise):
    """Multiplies values by random factors."""

    def noisy(self, x: Tensor) -> Tensor:
        return x * self.factor(x)

    @abstractmethod
    def factor(self, x: Tensor) -> Tensor:
        """What x is multiplied by; of a shape that x takes."""


class Dropout(MaskNoise):
    """Zeroes a share p of the values, each on its own, and divides the others by 1 - p (Srivastava et al. 2014)."""

    is_dropout = True

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def factor(self, x: Tensor) -> Tensor:
        steps = x.shape[1] if x.dim() == 3 else 1
        kept = draws.keep(self.noise_key(len(x), x.device), self.p, steps, x.shape[-1])  # (B, T, D)
        return rescaled(kept.view(x.shape), self.p, x)


def rescaled(kept: Tensor, p: float, x: Tensor) -> Tensor:
    """A mask of what is kept as a factor of x: 0, or 1 / (1 - p)."""
    return kept.to(x.dtype).div_(1 - p)


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

    def masked(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """`forward` in training, where every noise is a `MaskNoise`, and the factors in their order."""
        factors = []
        for noise in cast("Iterable[MaskNoise]", self.noises):
            factors.append(noise.factor(x))
            x = x * factors[-1]
        return x, factors


def sites(model: nn.Module, place: Place) -> list[Site]:
    """The sites of a model at a place, in the order in which they were made."""
    return [module for module in model.modules() if isinstance(module, Site) and module.place == place]


def dropouts(model: nn.Module) -> Iterator[Keyed]:
    """Every part of a model that zeroes values at random."""
    return (module for module in model.modules() if isinstance(module, Keyed) and module.draws_masks)
