"""Random changes to training batches, so that no epoch repeats the same samples. Validation and test stay unchanged."""

from __future__ import annotations

from typing import Annotated, Protocol, Self, TypeVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from lstm_lab import config
from lstm_lab.data.preprocessing.tokenizer import UNKNOWN
from lstm_lab.kernels.lengths import length_mask

Std = Annotated[float, Field(ge=0.0)]
NUM_SPEEDS = 4
"""Equal sections of a sequence that each run at their own speed."""


class PaddedBatch(Protocol):
    """What augmentation needs of a batch, as `lstm_lab.data.Batch` has it."""

    @property
    def x(self) -> Tensor: ...
    @property
    def lengths(self) -> Tensor: ...
    @property
    def y(self) -> Tensor: ...
    def _replace(self, *, x: Tensor, y: Tensor) -> Self: ...


B = TypeVar("B", bound=PaddedBatch)


class Augment(config.Config):
    """0 switches an augmentation off. Which of them a data set allows is in its `augments`."""

    jitter: Std = 0.0
    """Standard deviation of noise added to every standardised value (Um et al. 2017)."""
    scaling: Std = 0.0
    """Standard deviation, about 1, of a factor for each channel of a sample; forecasts scale their targets as well."""
    time_warp: Std = 0.0
    """Standard deviation of the logarithm of the speed at which sections of a sequence run; its length is unchanged."""
    word_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Fraction of the tokens that are replaced by the unknown token (Bowman et al. 2016)."""

    @property
    def active(self) -> tuple[str, ...]:
        """Names of the augmentations that are on."""
        return tuple(name for name, value in self if value > 0)

    def __call__(self, batch: B, rng: np.random.Generator, num_measured: int | None = None) -> B:
        """A changed copy of a batch.

        Args:
            batch: x (B, T, I) or tokens (B, T), with lengths (B,).
            rng: source of all randomness.
            num_measured: number of leading channels that are measured; the others, such as missing-value masks, are
                left as they are. None: all channels.
        """
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        x, y = batch.x, batch.y
        num_measured = x.shape[-1] if num_measured is None else num_measured
        valid = length_mask(batch.lengths, x.shape[1])  # (B, T)
        if self.word_dropout:
            dropped = valid & (torch.rand(x.shape, generator=generator) < self.word_dropout)
            x = x.masked_fill(dropped, UNKNOWN)
        if self.time_warp:
            x = warp_time(x, batch.lengths, self.time_warp, generator)
        if self.scaling:
            factor = 1 + self.scaling * torch.randn(len(x), 1, x.shape[2], generator=generator)
            factor[..., num_measured:] = 1.0
            x = x * factor
            if y.dim() == 3:  # The targets of a forecast are the first channels.
                y = y * factor[..., : y.shape[2]]
        if self.jitter:
            noise = self.jitter * torch.randn(x.shape, generator=generator)
            noise[..., num_measured:] = 0.0
            x = x + noise.masked_fill(~valid.unsqueeze(-1), 0.0)
        return batch._replace(x=x, y=y)


def warp_time(x: Tensor, lengths: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """Each sequence resampled at a changing speed from its first to its last step, by linear interpolation.

    Args:
        x: (B, T, I) padded sequences.
        lengths: (B,) valid steps of each.
        std: standard deviation of the logarithm of the speed.

    Returns:
        (B, T, I); first and last valid steps and the padding are unchanged.
    """
    B, T, _ = x.shape
    speed = (std * torch.randn(B, NUM_SPEEDS, generator=generator)).exp()
    last = (lengths - 1).unsqueeze(1)  # (B, 1)
    progress = torch.arange(T) / last.clamp(min=1)  # (B, T), 1 at the last valid step
    position = progress.clamp(max=1.0) * NUM_SPEEDS
    section = position.long().clamp(max=NUM_SPEEDS - 1)  # (B, T)
    elapsed = torch.cat([torch.zeros(B, 1), speed.cumsum(1)], 1)  # (B, NUM_SPEEDS + 1)
    time = elapsed.gather(1, section) + (position - section) * speed.gather(1, section)
    time = (time / elapsed[:, -1:] * last).minimum(last)
    low = time.long().minimum((last - 1).clamp(min=0))
    weight = (time - low).unsqueeze(-1)
    rows = torch.arange(B).unsqueeze(1)
    warped = x[rows, low] * (1 - weight) + x[rows, (low + 1).minimum(last)] * weight
    return torch.where(length_mask(lengths, T).unsqueeze(-1), warped, x)
