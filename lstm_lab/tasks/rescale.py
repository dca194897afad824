"""From standardised values to the units of the data."""

from __future__ import annotations

import torch
from torch import Tensor

from lstm_lab.data.base import Batch
from lstm_lab.data.kinds.series import SeriesInfo
from lstm_lab.tasks.outputs import Scale


def scale_of(info: SeriesInfo, batch: Batch) -> tuple[Scale, Tensor]:
    """Of each sample's own series, and the error of its naive forecast: all (B or 1, 1, K)."""
    if batch.scale is not None:
        mean, deviation, naive = (part.unsqueeze(1) for part in batch.scale.to(batch.y.device).unbind(1))
    else:
        K, device = len(info.targets), batch.y.device
        mean, deviation, naive = (
            torch.tensor(part[:K], dtype=torch.float64, device=device).view(1, 1, K)
            for part in (info.mean, info.std, info.naive_mae)
        )
    return Scale(mean, deviation), naive
