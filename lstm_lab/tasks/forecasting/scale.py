"""From standardised values to the units of the data."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lstm_lab.data.base import Batch
from lstm_lab.data.kinds.series import SeriesInfo


class Scale(NamedTuple):
    """Mean and standard deviation of the data; each broadcasts to (B, horizon, K)."""

    mean: Tensor
    std: Tensor

    def restore(self, values: Tensor) -> Tensor:
        """Standardised values (B, steps, K) in the units of the data."""
        return values * self.std + self.mean


def scale_of(info: SeriesInfo, batch: Batch) -> tuple[Scale, Tensor]:
    """The scale of each sample's own series, and the error of its naive forecast, 0 where it has none: all
    (B or 1, 1, K), float64."""
    if batch.scale is not None:
        mean, std, naive = (part.unsqueeze(1) for part in batch.scale.to(batch.y.device).unbind(1))
    else:
        K, device = len(info.targets), batch.y.device
        mean, std, naive = (
            torch.tensor(part[:K], dtype=torch.float64, device=device).view(1, 1, K)
            for part in (info.mean, info.std, info.naive_mae)
        )
    return Scale(mean, std), naive


def prediction_scale(info: SeriesInfo, batch: Batch | None) -> Scale:
    """The same on the CPU, for predictions: (B or 1, 1, K), float64."""
    if batch is not None and batch.scale is not None:
        return Scale(*(part.unsqueeze(1).cpu() for part in batch.scale.unbind(1)[:2]))
    K = len(info.targets)
    return Scale(*(torch.tensor(part[:K], dtype=torch.float64).view(1, 1, K) for part in (info.mean, info.std)))


def known_targets(info: SeriesInfo, batch: Batch) -> Tensor:
    """(B, horizon, K) whether a target is learned and scored: it is known, and its column has values in training."""
    known = ~batch.y.isnan()
    for name in info.untrained:
        known[..., info.targets.index(name)] = False
    return known
