"""Times that are written over several columns: Date and Time, or year, month, day and hour."""

from __future__ import annotations

import calendar
import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import BeforeValidator

from lstm_lab.data.readers.columns import column_names
from lstm_lab.data.readers.table import Table, quoted


def _joined(given: object) -> object:
    names = column_names(given) if isinstance(given, list | tuple | int) else given
    return "+".join(map(str, names)) if isinstance(names, tuple) else names


TimeColumn = Annotated[str, BeforeValidator(_joined)]
"""Column of the time; several that make it up as a list or with + between: Date+Time."""

CALENDAR_PARTS = {
    "year": "year", "yr": "year", "quarter": "quarter", "qtr": "quarter", "month": "month", "mo": "month",
    "mon": "month", "mnth": "month", "day": "day", "dy": "day", "hour": "hour", "hr": "hour", "he": "hour",
    "hour ending": "hour", "hour_ending": "hour", "hourending": "hour", "minute": "minute", "min": "minute",
    "second": "second", "sec": "second",
}  # fmt: skip
"""Name of a column in lower case -> the part of a time that it has."""
PARTS = ("year", "quarter", "month", "day", "hour", "minute", "second")
"""Parts of a time, the largest first."""
CLOCK = re.compile(r"([01]?\d|2[0-3])[:.][0-5]\d([:.][0-5]\d)?(\.\d+)?")
"""Matches a time of the day: 18:00, 18:00:00 or 18.00.00."""


def time_parts(time: str, names: Sequence[str]) -> list[str]:
    """The columns that make up a time: the one of that name, or those that + or commas separate.

    Args:
        names: all columns of the table.
    """
    if time in names:
        return [time]
    parts = next((parts for mark in ("+", ",") if set(parts := time.split(mark)) <= set(names)), None)
    return parts or ([*time.split("+")] if "+" in time else [time])


def with_joined_time(table: Table, time: str, parts: Sequence[str]) -> Table:
    """The table with one column of times.

    Raises:
        DataError: a year, month, day, ... that is not a whole number, or an empty cell.
    """
    if list(parts) == [time]:
        return table
    found = {CALENDAR_PARTS.get(name.lower(), name): name for name in parts}
    if "year" in found and set(found) <= set(PARTS) and len(found) == len(parts):
        cells = _calendar_times(table, found)
    else:
        columns = [_clock(table.columns[name], CALENDAR_PARTS.get(name.lower())) for name in parts]
        cells = [" ".join(cell for cell in row if cell) for row in zip(*columns, strict=True)]
    return table._replace(columns={**table.columns, time: cells})


def _calendar_times(table: Table, found: dict[str, str]) -> list[str]:
    """(N,) times as ISO 8601; of a quarter its first month.

    Args:
        found: part of a time -> its column.
    """
    numbers = {part: _whole_numbers(table, found[part], part) for part in PARTS if part in found}
    if "hour" in numbers:
        numbers["hour"] = _begins(numbers["hour"])
    rows = len(table.lines)
    month = numbers.get("month") or [3 * quarter - 2 for quarter in numbers.get("quarter", [1] * rows)]
    cells = [f"{year:04d}-{m:02d}" for year, m in zip(numbers["year"], month, strict=True)]
    if {"day", "hour", "minute", "second"} & set(numbers):
        cells = [f"{cell}-{day:02d}" for cell, day in zip(cells, numbers.get("day", [1] * rows), strict=True)]
    if {"hour", "minute", "second"} & set(numbers):
        clock = (numbers.get(part, [0] * rows) for part in ("hour", "minute", "second"))
        cells = [f"{cell} {h:02d}:{m:02d}:{s:02d}" for cell, h, m, s in zip(cells, *clock, strict=True)]
    return cells


def _whole_numbers(table: Table, column: str, part: str) -> list[int]:
    """Numbers of a column; a month may be a name."""
    numbers = []
    months = {name.lower(): number for names in (calendar.month_name, calendar.month_abbr)
              for number, name in enumerate(names) if name} if part == "month" else {}  # fmt: skip
    for row, cell in enumerate(table.columns[column]):
        if cell.lower() in months:
            numbers.append(months[cell.lower()])
            continue
        if not re.fullmatch(r"\d+(\.0+)?", cell):
            raise table.error(row, column, f"{quoted(cell)} is not a {part}: write a whole number")
        numbers.append(int(cell.partition(".")[0]))
    return numbers


def _clock(cells: list[str], part: str | None) -> list[str]:
    """Cells of a time of the day with colons: 18.00.00 is 18:00:00, and hour 5 is 05:00."""
    if all(CLOCK.fullmatch(cell) and ":" not in cell for cell in cells):
        return [cell.replace(".", ":") for cell in cells]
    if part == "hour" and all(re.fullmatch(r"\d{1,2}", cell) for cell in cells):
        return [f"{hour:02d}:00" for hour in _begins([*map(int, cells)])]
    return cells


def are_hours(cells: Sequence[str]) -> bool:
    """Whether cells number the hours of a day, from 0 to 23 or from 1 to 24."""
    hours = [int(cell) for cell in cells if re.fullmatch(r"\d{1,2}", cell)]
    return len(hours) == len(cells) > 0 and max(_begins(hours)) < 24


def _begins(hours: list[int]) -> list[int]:
    """The hour at which each begins: markets of electricity number the 24 hours of a day by their ends."""
    return [hour - 1 for hour in hours] if max(hours) == 24 and min(hours) > 0 else hours
