"""Forecasts over long horizons, as papers since Autoformer (Wu et al., NeurIPS 2021) compare them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lstm_lab.data.kinds.published_series import PublishedSeries
from lstm_lab.data.kinds.series import Series
from lstm_lab.data.kinds.series_values import frame_values

if TYPE_CHECKING:
    import pandas as pd

SUITE = "of the Autoformer suite (github.com/thuml/Autoformer)"
"""Origin of the files, for messages."""


class LongHorizon(PublishedSeries):
    """All columns are read and predicted; 70, 10 and 20 % of the rows in the order of time."""

    def _split_ends(self, rows: int) -> tuple[int, int, int]:
        # Training and test are rounded down and validation is the rest, as in the suite's own loader.
        return int(rows * 0.7), rows - int(rows * 0.2), rows


def all_columns(frame: pd.DataFrame, path: Path) -> Series:
    """Every column but the date as a target.

    Args:
        path: of the file, for messages.
    """
    values, columns = frame_values(frame.drop(columns="date"))
    return Series(values, columns, len(columns), str(path))
