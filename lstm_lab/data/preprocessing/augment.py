"""What is done to a training batch so that no epoch shows the same samples twice. Never to what validates or tests."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from lstm_lab import config
from lstm_lab.data.preprocessing.tokenizer import UNKNOWN

Deviation = Annotated[float, Field(ge=0.0)]
KNOTS = 4
"""Stretches of a sequence that each have a speed of their own."""


class Augment(config.Config):
    """0 leaves a batch as it is. Which of them a data set allows is in its `augments`."""

    jitter: Deviation = 0.0
    """Deviation of noise added to every value, in deviations of the training part (Um et al. 2017)."""
    scaling: Deviation = 0.0
    """Deviation, about 1, of a factor for each channel of a sample; of a forecast also of what is predicted."""
    time_warp: Deviation = 0.0
    """Deviation of the logarithm of the speed at which stretches of a sequence run by; its length stays."""
    word_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of the tokens that become unknown (Bowman et al. 2016)."""

    @property
    def chosen(self) -> tuple[str, ...]:
        """Fields that do something."""
        return tuple(name for name in type(self).model_fields if getattr(self, name) > 0)

    def __call__(self, batch: Any, rng: np.random.Generator, measured: int | None = None) -> Any:
        """A batch like the one given, which stays as it is.

        Args:
            rng: all that chance is drawn from.
            measured: how many channels, the first, are measured; the others say what is known or missing.
        """
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        x, y = batch.x, batch.y
        measured = x.shape[-1] if measured is None else measured
        valid = torch.arange(x.shape[1]) < batch.lengths.unsqueeze(1)  # (B, T)
        if self.word_dropout:
            lost = valid & (torch.rand(x.shape, generator=generator) < self.word_dropout)
            x = x.masked_fill(lost, UNKNOWN)
        if self.time_warp:
            x = warped(x, batch.lengths, self.time_warp, generator)
        if self.scaling:
            factor = 1 + self.scaling * torch.randn(len(x), 1, x.shape[2], generator=generator)
            factor[..., measured:] = 1.0
            x = x * factor
            if y.dim() == 3:  # What is predicted are the first channels.
                y = y * factor[..., : y.shape[2]]
        if self.jitter:
            noise = self.jitter * torch.randn(x.shape, generator=generator)
            noise[..., measured:] = 0.0
            x = x + noise.masked_fill(~valid.unsqueeze(-1), 0.0)
        return batch._replace(x=x, y=y)


def warped(x: Tensor, lengths: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """x (B, T, I) read at times that run from its first to its last step at changing speed, between steps in a line."""
    B, T, _ = x.shape
    speed = (std * torch.randn(B, KNOTS, generator=generator)).exp()
    last = (lengths - 1).unsqueeze(1)  # (B, 1)
    share = torch.arange(T) / last.clamp(min=1)  # (B, T) of the way to the last step
    place = share.clamp(max=1.0) * KNOTS
    knot = place.long().clamp(max=KNOTS - 1)  # (B, T)
    gone = torch.cat([torch.zeros(B, 1), speed.cumsum(1)], 1)  # (B, KNOTS + 1)
    time = gone.gather(1, knot) + (place - knot) * speed.gather(1, knot)
    time = (time / gone[:, -1:] * last).minimum(last)
    low = time.long().minimum((last - 1).clamp(min=0))
    part = (time - low).unsqueeze(-1)
    rows = torch.arange(B).unsqueeze(1)
    made = x[rows, low] * (1 - part) + x[rows, (low + 1).minimum(last)] * part
    valid = torch.arange(T) < lengths.unsqueeze(1)
    return torch.where(valid.unsqueeze(-1), made, x)
