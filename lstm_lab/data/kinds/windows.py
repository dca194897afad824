"""Windows over series that are stored end to end: past rows to read, rows known in advance, rows to predict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lstm_lab.data.base import Batch, Split


class RowRange(NamedTuple):
    """Rows of one series whose horizons belong to one split."""

    series_start: int
    """First row of the series; no window reaches before it."""
    first: int
    """First row that may be predicted, but for the first `window` rows of the series."""
    end: int
    """Row behind the last one."""


class Windows(Split):
    """All windows whose horizons are within given ranges of rows. They are views: nothing is copied before use.

    Args:
        values: (N, C) scaled series, end to end; NaN where a value is missing. Targets are the first columns.
        window, horizon: rows to read and rows to predict.
        num_targets: number of columns to predict.
        ranges: the rows of each series; a window may start before `first`, but not before the series.
        stride: rows between the starts of neighbouring windows.
        num_known: number of columns, at the end, that are known in advance: x then has the rows of the horizon too,
            with these columns and zeros in the others.
        num_mask_channels: channels, behind the columns, that are 1 where a value is missing.
        scales: (series, 3, K) `Batch.scale` of each range.
    """

    def __init__(
        self,
        values: Tensor,
        window: int,
        horizon: int,
        num_targets: int,
        ranges: Sequence[RowRange],
        stride: int = 1,
        num_known: int = 0,
        num_mask_channels: int = 0,
        scales: Tensor | None = None,
    ) -> None:
        self.values, self.window, self.horizon, self.num_targets = values, window, horizon, num_targets
        self.num_known, self.num_mask_channels, self.scales = num_known, num_mask_channels, scales
        self.num_measured = values.shape[1] - num_known
        self.ranges = tuple(ranges)
        starts = self._starts(stride)
        self.starts = torch.cat(starts)
        """(len,) first row of each window."""
        counts = torch.tensor([len(each) for each in starts])
        self.series = torch.arange(len(ranges)).repeat_interleave(counts)
        """(len,) number of each window's series."""
        self.origins = torch.tensor([rows.series_start for rows in ranges])[self.series]
        """(len,) first row of that series."""
        self._views = values.unfold(0, window + horizon, 1)  # (N - window - horizon + 1, C, window + horizon)

    def _starts(self, stride: int) -> list[Tensor]:
        """First rows of the windows of each range."""
        return [
            torch.arange(first, max(first, rows.end - self.window - self.horizon + 1), stride)
            for rows in self.ranges
            for first in (max(rows.series_start, rows.first - self.window),)
        ]  # fmt: skip

    @property
    def every_start(self) -> Tensor:
        """First rows of all windows, also of those that the stride leaves out."""
        return torch.cat(self._starts(1))

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def has_targets(self) -> bool:
        return bool((~self.values[self.target_rows().unique(), : self.num_targets].isnan()).any())

    def take(self, index: Tensor) -> Batch:
        rows = self._views[self.starts[index]].transpose(1, 2)  # (B, window + horizon, C)
        y = rows[:, self.window :, : self.num_targets].contiguous()
        x = visible(rows, self.window, self.num_known, self.num_mask_channels)
        lengths = torch.full((len(index),), x.shape[1])
        return Batch(x, lengths, y, None if self.scales is None else self.scales[self.series[index]])

    @property
    def sample_bytes(self) -> int:
        return (self.window + self.horizon) * (self.values.shape[1] + self.num_mask_channels) * self.values.itemsize

    def take_batches(self, indices: Sequence[Tensor]) -> list[Batch]:
        # One gather, of which the batches are views.
        whole = self.take(torch.cat(list(indices)))
        ends = torch.tensor([len(index) for index in indices]).cumsum(0).tolist()
        return [whole.select(slice(start, end)) for start, end in zip([0, *ends[:-1]], ends, strict=True)]

    def target_rows(self) -> Tensor:
        """(len, horizon) rows that each sample predicts."""
        return self.rows_ahead(self.starts)

    def rows_ahead(self, starts: Tensor) -> Tensor:
        """(n, horizon) the rows behind windows that begin at `starts` (n,)."""
        return starts.unsqueeze(1) + self.window + torch.arange(self.horizon)


def visible(rows: Tensor, window: int, num_known: int, num_mask_channels: int) -> Tensor:
    """The input of a model: the window, and of the horizon only the columns that are known in advance.

    Args:
        rows: (B, window + horizon, C); NaN where a value is missing.

    Returns:
        (B, T, C + num_mask_channels): zero where a value is missing or not known in advance, and one in the mask.
    """
    if not num_mask_channels:
        return rows[:, :window].contiguous()
    x = rows.clone() if num_known else rows[:, :window]
    num_unknown = x.shape[2] - num_known
    x[:, window:, :num_unknown] = torch.nan
    missing = x.isnan()
    return torch.cat([x.nan_to_num(0.0), missing[..., :num_mask_channels].to(x.dtype)], -1)
