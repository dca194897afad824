"""Scales that are fitted on training data: mean, standard deviation, and the error of the seasonal naive forecast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from lstm_lab.config import DataError
from lstm_lab.data.preprocessing.missing import with_mask

FARTHEST = 1e15
"""Standard deviations from the mean beyond which a value is refused: squared errors of float32 end at 1e19."""
RESOLUTION = 1e-7
"""Half of all values within this share of a standard deviation are one value in float32, which has seven digits."""
SAMPLED = 10_000
"""Rows that resolution is checked on."""
Numbers = np.ndarray | Sequence[float]
"""A number for each column."""
ROUNDING = 1e-12
"""Relative to the largest value of a column: a spread below is that of float64's rounding, not of the data."""


def standardization(sequences: Sequence[np.ndarray], dtype: DTypeLike = None) -> tuple[np.ndarray, np.ndarray]:
    """(C,) mean and standard deviation of each channel over all steps of sequences (T, C); of a constant channel 1.

    Args:
        dtype: of the sums; None: that of the sequences.
    """
    values = np.concatenate(sequences)
    if np.isnan(values).any():
        values = np.where(np.isnan(values).all(0), 0.0, values)  # A channel without any value has no scale.
        mean, std = np.nanmean(values, 0, dtype=dtype), np.nanstd(values, 0, dtype=dtype)
        return mean, np.where(std > 0, std, 1.0).astype(std.dtype)
    std = values.std(0, dtype=dtype)
    # A channel that is constant in training has no scale: 1 keeps later values finite.
    return values.mean(0, dtype=dtype), np.where((np.ptp(values, axis=0) > 0) & (std > 0), std, 1.0).astype(std.dtype)


def standardized(
    values: np.ndarray, mean: Numbers, std: Numbers, where: str, columns: Sequence[str] = ()
) -> np.ndarray:
    """Values (T, C) on the scale of the training split, as float32: centred before they lose digits.

    Args:
        where: the values are from, for messages.
        columns: their names; empty: they are channels of a sequence, whose rows are steps.

    Raises:
        DataError: a value that is too far from the mean for float32, or a scale of which a record has lost a part.
    """
    if len(mean) != len(std):
        raise DataError(f"{where}: the scale of the training split has {len(mean)} means and {len(std)} standard "
                        "deviations: restore a copy of the run's record")  # fmt: skip
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = (values - np.asarray(mean)) / np.asarray(std)
        far = np.abs(scaled) > FARTHEST
    if far.any():
        row, column = (int(at) for at in np.argwhere(far)[0])
        raise DataError(f"{where}: {'row' if columns else 'step'} {row + 1}, {_name(columns, column)}: "
                        f"{values[row, column]} is {abs(scaled[row, column]):.1e} standard deviations from the mean of "
                        f"the training rows ({far.sum()} in total): correct it, or leave it out")  # fmt: skip
    single: np.ndarray = scaled.astype(np.float32)
    return single


def standardized_sequences(
    sequences: Sequence[np.ndarray], mean: Numbers, std: Numbers, where: str, masked: bool = False
) -> list[np.ndarray]:
    """The same of sequences (T, C).

    Args:
        masked: whether missing values become zeros, and a mask of them is joined: (T, 2 C).
    """
    scaled = [
        standardized(sequence, mean, std, f"{where}: sequence {number}") for number, sequence in enumerate(sequences, 1)
    ]
    return [*map(with_mask, scaled)] if masked else scaled


def check_resolution(train: np.ndarray, where: str, columns: Sequence[str] = ()) -> None:
    """Raise DataError where a few values of a column are so large that float32 cannot tell the others apart.

    Args:
        train: (N, C) training rows; NaN where a value is missing.
        where, columns: as of `standardized`.
    """
    sample = train[:: max(1, len(train) // SAMPLED)]
    sample = np.where(np.isnan(sample).all(0), 0.0, sample)
    low, high = np.nanquantile(sample, [0.25, 0.75], axis=0)
    with np.errstate(invalid="ignore"):
        spread = np.nanmax(train, 0, initial=-np.inf) - np.nanmin(train, 0, initial=np.inf)
    lost = np.flatnonzero((high > low) & (high - low < RESOLUTION * spread / len(train) ** 0.5))
    if len(lost):
        column = int(lost[0])
        largest = train[np.nanargmax(np.abs(train[:, column] - low[column])), column]
        raise DataError(f"{where}: {_name(columns, column)}: has {largest}, but half of its training values are "
                        f"between {low[column]} and {high[column]}, which a model could not tell apart: correct it, or "
                        "leave it out")  # fmt: skip


def _name(columns: Sequence[str], column: int) -> str:
    return f"column {columns[column]!r}" if columns else f"channel {column + 1}"


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
