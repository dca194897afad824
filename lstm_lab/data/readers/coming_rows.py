"""Rows that follow the last observed target: at which times, and what a table knows of them in advance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.readers.calendar_kinds import Calendar, Times
from lstm_lab.data.readers.one_hot import ColumnRoles
from lstm_lab.data.readers.table import Table, fill_forward


@dataclass(frozen=True)
class KnownRows:
    """Rows of a table that may be in the future, and the columns that are known in advance there."""

    table: Table
    times: Times
    values: np.ndarray
    """(N, F) float64, NaN where a cell is empty."""
    rows_of: Mapping[str, np.ndarray]
    """Series -> its rows."""

    def rows_at(self, series: str, coming: Times, calendar: Calendar) -> np.ndarray:
        """(n,) row of a series at each time, -1 where it has none."""
        rows = self.rows_of.get(series, np.empty(0, np.int64))
        found = np.full(len(coming.ticks), -1)
        if not len(rows) or (coming.local is None) != (self.times.local is None):
            return found
        own, wanted = _positions(self.times.rows(rows), coming, calendar)
        nearest = np.abs(own[None] - wanted[:, None]).argmin(1)
        near = np.abs(own[nearest] - wanted) <= max(coming.tolerance * abs(wanted[-1]) / len(wanted), 1e-9)
        found[near] = rows[nearest[near]]
        return found


def _positions(times: Times, coming: Times, calendar: Calendar) -> tuple[np.ndarray, np.ndarray]:
    """Both times as numbers, counted back from the last of the coming ones: equal times, equal numbers."""
    on_clock = calendar.is_local and times.local is not None and coming.local is not None
    own = times.local.to_numpy() if on_clock else times.ticks  # type: ignore[union-attr]
    wanted = coming.local.to_numpy() if on_clock else coming.ticks  # type: ignore[union-attr]
    unit = np.timedelta64(1, "s") if np.issubdtype(wanted.dtype, np.datetime64) else 1.0
    return (own - wanted[-1]) / unit, (wanted - wanted[-1]) / unit


def known_values(
    sources: Sequence[KnownRows], columns: Sequence[str], series: str, coming: Times, calendar: Calendar, path: str
) -> np.ndarray:
    """(n, F) what is known at the coming times; NaN where a cell is empty.

    Args:
        sources: tables with these columns.
        columns: names of the F columns, for messages.
        path: of the observed rows, for messages.

    Raises:
        DataError: no table has a row for a time, or two have different values.
    """
    found = np.full((len(coming.ticks), len(columns)), np.nan)
    origin = np.full(len(coming.ticks), -1)
    for number, source in enumerate(sources):
        rows = source.rows_at(series, coming, calendar)
        values = np.where(rows[:, None] >= 0, source.values[rows], np.nan)
        wrong = np.argwhere(np.isfinite(values) & np.isfinite(found) & (values != found))
        if len(wrong):
            row, column = (int(at) for at in wrong[0])
            raise source.table.error(int(rows[row]), columns[column], f"is {values[row, column]} here, but "
                                     f"{found[row, column]} in {path} at the same time: remove one")  # fmt: skip
        found = np.where(np.isfinite(found), found, values)
        origin[rows >= 0] = number
    absent = np.flatnonzero(origin < 0)
    if len(absent):
        times, of = texts_of_times(coming), f" of series {series!r}" if series else ""
        raise DataError(f"{path}: {', '.join(columns)} must be known for the {len(times)} rows{of} after the last "
                        f"observed target, {times[0]} to {times[-1]}, but there is no row for {times[absent[0]]}: add "
                        "rows in which the targets are empty, or provide them by --future FILE (in Python, "
                        "future=)")  # fmt: skip
    return found


def known_columns(
    table: Table, roles: ColumnRoles, future: Sequence[np.ndarray], last: np.ndarray, horizon: int, fills: bool
) -> np.ndarray:
    """(horizon, known) static columns and those that are known in advance, in the rows to come of one series.

    Args:
        future: (horizon, F) those that are known in advance, if there are any.
        last: (C,) the last observed row.
        fills: whether an empty cell has the last known value.
    """
    first = len(roles.targets) + len(roles.features)
    parts = [np.tile(last[first : first + len(roles.static)], (horizon, 1))]
    for values in future:
        before = last[first + len(roles.static) :][: len(roles.future)]
        filled = np.concatenate([before[None], values])
        parts.append(fill_forward(table, roles.future, filled)[1:] if fills else values)
    return np.concatenate(parts, 1)


def values_of_times(times: Times, places: int = 0) -> list[int | float | datetime]:
    """Times as plain values: dates with the offset that they are written with, numbers with so many decimals."""
    if times.local is None:
        return [round(tick, places) if places else int(tick) if tick == round(tick) else tick
                for tick in times.ticks.tolist()]  # fmt: skip
    if not times.has_offset:
        return list(times.local)
    import pandas as pd

    offsets = times.local - pd.DatetimeIndex(times.ticks)
    return [local.tz_localize(timezone(timedelta(seconds=offset.total_seconds())))
            for local, offset in zip(times.local, offsets, strict=True)]  # fmt: skip


def texts_of_times(times: Times) -> list[str]:
    """The same, for messages."""
    return [str(value) for value in values_of_times(times)]
