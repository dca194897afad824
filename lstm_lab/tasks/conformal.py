"""Intervals that cover what they say, whatever the model: calibrated on the validation part.

For a value y and the interval [l, u] that a model says, the score is E = max(l - y, y - u): how far outside y lies, or,
negative, how far inside. Of n scores on the validation part, the margin q is the ceil((n + 1) share)-th smallest; then
[l - q, u + q] covers at least `share` of what is exchangeable with them (Vovk et al. 2005; Romano, Patterson & Candes
2019). Of a point l = u, and the interval is its error to both sides. Windows of a series are not exchangeable, so the
coverage on the test part is measured, not promised.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from lstm_lab.tasks.outputs import LEVELS, Output, Scale
from lstm_lab.tasks.rescale import scale_of

SHARES = (0.9, 0.8)
"""Of values inside the interval from LEVELS[0] to LEVELS[-1], and from LEVELS[1] to LEVELS[-2]."""


def scores(output: Output, answered: Iterable[tuple[Tensor, Any]], info: Any) -> Tensor:
    """E of every value that is there, NaN of others: (N, shares, horizon, K), standardised.

    Args:
        answered: what the head gave (B, horizon, K, P), and its batch.
    """
    found = []
    for z, batch in answered:
        scale, _ = scale_of(info, batch)
        said, y = output.quantiles(z, LEVELS, scale), batch.y
        ends = [(said[..., k], said[..., -1 - k]) for k in range(len(SHARES))]
        found.append(torch.stack([torch.maximum(low - y, y - high) for low, high in ends], 1).cpu())
    return torch.cat(found)


def margins(scores: Tensor) -> Tensor:
    """q of each interval, step ahead and target: (shares, horizon, K); the largest score where n is too small."""
    ordered, there = scores.sort(0).values, (~scores.isnan()).sum(0)  # NaN comes last.
    found = torch.empty(scores.shape[1:])
    for k, share in enumerate(SHARES):
        place = torch.minimum(((there[k] + 1) * share - 1e-9).ceil().long(), there[k]) - 1
        found[k] = ordered[:, k].gather(0, place.clamp(min=0).unsqueeze(0))[0]
    return found.nan_to_num(math.inf)  # Of what never occurs, nothing is known.


def quantiles(output: Output, z: Tensor, margins: Tensor, scale: Scale) -> Tensor:
    """LEVELS of z (B, horizon, K, P) with margins: (B, horizon, K, levels), standardised. No interval turns over."""
    said = output.quantiles(z, LEVELS, scale)
    widths = margins.to(said)
    middle = said[..., 2]
    low = [torch.minimum(said[..., k] - widths[k], middle) for k in range(len(SHARES))]
    high = [torch.maximum(said[..., -1 - k] + widths[k], middle) for k in range(len(SHARES))]
    low[1], high[1] = torch.maximum(low[0], low[1]), torch.minimum(high[0], high[1])
    return torch.stack([*low, middle, *reversed(high)], -1)
