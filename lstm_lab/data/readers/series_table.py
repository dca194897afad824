"""Tables of time series: columns of a file or a DataFrame with the time as one column, and the rows of each series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.readers.calendar_kinds import Times
from lstm_lab.data.readers.cells import NUMBERS
from lstm_lab.data.readers.csv_format import CSVFormat
from lstm_lab.data.readers.formats import frame_names, read_frame, read_number_rows, table_names
from lstm_lab.data.readers.in_memory import NewData, is_frame
from lstm_lab.data.readers.locate import find_file
from lstm_lab.data.readers.one_hot import ColumnRoles
from lstm_lab.data.readers.table import Table
from lstm_lab.data.readers.time_columns import time_parts, with_joined_time
from lstm_lab.data.readers.timeline import Gaps, check_order, step_numbers

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


def read_new_table(source: NewData, time: str, beside_time: Sequence[str], format: CSVFormat, name: str) -> Table:
    """The same of a file or of a DataFrame.

    Args:
        name: of the DataFrame in messages.

    Raises:
        ConfigError: it is neither.
    """
    if isinstance(source, str | Path):
        return read_table(find_file(str(source)), time, beside_time, format)
    if is_frame(source):
        return read_frame_table(source, time, beside_time, name)
    raise ConfigError("data 'csv' takes no new samples from arrays, which have no time: provide a file or a DataFrame")


ROW = "row"
"""Name of the time of series that have none: the number of each row, from 0."""


def read_untimed_table(source: NewData, columns: Sequence[str], format: CSVFormat, name: str) -> Table:
    """Columns of a file or of a DataFrame that have no time.

    Args:
        name: of the DataFrame in messages.

    Raises:
        ConfigError: it is neither.
    """
    if isinstance(source, str | Path):
        return read_number_rows(find_file(str(source)), columns, format)
    if is_frame(source):
        return read_frame(source, columns, NUMBERS, name=name)
    raise ConfigError("data 'csv' takes no new samples from arrays: provide a file or a DataFrame")


def with_row_numbers(table: Table, id: str | None) -> Table:
    """The table with a column ROW that counts the rows of each series.

    Args:
        id: column of the series; None: all rows are one.
    """
    numbers = np.arange(len(table.lines))
    for rows in table.group_rows(id, "series").values() if id is not None else ():
        numbers[rows] = np.arange(len(rows))
    return table._replace(columns={**table.columns, ROW: [*map(str, numbers.tolist())]})


def read_frame_table(frame: pd.DataFrame, time: str, beside_time: Sequence[str], name: str) -> Table:
    """The same of a DataFrame; an index without a name is the time.

    Args:
        name: of the DataFrame, for messages.
    """
    parts = time_parts(time, frame_names(frame))
    wanted = tuple(dict.fromkeys((*parts, *beside_time)))
    return with_joined_time(read_frame(frame, wanted, cells=NUMBERS, index=parts[0], name=name), time, parts)


def rows_by_series(table: Table, id: str | None, times: Times) -> tuple[dict[str, np.ndarray], bool]:
    """Series -> its rows, oldest first; and whether they are newest first in the table.

    Args:
        id: column of the series; None: all rows are one.
        times: of all rows.
    """
    rows_of = {"": np.arange(len(table.lines))} if id is None else table.group_rows(id, "series")
    several = [rows for rows in rows_of.values() if len(rows) > 1]
    newest_first = bool(several) and all(_is_newest_first(times.ticks[rows]) for rows in several)
    return {name: rows[::-1] if newest_first else rows for name, rows in rows_of.items()}, newest_first


def _is_newest_first(ticks: np.ndarray) -> bool:
    """Whether each row is earlier than the one before it."""
    return bool((ticks[1:] < ticks[:-1]).all())


def regular_rows(
    table: Table, time: str, times: Times, values: np.ndarray, roles: ColumnRoles, gaps: Gaps
) -> tuple[np.ndarray, np.ndarray]:
    """(M, C) rows of one series at equal steps, those of gaps inserted, and (N,) step of each row of the table.

    Args:
        time: column of the time.
        times: of the N rows.
        values: (N, C) of the columns that `roles` names.

    Raises:
        DataError: rows that are out of order or not one step apart, or a static column that changes.
    """
    check_order(table, time, times.ticks)
    steps = step_numbers(table, time, times, gaps)
    first = len(roles.targets) + len(roles.features)
    static = slice(first, first + len(roles.static))
    for name, column in zip(roles.static, values[:, static].T, strict=True):
        changed = np.flatnonzero(~(column == column[0]))
        if len(changed):
            raise table.error(int(changed[0]), name, f"differs from {table.unit} {table.lines[0]}, but data.static "
                              "names this column: write one value in all rows of a series, or name the column in "
                              "features")  # fmt: skip
    regular = np.full((steps[-1] + 1, values.shape[1]), np.nan)
    regular[steps] = values
    regular[:, static] = values[0, static]
    return regular, steps


def rows_around_last_target(
    table: Table, time: str, times: Times, rows_of: Mapping[str, np.ndarray], targets: np.ndarray, names: Sequence[str]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Series -> its rows up to the last in which a target is known, and those behind it.

    Args:
        targets: (N, K) of the columns `names`, NaN where a cell is empty.

    Raises:
        DataError: rows that are out of order, or a series without a target.
    """
    observed, later = {}, {}
    for name, rows in rows_of.items():
        check_order(table.rows(rows), time, times.ticks[rows])
        known = np.flatnonzero(~np.isnan(targets[rows]).all(1))
        if not len(known):
            place = f"{table.path}: series {name!r}" if name else f"{table.path}"
            raise DataError(f"{place}: has no value of {', '.join(names)}: provide at least the rows that the model "
                            "reads")  # fmt: skip
        observed[name], later[name] = rows[: known[-1] + 1], rows[known[-1] + 1 :]
    return observed, later
