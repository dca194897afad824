"""What the columns of a table of time series are for: time, series, targets, features."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.inspection.columns import ID_NAMES, TARGET_NAMES, TIME_NAMES, Columns
from lstm_lab.data.inspection.result import Fields
from lstm_lab.data.readers.columns import column_names
from lstm_lab.data.readers.series_table import ROW, with_row_numbers
from lstm_lab.data.readers.time_columns import CALENDAR_PARTS, CLOCK, PARTS, are_hours, time_parts, with_joined_time
from lstm_lab.data.readers.timeline import read_times

MAX_TARGETS = 32
"""Columns that are predicted at most where no choice names them."""


MAX_WORDS = 20
"""Different words of a column that is read as categories."""


def names_of(columns: Columns, value: str | int | Iterable[str] | None) -> list[str]:
    """The columns that a field names: one, several between commas, or a list."""
    if value is None or (isinstance(value, str) and value in columns.names):
        return [] if value is None else [str(value)]
    names = column_names(value if isinstance(value, str | int) else list(value))
    return list(names) if isinstance(names, tuple) else []


def with_time(columns: Columns, choices: Fields) -> tuple[Columns, list[str]]:
    """The table with one column of times where several make one up, and the names of those."""
    chosen = choices.get("time", "")
    if chosen is None or (chosen == "" and _is_one_column(columns)):
        choices["time"] = None
        id_ = choices.get("id")
        columns.check("id", id_)
        return replace(columns, table=with_row_numbers(columns.table, id_)), []
    if chosen:
        time = chosen if isinstance(chosen, str) else "+".join(names_of(columns, chosen))
        parts = time_parts(time, columns.names)
        columns.check("time", parts)
        choices["time"] = time
        return replace(columns, table=with_joined_time(columns.table, time, parts)), parts if len(parts) > 1 else []
    taken = {name for field in ("targets", "features", "static", "future")
             for name in names_of(columns, choices.get(field))}  # fmt: skip
    for parts in _joint_times(columns, taken):
        time = "+".join(parts)
        try:
            table = with_joined_time(columns.table, time, parts)
            times = read_times(table, time, columns.format.decimal)
        except DataError:
            continue
        if times.local is not None and len(set(table.columns[time])) > len(set(columns.cells(parts[0]))):
            return replace(columns, table=table), parts
    return columns, []


def _is_one_column(columns: Columns) -> bool:
    """Whether a table has one column of numbers that do not count rows, and nothing else."""
    return (
        len(columns.names) == 1 and columns.names[0] in columns.numbers and not _rises(columns, columns.names[0], None)
    )


def _joint_times(columns: Columns, taken: set[str]) -> Iterator[list[str]]:
    """Columns that may make up a time together: a date and a clock; year, month, day, hour."""
    names = [name for name in columns.names if name not in taken]
    for date in (name for name in names if columns.kinds[name] == "time"):
        for clock in names:
            cells = columns.cells(clock)
            if clock != date and (all(map(CLOCK.fullmatch, cells)) or _has_hours(clock, cells)):
                yield [date, clock]
    found: dict[str, str] = {}
    for name in names:
        if name.lower() in CALENDAR_PARTS:
            found.setdefault(CALENDAR_PARTS[name.lower()], name)
    parts = [found[part] for part in PARTS if part in found]
    if "year" in found and len(parts) > 1:
        yield parts


def _has_hours(name: str, cells: list[str]) -> bool:
    return CALENDAR_PARTS.get(name.lower()) == "hour" and are_hours(cells)


def column_fields(columns: Columns, choices: Fields, parts: list[str], split: str | None = None) -> Fields:
    """Fields of the configuration that name columns: as chosen, else as names and values suggest.

    Args:
        parts: columns that make up the time; empty: it is one column.
        split: column of the splits, which is nothing else.

    Raises:
        ConfigError: a choice that names no column.
        DataError: no column of times, or none to predict.
    """
    fields: Fields = {}
    for field in ("time", "id", "targets", "features", "static", "future"):
        if choices.get(field) is not None:
            columns.check(field, names_of(columns, choices[field]))
    taken = {name for field in ("targets", "features", "static", "future")
             for name in names_of(columns, choices.get(field))} | ({split} if split is not None else set())  # fmt: skip
    fields["time"], id_ = _time_and_id(columns, choices, taken, parts)
    if "id" in choices or id_ is not None:
        fields["id"] = id_
    used = {fields["time"], id_, *parts, *taken}
    free = [name for name in columns.of_kind("number") if name not in used and not _counts_rows(columns, name)]
    varying = [name for name in free if not id_ or not columns.is_constant(name, id_)]
    values = [name for name in varying if not _is_flag(columns.numbers[name])] or varying
    named = columns.first_named(TARGET_NAMES, values)
    few = values if len(values) <= MAX_TARGETS else values[-1:]
    targets = names_of(columns, choices.get("targets")) or ([named] if named else few)
    if not targets:
        raise DataError(f"{columns.path}: no column of numbers is left to predict: set it by targets=[COLUMN]")
    fields["targets"] = targets
    if "features" not in choices and "targets" not in choices and len(varying) > len(targets):
        fields["features"] = [name for name in varying if name not in targets]
    words = [name for name in columns.of_kind("category") if name not in used and _has_levels(columns, name, id_)]
    if words and not {"features", "targets", "categorical"} & set(choices):
        fields["features"] = [*fields.get("features", []), *words]
        fields["categorical"] = words
    return fields


def _has_levels(columns: Columns, name: str, id_: str | None) -> bool:
    """Whether the words of a column come again often enough to be a channel each."""
    distinct = len(set(columns.cells(name)) - {""})
    repeats = 2 <= distinct <= min(MAX_WORDS, len(columns.table.lines) // 10)
    return repeats and not (id_ and columns.is_constant(name, id_))


def _is_flag(values: np.ndarray) -> bool:
    """Whether a column has the values 0 and 1 alone, which tell of a state and are seldom forecast."""
    return set(values[np.isfinite(values)].tolist()) == {0.0, 1.0}


def _counts_rows(columns: Columns, name: str) -> bool:
    """Whether a column numbers the rows of the table."""
    values = columns.numbers[name]
    return len(values) > 2 and bool((np.diff(values) == 1).all()) and values[0] in (0, 1)


def _time_and_id(columns: Columns, choices: Fields, taken: set[str], parts: list[str]) -> tuple[str, str | None]:
    """Columns of the time and of the series, which is None where there is one."""
    named = columns.first_named(ID_NAMES, columns.of_kind("category", "number"))
    id_ = choices.get("id") or named
    try:
        # A column may have an empty name.
        time = choices["time"] or ROW if "time" in choices else "+".join(parts) or _time_column(columns, id_, taken)
    except DataError:
        found = _unnamed_series(columns, taken)
        if found is None or "id" in choices:
            raise
        return found
    if "id" in choices:
        return time, choices["id"]
    others = [name for name in columns.of_kind("category", "number")
              if name not in {time, *parts, *taken} and not _is_flag(columns.numbers.get(name, np.empty(0)))
              and len(set(columns.cells(name))) * 4 <= len(columns.table.lines)]  # fmt: skip
    candidates = [id_] if id_ else others if len(set(columns.cells(time))) < len(columns.table.lines) else []
    series = (name for name in candidates if name not in taken | {time} and _names_series(columns, name, time))
    return time, next(series, None)


def _unnamed_series(columns: Columns, taken: set[str]) -> tuple[str, str] | None:
    """Columns of time and series of a table in which a column of numbers counts the rows of each series, and another
    names the series, whose rows are one below the other."""
    free = [name for name in columns.of_kind("category", "number") if name not in taken]
    for id_ in free[: len(columns.names) - 2]:
        cells = columns.cells(id_)
        series = len({*cells})
        changes = sum(a != b for a, b in pairwise(cells))
        if not 1 <= changes == series - 1 < len(cells) / 2 or "" in cells:
            continue
        rising = [name for name in free if name in columns.numbers and name != id_ and _counts(columns, name, id_)]
        if rising:
            return columns.first_named(TIME_NAMES, rising) or rising[0], id_
    return None


def _counts(columns: Columns, name: str, id_: str) -> bool:
    """Whether a column rises by the same number from row to row, in all series."""
    changes = [np.diff(columns.numbers[name][index]) for index in _rows(columns, id_).values()]
    joined = np.concatenate(changes)
    return len(joined) > 0 and bool((joined > 0).all() and np.ptp(joined) < 1e-9 * joined[0])


def _time_column(columns: Columns, id_: str | None, taken: set[str]) -> str:
    dates = [name for name in columns.of_kind("time") if name not in taken]
    if dates:  # A constant one says when the file was written, or from when on it was asked for.
        distinct = {name: len({*columns.cells(name)}) for name in dates}
        varying = [name for name in dates if distinct[name] > 1] or dates
        return columns.first_named(TIME_NAMES, varying) or max(varying, key=lambda name: distinct[name])
    numbers = [name for name in columns.numbers if name not in taken | {id_}]
    rising = [name for name in numbers if _rises(columns, name, None) or (id_ and _rises(columns, name, id_))]
    found = columns.first_named(TIME_NAMES, rising) or next((name for name in rising if name == columns.names[0]), None)
    if found is None:
        for name in columns.names:
            if name not in taken and re.match(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}", columns.cells(name)[0]):
                read_times(columns.table, name, columns.format.decimal)  # Its error says why they are none.
        raise DataError(f"{columns.path}: no column of times was found, neither dates nor numbers that increase from "
                        "row to row: set it by time=COLUMN, or by time=null if each row is one step")  # fmt: skip
    return found


def _rises(columns: Columns, name: str, id_: str | None) -> bool:
    """Whether a column increases from row to row, within each series."""
    return all(bool((np.diff(columns.numbers[name][index]) > 0).all()) for index in _rows(columns, id_).values())


def _names_series(columns: Columns, id_: str, time: str) -> bool:
    """Whether times are unique within each value of `id_`, and not without it, or in order within each alone."""
    times, ids = columns.cells(time), columns.cells(id_)
    if len(set(zip(ids, times, strict=True))) < len(times):
        return False
    if len(set(times)) < len(times):
        return True
    ticks = read_times(columns.table, time, columns.format.decimal).ticks
    ascending = [bool((ticks[index][1:] > ticks[index][:-1]).all()) for index in _rows(columns, id_).values()]
    return all(ascending) and 1 < len(ascending) < len(times) and not bool((ticks[1:] > ticks[:-1]).all())


def _rows(columns: Columns, id_: str | None) -> dict[str, np.ndarray]:
    """Rows of each series."""
    if id_ is None:
        return {"": np.arange(len(columns.table.lines))}
    return columns.table.group_rows(id_, "series")
