"""The input of a forecast for the rows that follow series."""

from __future__ import annotations

import numpy as np
import torch

from lstm_lab.config import DataError
from lstm_lab.data.base import Batch
from lstm_lab.data.kinds.series import Series, SeriesInfo
from lstm_lab.data.kinds.series_values import series_place
from lstm_lab.data.kinds.windows import visible
from lstm_lab.data.preprocessing.scaling import series_scale, standardized


def latest_windows(series: Series, coming: np.ndarray, info: SeriesInfo) -> Batch:
    """The last `window` rows of each of N series; with columns that are known in advance, followed by `horizon` rows in
    which only those columns are read.

    Args:
        series: with the columns that the model was trained on.
        coming: (N, horizon, known) the columns that are known in advance, in the rows that follow.

    Raises:
        DataError: a series has too few rows, or a value is missing where the model cannot read a missing one.
    """
    window, C, K = info.window, len(info.columns), len(info.targets)
    ahead, num_measured = (info.horizon if info.known else 0), C - len(info.known)
    scales = np.stack([_scale(series, first, end, info) for first, end in series.spans])  # (N, 3, C)
    rows = np.full((len(scales), window + ahead, C), np.nan)
    for number, (name, (first, end)) in enumerate(zip(series.names, series.spans, strict=True)):
        if end - first < window:
            raise DataError(f"{series_place(series.path, name)}: {end - first} rows, but the model reads {window}: "
                            "provide more rows")  # fmt: skip
        rows[number, :window] = series.values[end - window : end]
        rows[number, window:, num_measured:] = coming[number, :ahead]
        read = rows[number, :window], rows[number, window:, num_measured:]
        if any(np.isnan(values).any() for values in read) and info.num_mask_channels != C:
            raise DataError(f"{series_place(series.path, name)}: a cell is empty among the rows that the model reads: "
                            "fill it in")  # fmt: skip
    scaled = [
        standardized(values, mean, std, f"{series_place(series.path, name)}: of the rows that are read", info.columns)
        for name, values, (mean, std, _) in zip(series.names, rows, scales, strict=True)
    ]
    x = visible(torch.from_numpy(np.stack(scaled)), window, len(info.known), info.num_mask_channels)
    own_scale = None if info.num_series == 1 else torch.from_numpy(scales[..., :K])
    return Batch(x, torch.full((len(x),), x.shape[1]), torch.empty(len(x), 0, K), own_scale)


def _scale(series: Series, first: int, end: int, info: SeriesInfo) -> np.ndarray:
    """(3, C) of one series: that of training where it was the only one, else that of its own rows."""
    scale = series_scale(series.values[first:end], info.seasons)
    scale[1] = np.where(scale[1] > 0, scale[1], info.std)
    if info.num_series == 1:
        scale[:2] = info.mean, info.std
    shared = [info.columns.index(name) for name in series.shared]
    scale[:2, shared] = np.array([info.mean, info.std])[:, shared]
    return scale
