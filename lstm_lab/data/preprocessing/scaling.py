"""Scales that are fitted on training data: mean, standard deviation, and the error of the seasonal naive forecast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike


def standardization(sequences: Sequence[np.ndarray], dtype: DTypeLike = None) -> tuple[np.ndarray, np.ndarray]:
    """(C,) mean and standard deviation of each channel over all steps of sequences (T, C).

    Args:
        dtype: of the sums; None: that of the sequences.
    """
    values = np.concatenate(sequences)
    return values.mean(0, dtype=dtype), np.maximum(values.std(0, dtype=dtype), 1e-8)


def series_scale(train: np.ndarray, seasons: Sequence[int]) -> np.ndarray:
    """(3, C): mean, standard deviation, and mean |y_t - y_{t-season}| of each column of a series.

    Args:
        train: (N, C) training rows; NaN where a value is missing.
        seasons: season lengths in rows; the first that is shorter than the series counts, 1 if there is none.
    """
    season = next((season for season in seasons if season < len(train)), 1)
    changes = np.abs(train[season:] - train[:-season])
    if np.isnan(train).any():
        values = np.where(np.isnan(train).all(0), 0.0, train)  # A column without any value has no scale.
        mean, std, naive_mae = np.nanmean(values, 0), np.nanstd(values, 0), _mean_of_present(changes)
        varies = np.nanmax(values, 0) > np.nanmin(values, 0)
    else:
        mean, std, naive_mae = train.mean(0), train.std(0), changes.mean(0)
        varies = np.ptp(train, axis=0) > 0
    # A column that is constant in training has no scale: 1 keeps later values finite.
    return np.stack([mean, np.where(varies & (std > 0), std, 1.0), np.maximum(naive_mae, 1e-8)])


def _mean_of_present(values: np.ndarray) -> np.ndarray:
    """Mean over the rows that are not missing; 0 where all are."""
    present = ~np.isnan(values)
    mean: np.ndarray = np.where(present, values, 0.0).sum(0) / np.maximum(present.sum(0), 1)
    return mean
