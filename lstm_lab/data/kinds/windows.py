"""Windows over series that lie end to end: what is looked back on, what is known ahead, what is predicted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lstm_lab.data.base import Batch, Split


class Windows(Split):
    """Windows whose horizons lie within given stretches of rows. Views into the series: nothing is copied before use.

    Args:
        values: (N, C) scaled series, end to end; NaN where a value is missing.
        stretches: (first row of its series, first, last row of the stretch), last excluded; the look-back may reach
            before `first`, but not out of the series.
        known: columns, at the end, that are known ahead: what is read then reaches over the horizon, and
            shows them there.
        flags: channels behind the columns that say what is not there.
        scales: (series, 3, K) `Batch.scale` of each stretch.
    """

    def __init__(
        self,
        values: Tensor,
        window: int,
        horizon: int,
        targets: int,
        stretches: Sequence[tuple[int, int, int]],
        stride: int = 1,
        known: int = 0,
        num_mask_channels: int = 0,
        scales: Tensor | None = None,
    ):
        self.values, self.window, self.horizon, self.targets = values, window, horizon, targets
        self.known, self.num_mask_channels, self.scales = known, num_mask_channels, scales
        self.measured = values.shape[1] - known
        runs = [
            torch.arange(max(begin, first - window), last - window - horizon + 1, stride)
            for begin, first, last in stretches
        ]
        self.starts = torch.cat(runs)
        counts = torch.tensor([len(run) for run in runs])
        self.series = torch.arange(len(runs)).repeat_interleave(counts)  # (len,) number of each sample's series
        self.origins = torch.tensor([begin for begin, _, _ in stretches])[self.series]  # its first row
        self._views = values.unfold(0, window + horizon, 1)  # (N - window - horizon + 1, C, window + horizon)

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, index: Tensor) -> Batch:
        both = self._views[self.starts[index]].transpose(1, 2)  # (B, window + horizon, C)
        y = both[:, self.window :, : self.targets].contiguous()
        x = shown(both, self.window, self.known, self.num_mask_channels)
        lengths = torch.full((len(index),), x.shape[1])
        return Batch(x, lengths, y, None if self.scales is None else self.scales[self.series[index]])

    def ahead(self) -> Tensor:
        """Rows that each sample predicts: (len, horizon)."""
        return self.starts.unsqueeze(1) + self.window + torch.arange(self.horizon)


def shown(both: Tensor, window: int, known: int, num_mask_channels: int) -> Tensor:
    """What a model may see of rows (B, window + horizon, C): the window, and ahead of it only what is known there.

    Zero where nothing is known; `num_mask_channels` more channels then say so with a one.
    """
    if not num_mask_channels:
        return both[:, :window].contiguous()
    x = both.clone() if known else both[:, :window]
    unknown = x.shape[2] - known
    x[:, window:, :unknown] = torch.nan
    missing = x.isnan()
    return torch.cat([x.nan_to_num(0.0), missing[..., :num_mask_channels].to(x.dtype)], -1)
