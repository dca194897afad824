"""The numbers of series in a DataFrame, and how messages name a series."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def frame_values(frame: pd.DataFrame) -> tuple[np.ndarray, tuple[str, ...]]:
    """Of a DataFrame of numbers: values (N, C) float64 and the names of its columns."""
    return frame.to_numpy(np.float64), tuple(str(column) for column in frame.columns)


def series_place(path: str, name: str) -> str:
    """Start of a message about a series: where it is from, and its name where there are several."""
    return f"{path}: series {name!r}" if name else path
