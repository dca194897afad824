"""A column of times becomes a regular timeline, or one line on where it is not."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from lstm_lab.data.readers.table import Table, floats, show

if TYPE_CHECKING:  # Half a second that only a reader of CSV files should wait for.
    import pandas as pd


MOST = 10
"""Rows, for each that is there, beyond which a gap is taken for a slip of the pen."""


class Times(NamedTuple):
    """The times of N rows."""

    ticks: np.ndarray
    """(N,) float64 numbers or datetime64, UTC: what orders the rows."""
    wall: pd.DatetimeIndex | None
    """What the clock on the wall shows, in which days and months are counted; none for numbers."""
    slack: float
    """Share of a step by which rounding may have shifted a time."""

    def at(self, rows: np.ndarray) -> Times:
        """Some of the rows."""
        return Times(self.ticks[rows], None if self.wall is None else self.wall[rows], self.slack)


Cycle = Literal["hour", "weekday", "month", "year"]
"""Of the day, the week, the month, the year."""


def cycles(table: Table, column: str, times: Times, wanted: Sequence[Cycle]) -> tuple[np.ndarray, list[str]]:
    """(N, 2 cycles): sine and cosine of the angle that the clock on the wall has run through; and their names."""
    wall = times.wall
    if wall is None:
        raise table.fault(0, column, f"{show(table.columns[column][0])} is a number, which has no calendar: write "
                          "dates, or leave data.calendar out")  # fmt: skip
    day = ((wall - wall.normalize()).total_seconds() / 86400).to_numpy()  # 0 at midnight, 1 at the next
    turned = {
        "hour": day,
        "weekday": (wall.weekday.to_numpy() + day) / 7,
        "month": (wall.day.to_numpy() - 1 + day) / wall.days_in_month.to_numpy(),
        "year": (wall.dayofyear.to_numpy() - 1 + day) / np.where(wall.is_leap_year, 366, 365),
    }
    angles = [2 * math.pi * turned[name] for name in wanted]
    names = [f"{name} {part}" for name in wanted for part in ("sine", "cosine")]
    return np.stack([turn(angle) for angle in angles for turn in (np.sin, np.cos)], 1), names


_COMPACT = re.compile(r"(1[7-9]|2[01])\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")  # 20200131 is a date, not a count.
_OFFSET = re.compile(r"(:[\d.]+)[+-]\d\d(:?\d\d)?$")


def read_times(table: Table, column: str, decimal: str) -> Times:
    """Numbers count steps; everything else is a date."""
    cells = table.columns[column]
    if "" in cells:
        raise table.fault(cells.index(""), column, f"the cell is empty ({cells.count('')} such in all): write the time")
    numbers = floats(cells, decimal)
    if math.isfinite(numbers[0]) and not all(map(_COMPACT.fullmatch, cells)):
        odd = np.flatnonzero(~np.isfinite(numbers))
        if len(odd):
            raise table.fault(odd[0], column, f"{show(cells[odd[0]])} is not a number, but {show(cells[0])} in line "
                              f"{table.lines[0]} is: write all times in one form")  # fmt: skip
        # Rounded numbers: 1749.042, 1749.123, 1749.204 are months.
        return Times(numbers, None, 0.02 if any(decimal in cell for cell in cells) else 1e-6)
    utc = _dates(table, column)
    wall = _read_dates([_OFFSET.sub(r"\1", cell) for cell in cells], "ISO8601") if _OFFSET.search(cells[0]) else utc
    return Times(utc.to_numpy(), utc if wall.hasnans else wall, 1e-6)


def _read_dates(cells: list[str], form: str) -> pd.DatetimeIndex:
    """In UTC; NaT where a cell does not have the form."""
    import pandas as pd

    cells = ["" if cell.lower() in ("now", "today") else cell for cell in cells]  # pandas would read the clock.
    return pd.DatetimeIndex(pd.to_datetime(cells, format=form, utc=True, errors="coerce")).tz_convert(None)


def _forms(cell: str) -> Iterator[str]:
    """The forms other than ISO 8601 that a cell may have."""
    orders = ("dmY", "mdY", "dmy", "mdy", "ymd", "dbY", "dby", "bdY", "bY", "by", "mY")
    days = [mark.join(order) for order in orders for mark in "/.- "] + ["b d, Y", "d. b Y"]
    for day, clock in product(days, ("", " H:M", " H:M:S", " H:M:S.f", " I:M p", " I:M:S p")):
        form = re.sub(r"([a-zA-Z])", r"%\1", day + clock)
        try:
            datetime.strptime(cell, form)
        except ValueError:
            continue
        yield form


def _dates(table: Table, column: str) -> pd.DatetimeIndex:
    """All rows in one form, which no other form contradicts."""
    cells = table.columns[column]
    readings = [_read_dates(cells, "ISO8601")]
    if readings[0].hasnans:
        readings += [_read_dates(cells, form) for form in _forms(cells[0])]
    best = min(readings, key=lambda reading: np.count_nonzero(reading.isna()))
    odd = np.flatnonzero(best.isna())
    if len(odd):
        like = f" of the form of {show(cells[0])} in line {table.lines[0]}" if odd[0] else ""
        raise table.fault(odd[0], column, f"{show(cells[odd[0]])} is not a time{like} ({len(odd)} such in all): write "
                          "times as ISO 8601, such as 2020-01-31 13:00")  # fmt: skip
    for other in readings:
        odd = np.flatnonzero(other != best)
        if len(odd) and not other.hasnans:
            two = f"{best[odd[0]]:%Y-%m-%d} or {other[odd[0]]:%Y-%m-%d}"
            raise table.fault(odd[0], column, f"{show(cells[odd[0]])} may be {two}, and no row settles which: write "
                              "times as ISO 8601, such as 2020-01-31")  # fmt: skip
    return best


def check_order(table: Table, column: str, ticks: np.ndarray) -> None:
    """Every row is later than the one before."""
    early = np.flatnonzero(ticks[1:] <= ticks[:-1]) + 1
    if not len(early):
        return
    cell = show(table.columns[column][early[0]])
    same = np.flatnonzero(ticks[: early[0]] == ticks[early[0]])
    if len(same):
        count = len(ticks) - len(np.unique(ticks))
        raise table.fault(early[0], column, f"{cell} is also the time of line {table.lines[same[0]]} ({count} such in "
                          "all): keep one row for each time and one series in a file; where clocks go back, write the "
                          "UTC offset")  # fmt: skip
    raise table.fault(early[0], column, f"{cell} is earlier than the row before it ({len(early)} such in all): sort "
                      "the rows by time, oldest first")  # fmt: skip


def places(table: Table, column: str, times: Times, fill: bool) -> np.ndarray:
    """(N,) steps from the first row to each: of equal length, or of equally many months or business days.

    Every row is one step after the one before; with `fill`, any whole number of them.
    """
    step, ahead = regularity(times)
    odd, cells = np.flatnonzero(~(ahead >= 1) if fill else ahead != 1), table.columns[column]
    if len(odd):
        cell, before, between = show(cells[odd[0] + 1]), show(cells[odd[0]]), ahead[odd[0]] - 1
        what = f"rows missing there: {between:.0f}" if between > 0 else "not a whole number of steps"
        raise table.fault(odd[0] + 1, column, f"{cell} follows {before}, but a step is {step}: {what} (gaps in all: "
                          f"{len(odd)}): fill them in, set data.gaps=fill, or data.time to a column that counts "
                          "rows")  # fmt: skip
    if ahead.sum() > MOST * len(times.ticks):
        row = int(ahead.argmax()) + 1
        raise table.fault(row, column, f"{show(cells[row])} follows {show(cells[row - 1])}: to fill the gaps would put "
                          f"in {ahead.sum() - len(ahead):.0f} rows for {len(cells)} that are there: mend the time, or "
                          "part the file")  # fmt: skip
    return np.concatenate([[0], ahead.cumsum()]).astype(np.int64)


def regularity(times: Times) -> tuple[str, np.ndarray]:
    """What a step is, and (N - 1,) steps from each row to the next, NaN where they are not whole."""
    if len(times.ticks) < 2:
        return "one row", np.empty(0)
    # The calendar by which most rows are neighbours, and then the one that counts what lies between the others.
    return max(_calendars(times), key=lambda found: (np.sum(found[1] == 1), np.isfinite(found[1]).sum()))


def _calendars(times: Times) -> Iterator[tuple[str, np.ndarray]]:
    """Ways to count: what a step is, and (N - 1,) steps from each row to the next, NaN where they are not whole."""
    yield _even(times.ticks, times.slack)
    if times.wall is None:
        return
    wall = times.wall
    yield _even(wall.to_numpy(), times.slack)  # Where clocks go forward, two midnights are 23 hours apart.
    clock = (wall - wall.normalize()).to_numpy()
    on_time = clock == _middle(clock)
    months = np.diff(wall.year.to_numpy() * 12 + wall.month.to_numpy())
    k = max(_middle(months), 1)
    for day in (_middle(wall.day.to_numpy()), 31):  # The same day of every month, or its last.
        on = on_time & (wall.day == np.minimum(day, wall.days_in_month))
        yield f"{k} month{'s' if k > 1 else ''}", _whole(months / k, on)
    dates = wall.to_numpy().astype("datetime64[D]")
    yield "1 business day", _whole(np.diff(np.busday_count(dates[0], dates)), on_time & (wall.weekday < 5))


def _even(ticks: np.ndarray, slack: float) -> tuple[str, np.ndarray]:
    """Steps of equal length."""
    import pandas as pd

    step = _middle(np.diff(ticks))
    dates = np.issubdtype(ticks.dtype, np.datetime64)
    name = re.sub("^0 days | 00:00:00$|(?<=^1 day)s", "", str(pd.Timedelta(step))) if dates else f"{step:g}"
    return name, _whole(np.diff(ticks) / step, np.ones(len(ticks), bool), slack)


def _whole(steps: np.ndarray, on: np.ndarray, slack: float = 1e-9) -> np.ndarray:
    """Whole counts between rows that are both on the calendar, NaN elsewhere."""
    return np.where((np.abs(steps - np.rint(steps)) <= slack) & on[1:] & on[:-1], np.rint(steps), math.nan)


def _middle(values: np.ndarray) -> Any:
    return np.sort(values)[(len(values) - 1) // 2]
