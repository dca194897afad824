"""Intervals with a guaranteed coverage, whatever the model: calibrated on the validation split.

For a value y and a predicted interval [l, u] the score is E = max(l - y, y - u): how far y is outside, or, negative,
inside. Of n scores on the validation split, the margin q is the ceil((n + 1) coverage)-th smallest; then
[l - q, u + q] covers at least that share of values that are exchangeable with them (Vovk et al. 2005; Romano, Patterson
& Candes 2019). For a point forecast l = u, and the interval is its error to both sides. Windows of a series are not
exchangeable, so the coverage on the test split is measured, not guaranteed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from lstm_lab.data.base import Batch
from lstm_lab.data.kinds.series import SeriesInfo
from lstm_lab.tasks.forecasting.outputs import LEVELS, ForecastOutput
from lstm_lab.tasks.forecasting.scale import Scale, scale_of

COVERAGES = (0.9, 0.8)
"""Share of values inside the interval from LEVELS[0] to LEVELS[-1], and from LEVELS[1] to LEVELS[-2]."""


def scores(output: ForecastOutput, outputs: Iterable[tuple[Tensor, Batch]], info: SeriesInfo) -> Tensor:
    """E of every known value, NaN of others: (N, coverages, horizon, K), standardised.

    Args:
        outputs: numbers of the head (B, horizon, K, P), and their batch.
    """
    intervals = [(LEVELS[k], LEVELS[-1 - k]) for k in range(len(COVERAGES))]
    return torch.cat([
        torch.stack([interval_scores(output, z, batch, ends, info) for ends in intervals], 1) for z, batch in outputs
    ])  # fmt: skip


def interval_scores(
    output: ForecastOutput, z: Tensor, batch: Batch, ends: tuple[float, float], info: SeriesInfo
) -> Tensor:
    """E of every known value, NaN of others: (B, horizon, K), standardised.

    Args:
        z: numbers of the head (B, horizon, K, P).
        ends: quantile levels of the interval.
    """
    scale, _ = scale_of(info, batch)
    low, high = output.quantiles(z, ends, scale).unbind(-1)
    return torch.maximum(low - batch.y, batch.y - high).cpu()


def margins(scores: Tensor) -> Tensor:
    """q of each interval, step ahead and target: (coverages, horizon, K); the largest score where n is too small."""
    return torch.stack([margin(scores[:, k], coverage) for k, coverage in enumerate(COVERAGES)])


def margin(scores: Tensor, coverage: float) -> Tensor:
    """q of one interval, for each step ahead and target, from its scores (N, horizon, K): (horizon, K)."""
    ordered, counts = scores.sort(0).values, (~scores.isnan()).sum(0)  # NaN comes last.
    rank = torch.minimum(((counts + 1) * coverage - 1e-9).ceil().long(), counts) - 1
    found = ordered.gather(0, rank.clamp(min=0).unsqueeze(0))[0]
    return found.nan_to_num(math.inf).float()  # A value that is never known has no margin.


def quantiles(output: ForecastOutput, z: Tensor, margins: Tensor, scale: Scale) -> Tensor:
    """LEVELS of z (B, horizon, K, P) with margins: (B, horizon, K, levels), standardised. No interval is inverted."""
    predicted = output.quantiles(z, LEVELS, scale)
    widths = margins.to(predicted)
    middle = predicted[..., 2]
    low = [torch.minimum(predicted[..., k] - widths[k], middle) for k in range(len(COVERAGES))]
    high = [torch.maximum(predicted[..., -1 - k] + widths[k], middle) for k in range(len(COVERAGES))]
    low[1], high[1] = torch.maximum(low[0], low[1]), torch.minimum(high[0], high[1])
    return torch.stack([*low, middle, *reversed(high)], -1)
