"""Tables of time series: columns of a file or a DataFrame with the time as one column, and the rows of each series."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lstm_lab.data.readers.calendar_kinds import Times
from lstm_lab.data.readers.csv_format import CSVFormat
from lstm_lab.data.readers.formats import frame_names, read_frame, read_number_rows, table_names
from lstm_lab.data.readers.table import Table
from lstm_lab.data.readers.time_columns import time_parts, with_joined_time

if TYPE_CHECKING:
    import pandas as pd


def read_table(path: Path, time: str, beside_time: Sequence[str], format: CSVFormat) -> Table:
    """Columns of a file, the time as one.

    Args:
        time: as of `TimeColumn`.
        beside_time: the other columns.

    Raises:
        DataError: no such column, or a file that cannot be read.
    """
    if not {"+", ","} & set(time):
        return read_number_rows(path, (time, *beside_time), format)
    parts = time_parts(time, table_names(path, format))
    table = read_number_rows(path, tuple(dict.fromkeys((*parts, *beside_time))), format)
    return with_joined_time(table, time, parts)


def read_frame_table(frame: pd.DataFrame, time: str, beside_time: Sequence[str], name: str) -> Table:
    """The same of a DataFrame; an index without a name is the time.

    Args:
        name: of the DataFrame, for messages.
    """
    parts = time_parts(time, frame_names(frame))
    wanted = tuple(dict.fromkeys((*parts, *beside_time)))
    return with_joined_time(read_frame(frame, wanted, numbers=True, index=parts[0], name=name), time, parts)


def rows_by_series(table: Table, id: str | None, times: Times) -> tuple[dict[str, np.ndarray], bool]:
    """Series -> its rows, oldest first; and whether they are newest first in the table.

    Args:
        id: column of the series; None: all rows are one.
        times: of all rows.
    """
    rows_of = {"": np.arange(len(table.lines))} if id is None else table.group_rows(id, "series")
    newest_first = all(_is_newest_first(times.ticks[rows]) for rows in rows_of.values())
    return {name: rows[::-1] if newest_first else rows for name, rows in rows_of.items()}, newest_first


def _is_newest_first(ticks: np.ndarray) -> bool:
    """Whether each of at least two rows is earlier than the one before it."""
    return len(ticks) > 1 and bool((ticks[1:] < ticks[:-1]).all())
