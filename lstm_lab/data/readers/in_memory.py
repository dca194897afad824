"""Samples in memory: lists of texts, arrays and DataFrames, and the checks of arrays."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeGuard, Union

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.readers.table import LARGEST

if TYPE_CHECKING:
    import pandas as pd

Arrays: TypeAlias = np.ndarray | Sequence[np.ndarray]
"""(N, T, F), or N arrays (T_i, F)."""

NewData: TypeAlias = Union[str, Path, "pd.DataFrame", Sequence[str], Arrays]
"""Where new samples are read from: a path (str or Path), a DataFrame, a list of texts, or arrays."""


def is_frame(source: object) -> TypeGuard[pd.DataFrame]:
    """Whether it is a DataFrame. Does not import pandas: who has not imported it has no DataFrame."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(source, pandas.DataFrame)


def is_series(source: object) -> TypeGuard[pd.Series]:
    """Whether it is a pandas Series."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(source, pandas.Series)


def as_sequences(
    arrays: object, lengths: object = None, name: str = "X", allow_missing: bool = False
) -> list[np.ndarray]:
    """N sequences (T_i, F) float64, all finite but for missing values, where they are allowed.

    Args:
        arrays: (N, T, F), or a list of N arrays (T_i, F).
        lengths: (N,) valid steps of each sequence of an (N, T, F) array; None: all T.
        name: of the argument, for messages.
        allow_missing: whether a value may be NaN.

    Raises:
        DataError: not such arrays, no sequences or steps, other numbers of channels, or a value that is not finite.
    """
    padded = isinstance(arrays, np.ndarray)
    if isinstance(arrays, np.ndarray) and arrays.ndim != 3:
        way_out = f"{name}[:, :, None] if each row is a sequence of one channel" if arrays.ndim == 2 else "reshape it"
        raise DataError(f"{name}: has shape {arrays.shape}, but must be (N, T, F): {way_out}")
    if not isinstance(arrays, np.ndarray | list | tuple):
        raise DataError(f"{name}: {type(arrays).__name__} must be an (N, T, F) array or a list of (T, F) arrays")
    if not len(arrays):
        raise DataError(f"{name}: has no sequences: provide at least one")
    sequences = [_as_floats(sequence, f"{name}[{i}]") for i, sequence in enumerate(arrays)]
    if lengths is not None:
        if not padded:
            raise DataError(f"{name}: is a list, whose sequences have their own lengths: remove lengths")
        sequences = _cut(sequences, np.asarray(lengths), name)
    for i, sequence in enumerate(sequences):
        if not len(sequence):
            raise DataError(f"{name}[{i}]: has no steps: remove it")
        if sequence.shape[1] != sequences[0].shape[1]:
            raise DataError(f"{name}[{i}]: has {sequence.shape[1]} channels, but {name}[0] has {sequences[0].shape[1]}")
        wrong = ~(np.abs(sequence) <= LARGEST)
        if allow_missing:
            wrong &= ~np.isnan(sequence)
        if wrong.any():
            step, channel = (int(k) for k in np.argwhere(wrong)[0])
            way_out = ", or set data.missing=mask" if np.isnan(sequence[step, channel]) else ""
            raise DataError(f"{name}[{i}]: step {step}, channel {channel} is {sequence[step, channel]}: replace values "
                            f"that are not finite, or larger than {LARGEST:g}{way_out}")  # fmt: skip
    return sequences


def _as_floats(sequence: object, name: str) -> np.ndarray:
    try:
        values = np.asarray(sequence, np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{name}: is not an array of numbers: convert it to floats") from None
    if values.ndim != 2 or not values.shape[1]:
        raise DataError(f"{name}: has shape {values.shape}, but must be (T, F) with at least one channel")
    return values


def _cut(sequences: list[np.ndarray], lengths: np.ndarray, name: str) -> list[np.ndarray]:
    """The valid steps of each sequence."""
    steps = len(sequences[0])
    if lengths.shape != (len(sequences),) or lengths.dtype.kind not in "iu":
        raise DataError(f"lengths: {lengths.dtype} of shape {lengths.shape}, but must be {len(sequences)} integers, "
                        f"one for each sequence of {name}")  # fmt: skip
    wrong = np.flatnonzero((lengths < 1) | (lengths > steps))
    if len(wrong):
        raise DataError(f"lengths[{wrong[0]}]: is {lengths[wrong[0]]}, but must be in 1..{steps}")
    return [sequence[:length] for sequence, length in zip(sequences, lengths.tolist(), strict=True)]
