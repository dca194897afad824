"""A column of times as steps of a regular timeline, or one line that says where it is not regular."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import product
from typing import TYPE_CHECKING, Literal

import numpy as np

from lstm_lab.data.readers.calendar_kinds import Times
from lstm_lab.data.readers.calendars import calendar_of, with_inserted_rows
from lstm_lab.data.readers.table import Table, parse_floats, quoted

if TYPE_CHECKING:  # Importing pandas takes half a second, which only a reader of time series should wait for.
    import pandas as pd


MAX_FILL = 10
"""Rows to insert per existing row beyond which a gap is taken for a typing error."""


Cycle = Literal["hour", "weekday", "month", "year"]
"""Time within the day, the week, the month, the year."""


def calendar_features(table: Table, column: str, times: Times, cycles: Sequence[Cycle]) -> np.ndarray:
    """(N, 2 * cycles) float64: sine and cosine of the position of each local time in cycles of the calendar."""
    local = times.local
    if local is None:
        raise table.error(0, column, f"{quoted(table.columns[column][0])} is a number, which has no calendar: write "
                          "dates, or remove data.calendar")  # fmt: skip
    day = ((local - local.normalize()).total_seconds() / 86400).to_numpy()  # 0 at midnight, 1 at the next
    position = {
        "hour": day,
        "weekday": (local.weekday.to_numpy() + day) / 7,
        "month": (local.day.to_numpy() - 1 + day) / local.days_in_month.to_numpy(),
        "year": (local.dayofyear.to_numpy() - 1 + day) / np.where(local.is_leap_year, 366, 365),
    }
    angles = [2 * math.pi * position[name] for name in cycles]
    return np.stack([function(angle) for angle in angles for function in (np.sin, np.cos)], 1)


def feature_names(cycles: Sequence[Cycle]) -> list[str]:
    """Names of the calendar features."""
    return [f"{name} {function}" for name in cycles for function in ("sine", "cosine")]


def regular_features(table: Table, column: str, times: Times, cycles: Sequence[Cycle], steps: np.ndarray) -> np.ndarray:
    """The same, of the rows of a regular timeline.

    Args:
        steps: (N,) number of steps from the first row to each; rows that are missing between them are inserted.
    """
    if times.local is not None and steps[-1] >= len(steps):
        times = with_inserted_rows(times, calendar_of(times), steps)
    return calendar_features(table, column, times, cycles)


_COMPACT = re.compile(r"(1[7-9]|2[01])\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")  # 20200131 is a date, not a count.
_OFFSET = re.compile(r"(:[\d.]+)[+-]\d\d(:?\d\d)?$")


def read_times(table: Table, column: str, decimal: str) -> Times:
    """Times of all rows: numbers count steps, unless they are seconds or fractions of them since 1970, which are times
    in UTC; everything else is a date.

    Raises:
        DataError: a cell that is empty, is no time, or has another format than the others; ambiguous dates.
    """
    cells = table.columns[column]
    if "" in cells:
        raise table.error(cells.index(""), column, f"the cell is empty ({cells.count('')} in total): write the time")
    since_1970 = epoch(cells)
    if since_1970 is not None:
        return Times(since_1970.to_numpy(), since_1970, 1e-6, True)
    numbers = parse_floats(cells, decimal)
    if math.isfinite(numbers[0]) and not all(map(_COMPACT.fullmatch, cells)):
        wrong = np.flatnonzero(~np.isfinite(numbers))
        if len(wrong):
            raise table.error(
                wrong[0],
                column,
                f"{quoted(cells[wrong[0]])} is not a number, but {quoted(cells[0])} in "
                f"{table.unit} {table.lines[0]} is: write all times in one format{_footer(cells, wrong)}",
            )
        # Numbers may be rounded: 1749.042, 1749.123, 1749.204 are months.
        return Times(numbers, None, 0.02 if any(decimal in cell for cell in cells) else 1e-6)
    utc = _dates(table, column)
    has_offset = _OFFSET.search(cells[0]) is not None
    local = _parse_dates([_OFFSET.sub(r"\1", cell) for cell in cells], "ISO8601") if has_offset else utc
    return Times(utc.to_numpy(), utc if local.hasnans else local, 1e-6, has_offset or cells[0].endswith("Z"))


EPOCHS = {10: "s", 13: "ms", 16: "us", 19: "ns"}
"""Digits of a time since 1970, from 2001 to 2100 -> its unit."""
_LAST_EPOCH = 4_102_444_800
"""Seconds from 1970 to 2100."""


def epoch_unit(cells: Sequence[str]) -> str | None:
    """The unit of times since 1970 that all cells have; None where they are something else."""
    unit = EPOCHS.get(len(cells[0])) if cells else None
    if unit is None or not all(cell.isdecimal() and len(cell) == len(cells[0]) for cell in cells):
        return None
    return unit if max(int(cell[:10]) for cell in cells) <= _LAST_EPOCH and cells[0][0] != "0" else None


def epoch(cells: Sequence[str]) -> pd.DatetimeIndex | None:
    """Times since 1970 in UTC; None where cells are something else."""
    unit = epoch_unit(cells)
    if unit is None:
        return None
    import pandas as pd

    ticks = np.array([int(cell) for cell in cells], np.int64).astype(f"datetime64[{unit}]")
    return pd.DatetimeIndex(ticks.astype("datetime64[ns]"))


_PERIOD = re.compile(r"(?P<year>\d{4})[- ]?(Q(?P<quarter>[1-4])|M(?P<month>0?[1-9]|1[0-2]))"
                     r"|Q(?P<quarter_first>[1-4])[-/ ]?(?P<year_last>\d{4})", re.IGNORECASE)  # fmt: skip


_WEEK = re.compile(r"(?P<year>\d{4})-?W(?P<week>\d{2})(-?(?P<day>[1-7]))?")


def _first_day(cell: str) -> str:
    """The Monday, or the day that is written, of a week as 2020-W01 or 2020-W01-1; other cells as they are."""
    found = _WEEK.fullmatch(cell)
    try:
        return cell if found is None else f"{date.fromisocalendar(*(int(part or 1) for part in found.group(1, 2, 4)))}"
    except ValueError:  # A year without a week 53.
        return cell


def _first_month(cell: str) -> str:
    """The first month of a quarter or month that is written as 1960Q1, Q1 1960 or 1960M01; other cells as they are."""
    found = _PERIOD.fullmatch(cell)
    if found is None:
        return cell
    quarter = found["quarter"] or found["quarter_first"]
    month = 3 * int(quarter) - 2 if quarter else int(found["month"])
    return f"{found['year'] or found['year_last']}-{month:02d}"


def _footer(cells: list[str], wrong: np.ndarray) -> str:
    """A further way out where only the last rows are wrong."""
    return (
        f"; if the last rows are totals, set data.skipfooter={len(wrong)}"
        if len(cells) - len(wrong) == wrong[0]
        else ""
    )


def _parse_dates(cells: list[str], form: str) -> pd.DatetimeIndex:
    """In UTC; NaT where a cell does not have the format."""
    import pandas as pd

    cells = ["" if cell.lower() in ("now", "today") else cell for cell in cells]  # pandas would read the clock.
    for pattern, first in ((_PERIOD, _first_month), (_WEEK, _first_day)):
        if cells and pattern.fullmatch(cells[0]):
            cells = [*map(first, cells)]
    return pd.DatetimeIndex(pd.to_datetime(cells, format=form, utc=True, errors="coerce")).tz_convert(None)


def _formats(cell: str) -> Iterator[str]:
    """The formats other than ISO 8601 that a cell may have."""
    orders = ("dmY", "mdY", "dmy", "mdy", "ymd", "dbY", "dby", "bdY", "bY", "by", "mY", "dBY", "BdY", "BY")
    days = [mark.join(order) for order in orders for mark in "/.- "] + ["b d, Y", "d. b Y", "B d, Y"]
    for day, clock in product(days, ("", " H:M", " H:M:S", " H:M:S.f", " I:M p", " I:M:S p")):
        form = re.sub(r"([a-zA-Z])", r"%\1", day + clock)
        try:
            datetime.strptime(cell, form)
        except ValueError:
            continue
        yield form


def _dates(table: Table, column: str) -> pd.DatetimeIndex:
    """All rows read in one format, which no other possible format contradicts."""
    cells = table.columns[column]
    readings = [_parse_dates(cells, "ISO8601")]
    if readings[0].hasnans:
        readings += [_parse_dates(cells, form) for form in _formats(cells[0])]
    best = min(readings, key=lambda reading: int(np.count_nonzero(reading.isna())))
    wrong = np.flatnonzero(best.isna())
    if len(wrong):
        like = f" in the format of {quoted(cells[0])} in {table.unit} {table.lines[0]}" if wrong[0] else ""
        raise table.error(wrong[0], column, f"{quoted(cells[wrong[0]])} is not a time{like} ({len(wrong)} in total): "
                          f"write times as ISO 8601, such as 2020-01-31 13:00{_footer(cells, wrong)}")  # fmt: skip
    others = [other for other in readings if not other.hasnans and (other != best).any()]
    if others:
        steps = [_irregular_steps(reading) for reading in (best, *others)]
        fewest = min(steps)
        if steps.count(fewest) == 1 and fewest * 2 <= sorted(steps)[1]:  # The others jump by months at each new day.
            return (best, *others)[steps.index(fewest)]
        row = int(np.flatnonzero(others[0] != best)[0])
        two = f"{best[row]:%Y-%m-%d} or {others[0][row]:%Y-%m-%d}"
        raise table.error(row, column, f"{quoted(cells[row])} may be {two}, and neither a row nor the steps "
                          "between rows decide which: write times as ISO 8601, such as 2020-01-31")  # fmt: skip
    return best


def _irregular_steps(dates: pd.DatetimeIndex) -> int:
    """Distances between neighbouring times, whatever the order of their rows, that are not one step."""
    distinct = dates.unique().sort_values()
    return int((regularity(Times(distinct.to_numpy(), distinct, 1e-6))[1] != 1).sum())


def check_order(table: Table, column: str, ticks: np.ndarray) -> None:
    """Raise DataError unless every row is later than the one before it."""
    early = np.flatnonzero(ticks[1:] <= ticks[:-1]) + 1
    if not len(early):
        return
    cell = quoted(table.columns[column][early[0]])
    same = np.flatnonzero(ticks[: early[0]] == ticks[early[0]])
    if len(same):
        count = len(ticks) - len(np.unique(ticks))
        raise table.error(early[0], column, f"{cell} is also the time of {table.unit} {table.lines[same[0]]} ({count} "
                          "in total): keep one row for each time; if the file holds several series, name the column of "
                          "their ids with data.id; where clocks are set back, write the UTC offset")  # fmt: skip
    raise table.error(early[0], column, f"{cell} is earlier than the row before it ({len(early)} in total): sort the "
                      "rows by time, oldest first")  # fmt: skip


Gaps = Literal["error", "fill", "ignore"]


def step_numbers(table: Table, column: str, times: Times, gaps: Gaps) -> np.ndarray:
    """(N,) int64 number of steps from the first row to each. Steps have equal length, or are equally many months,
    business days, or rows of the sessions of days.

    Args:
        gaps: of rows more than one step apart: "error", "fill" counts the steps between, "ignore" counts rows.

    Raises:
        DataError: rows that are not one step apart, or with `fill` not a whole number of steps.
    """
    if gaps == "ignore":
        return np.arange(len(times.ticks))
    step, ahead = regularity(times)
    wrong, cells = np.flatnonzero(~(ahead >= 1) if gaps == "fill" else ahead != 1), table.columns[column]
    if len(wrong):
        row = int(wrong[0])
        cell, before, between = quoted(cells[row + 1]), quoted(cells[row]), ahead[row] - 1
        what = f"rows missing: {between:.0f}" if between > 0 else "not a whole number of steps"
        raise table.error(row + 1, column, f"{cell} follows {before}, but a step is {step}: {what} (gaps in total: "
                          f"{len(wrong)}): fill them in, set data.gaps=fill (inserts empty rows), or data.gaps=ignore "
                          "(counts rows)")  # fmt: skip
    if ahead.sum() > MAX_FILL * len(times.ticks):
        row = int(ahead.argmax()) + 1
        raise table.error(row, column, f"{quoted(cells[row])} follows {quoted(cells[row - 1])}: filling the gaps would "
                          f"insert {ahead.sum() - len(ahead):.0f} rows between the {len(cells)} of the file: correct "
                          "the time, or split the file")  # fmt: skip
    return np.concatenate([[0], ahead.cumsum()]).astype(np.int64)


def regularity(times: Times) -> tuple[str, np.ndarray]:
    """What a step is, as text, and (N - 1,) steps from each row to the next, NaN where they are not a whole number."""
    if len(times.ticks) < 2:
        return "one row", np.empty(0)
    calendar = calendar_of(times)
    return calendar.name, calendar.steps(times)


def notes_of_times(times_of: Mapping[str, Times], newest_first: bool) -> list[str]:
    """What to know of how the times of series are read, a sentence each.

    Args:
        times_of: series -> its times, oldest first.
    """
    notes = ["rows are newest first: they are read from the last to the first"] if newest_first else []
    found = {name: calendar_of(times.rows(np.arange(min(len(times.ticks), 1000))))
             for name, times in times_of.items() if len(times.ticks) > 2}  # fmt: skip
    notes += dict.fromkeys(note for name, calendar in found.items() if (note := calendar.note(times_of[name])))
    steps = {calendar.name: name for name, calendar in reversed(found.items())}
    if len(steps) > 1:
        (step, name), (other_step, other) = [*steps.items()][-1], [*steps.items()][-2]
        notes.append(f"series {name!r} has a step of {step}, but series {other!r} one of {other_step} ({len(steps)} "
                     "steps in total): a model takes them for equal; write a file of each, or resample "
                     "them")  # fmt: skip
    return notes
