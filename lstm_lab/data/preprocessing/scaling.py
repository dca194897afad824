"""Scales that are fitted on training data: mean, standard deviation, and the error of the seasonal naive forecast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

ROUNDING = 1e-12
"""Relative to the largest value of a column: a spread below is that of float64's rounding, not of the data."""


def standardization(sequences: Sequence[np.ndarray], dtype: DTypeLike = None) -> tuple[np.ndarray, np.ndarray]:
    """(C,) mean and standard deviation of each channel over all steps of sequences (T, C).

    Args:
        dtype: of the sums; None: that of the sequences.
    """
    values = np.concatenate(sequences)
    std = values.std(0, dtype=dtype)
    # A channel that is constant in training has no scale: 1 keeps later values finite.
    return values.mean(0, dtype=dtype), np.where((np.ptp(values, axis=0) > 0) & (std > 0), std, 1.0).astype(std.dtype)


def series_scale(train: np.ndarray, seasons: Sequence[int]) -> np.ndarray:
    """(3, C): mean, standard deviation, and mean |y_t - y_{t-season}| of each column of a series.

    Of a column that is constant, the constant's size stands for the standard deviation; of one that is 0 throughout it
    is 0: nothing is known of its scale (`fill_scale`). A column that its seasonal naive forecast meets exactly has the
    error 0: MASE is not defined for it. Both are judged relative to the values: in another unit, a series has the same
    scores.

    Args:
        train: (N, C) training rows; NaN where a value is missing.
        seasons: season lengths in rows; the first that is shorter than the series counts, 1 if there is none.
    """
    season = next((season for season in seasons if season < len(train)), 1)
    changes = np.abs(train[season:] - train[:-season])
    if np.isnan(train).any():
        values = np.where(np.isnan(train).all(0), 0.0, train)  # A column without any value has no scale.
        mean, std, naive_mae = np.nanmean(values, 0), np.nanstd(values, 0), _mean_of_present(changes)
    else:
        values = train
        mean, std, naive_mae = train.mean(0), train.std(0), changes.mean(0)
    size = np.nanmax(np.abs(values), 0)
    return np.stack([
        mean,
        np.where(std > ROUNDING * size, std, size),
        np.where(naive_mae > ROUNDING * size, naive_mae, 0.0),
    ])  # fmt: skip


def fill_scale(scales: np.ndarray) -> np.ndarray:
    """The scales of several series (S, 3, C), those without a standard deviation with the mean of the others'; 1
    where none has any."""
    std = scales[:, 1]
    known = std > 0
    mean = np.where(known, std, 0.0).sum(0) / np.maximum(known.sum(0), 1)
    filled = np.where(known, std, np.where(mean > 0, mean, 1.0))
    return np.stack([scales[:, 0], filled, scales[:, 2]], 1)


def _mean_of_present(values: np.ndarray) -> np.ndarray:
    """Mean over the rows that are not missing; 0 where all are."""
    present = ~np.isnan(values)
    mean: np.ndarray = np.where(present, values, 0.0).sum(0) / np.maximum(present.sum(0), 1)
    return mean
