"""Tables with a row for each series and a column for each step, as tables with a row for each step of each series."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.readers.cells import NUMBERS
from lstm_lab.data.readers.csv_format import CSVFormat
from lstm_lab.data.readers.formats import frame_names, read_frame, read_number_rows, table_names
from lstm_lab.data.readers.in_memory import NewData, is_frame
from lstm_lab.data.readers.locate import find_file
from lstm_lab.data.readers.table import Table, list_names, quoted, read_numbers
from lstm_lab.data.readers.timeline import read_times

TIME, VALUE, SERIES = "time", "value", "series"
"""Columns of the long table: the step, what is measured, and the number of a series that has no id."""
STEP_NAME = re.compile(r"(.*?)[ _.\-]?(\d+)")
"""Matches the name of a step: what it begins with, and its number."""


def date_columns(names: Sequence[str]) -> list[str]:
    """Those of the names that are dates: 2015-07-01, 1/22/20, 2020-01."""
    dates = [name for name in names if re.match(r"\d", name) and re.search(r"\d\D+\d|^\d{8}$|Q", name)]
    try:
        found = read_times(Table(Path("columns"), {TIME: dates}, [*range(len(dates))]), TIME, ".") if dates else None
    except DataError:
        return []
    return dates if found is not None and found.local is not None else []


def step_columns(names: Sequence[str], prefix: str | None, others: Sequence[str], where: str) -> list[str]:
    """The columns of the steps, in the order of the table.

    Args:
        prefix: what their names begin with; None: the columns whose names are dates, or else whole numbers such as
            years, or else all columns but `others`.

    Raises:
        DataError: there are none.
    """
    free = [name for name in names if name not in others]
    if prefix is None:
        found = date_columns(free) or [name for name in free if name.isdecimal()] or free
    else:
        found = [name for name in free if (match := STEP_NAME.fullmatch(name)) and match[1] == prefix]
    if not found:
        raise DataError(f"{where}: no column is a step{'' if prefix is None else f', as {prefix}1 would be'}: correct "
                        f"data.steps; there are {list_names(names)}")  # fmt: skip
    return found


def _step_numbers(columns: Sequence[str]) -> list[str]:
    """The number at the end of the name of each step if they ascend, else their positions from 1."""
    found = [STEP_NAME.fullmatch(name) for name in columns]
    numbers = [int(match[2]) for match in found if match]
    ascend = len(numbers) == len(columns) and all(a < b for a, b in pairwise(numbers))
    return [*map(str, numbers if ascend else range(1, len(columns) + 1))]


def _check_ids(table: Table, id: str) -> None:
    """Raise DataError where two rows have the same id, or one has none."""
    twice = next((rows for rows in table.group_rows(id, "series").values() if len(rows) > 1), None)
    if twice is not None:
        first, second = (int(row) for row in twice[:2])
        raise table.error(second, id, f"{quoted(table.columns[id][second])} is also the series of {table.unit} "
                          f"{table.lines[first]}: keep one row for each series, or remove data.id")  # fmt: skip


def read_wide_series(
    source: NewData, steps: str | None, id: str | None, static: Sequence[str], format: CSVFormat, allow_missing: bool
) -> Table:
    """A table with the columns TIME, VALUE, the id or SERIES, and the static columns. A series begins with its first
    value and ends with its last.

    Args:
        source: a file or a DataFrame.
        steps: as `prefix` of `step_columns`.
        id: column of the series; None: rows are counted from 1.

    Raises:
        DataError: no such column, a cell that is no number, or a series without a value.
        ConfigError: neither a file nor a DataFrame.
    """
    if isinstance(source, str | Path):
        file = find_file(str(source))
        names, where = table_names(file, format), str(file)
    elif is_frame(source):
        names, where = frame_names(source), "DataFrame"
    else:
        raise ConfigError("data 'csv_wide_series' takes no new samples from arrays: provide a file or a DataFrame")
    others = [name for name in (id, *static) if name is not None]
    columns = step_columns(names, steps, others, where)
    wanted = [*others, *columns]
    table = (
        read_frame(source, wanted, NUMBERS, index=id) if is_frame(source) else read_number_rows(file, wanted, format)
    )
    if id is not None:
        _check_ids(table, id)
    plain = format.plain(table, columns)
    values = read_numbers(plain, columns, format.decimal, allow_missing=True)  # (N, T)
    present = np.isfinite(values)
    empty = np.flatnonzero(~present.any(1))
    if len(empty):
        raise table.error(int(empty[0]), columns[0], f"no step of the series has a value ({len(empty)} in total): "
                          "remove the row")  # fmt: skip
    first, end = present.argmax(1), len(columns) - present[:, ::-1].argmax(1)
    within = (np.arange(len(columns)) >= first[:, None]) & (np.arange(len(columns)) < end[:, None])
    gap = np.argwhere(within & ~present)
    if len(gap) and not allow_missing:
        row, step = (int(at) for at in gap[0])
        raise table.error(row, columns[step], f"the cell is empty ({len(gap)} in total): fill it in, or set data."
                          "missing to forward_fill or mask")  # fmt: skip
    rows, at = np.nonzero(within)
    times = columns if date_columns(columns) else _step_numbers(columns)
    names_of = table.columns[id] if id is not None else [str(row + 1) for row in range(len(table.lines))]
    cells = [plain.columns[name] for name in columns]
    long = {
        id or SERIES: [names_of[row] for row in rows.tolist()],
        TIME: [times[step] for step in at.tolist()],
        VALUE: [cells[step][row] for row, step in zip(rows.tolist(), at.tolist(), strict=True)],
        **{name: [table.columns[name][row] for row in rows.tolist()] for name in static},
    }
    return Table(table.path, long, [table.lines[row] for row in rows.tolist()], table.unit, plain.typed)
