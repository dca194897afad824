"""Time series: their steps, gaps and lengths, and a forecast that they allow."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.inspection.columns import ID_NAMES, TARGET_NAMES, TIME_NAMES, Columns
from lstm_lab.data.inspection.result import Fields, Inspection, length_statistics
from lstm_lab.data.readers.calendars import Times
from lstm_lab.data.readers.timeline import read_times, regularity

DAY = 86400
SENTINELS = (-9999.0, -999.0, -99.0, -9.99e8, 9999.0, 99999.0, 999999.0)
"""Numbers that often stand for a missing value."""
MAX_TARGETS = 32
"""Columns that are predicted at most where no choice names them."""


def inspect_series(columns: Columns, choices: Fields) -> Inspection:
    """A table with a row for each time step."""
    data = {"name": "csv", "path": columns.path, **columns.marks, **_column_fields(columns, choices)}
    result = Inspection(str(columns.table.path), "series", "")
    times = read_times(columns.table, data["time"], columns.format.decimal)
    rows = _rows(columns, data.get("id"))
    step = _inspect_steps(result, times, rows)
    read = [name for field in ("targets", "features", "static", "future") for name in _names(data.get(field))]
    read = [name for name in read if name in columns.numbers]
    data |= _missing_fields(result, columns, read, rows)
    _inspect_values(result, columns, read, rows)
    data |= _sizes(min(len(index) for index in rows.values()), step)
    data |= {key: value for key, value in choices.items() if key not in data or data[key] != value}
    # A difference to the last value needs that value.
    task = {"name": "forecast", **({} if data.get("missing") == "mask" else {"anchor": "last"})}
    result.experiment = {"data": data, "task": task, "optimizer": {"lr": 3e-3}, "trainer": {"max_epochs": 30}}
    targets = _names(data["targets"])
    named = ", ".join(targets[:4]) + (", ..." if len(targets) > 4 else "")
    result.title = f"Forecast of {named}: the next {data['horizon']} steps from the last {data['window']}"
    used = {data["time"]: "time", **dict.fromkeys(_names(data.get("features")), "feature")}
    used |= {**dict.fromkeys(_names(data.get("static")), "static"), **dict.fromkeys(targets, "target")}
    result.columns = columns.describe(used | ({data["id"]: "series"} if data.get("id") else {}))
    return result


def _column_fields(columns: Columns, choices: Fields) -> Fields:
    """Fields of the configuration that name columns: as chosen, else as names and values suggest."""
    fields: Fields = {}
    for field in ("time", "id", "targets", "features", "static", "future"):
        columns.check(field, choices.get(field))
    id_ = choices.get("id") or columns.first_named(ID_NAMES, columns.of_kind("category", "number"))
    taken = {name for field in ("targets", "features", "static", "future") for name in _names(choices.get(field))}
    fields["time"] = choices.get("time") or _time_column(columns, id_, taken)
    if "id" in choices or (id_ and id_ not in taken | {fields["time"]} and _names_series(columns, id_, fields["time"])):
        fields["id"] = id_
    free = [name for name in columns.of_kind("number") if name not in {fields["time"], fields.get("id"), *taken}]
    varying = [name for name in free if not fields.get("id") or not columns.is_constant(name, fields["id"])]
    named = columns.first_named(TARGET_NAMES, varying)
    few = varying if len(varying) <= MAX_TARGETS else varying[-1:]
    targets = _names(choices.get("targets")) or ([named] if named else few)
    if not targets:
        raise DataError(f"{columns.path}: no column of numbers is left to predict: set it by targets=[COLUMN]")
    fields["targets"] = targets
    if "features" not in choices and "targets" not in choices and len(varying) > len(targets):
        fields["features"] = [name for name in varying if name not in targets]
    return fields


def _names(value: str | Iterable[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def _time_column(columns: Columns, id_: str | None, taken: set[str]) -> str:
    dates = [name for name in columns.of_kind("time") if name not in taken]
    if dates:
        return columns.first_named(TIME_NAMES, dates) or dates[0]
    numbers = [name for name in columns.numbers if name not in taken | {id_}]
    rising = [name for name in numbers if _rises(columns, name, None) or (id_ and _rises(columns, name, id_))]
    found = columns.first_named(TIME_NAMES, rising) or next((name for name in rising if name == columns.names[0]), None)
    if found is None:
        raise DataError(f"{columns.path}: no column of times was found, neither dates nor numbers that increase from "
                        "row to row: set it by time=COLUMN")  # fmt: skip
    return found


def _rises(columns: Columns, name: str, id_: str | None) -> bool:
    """Whether a column increases from row to row, within each series."""
    return all(bool((np.diff(columns.numbers[name][index]) > 0).all()) for index in _rows(columns, id_).values())


def _names_series(columns: Columns, id_: str, time: str) -> bool:
    """Whether times are unique within each value of `id_`, and not without it."""
    times, ids = columns.cells(time), columns.cells(id_)
    pairs = len(set(zip(ids, times, strict=True)))
    return pairs == len(times) and len(set(times)) < len(times)


def _rows(columns: Columns, id_: str | None) -> dict[str, np.ndarray]:
    """Rows of each series."""
    if id_ is None:
        return {"": np.arange(len(columns.table.lines))}
    return columns.table.group_rows(id_, "series")


def _inspect_steps(result: Inspection, times: Times, rows: dict[str, np.ndarray]) -> str:
    """What a step is; gaps and rows that are out of order become statistics and warnings."""
    step, _ = regularity(times.rows(next(iter(rows.values()))))
    lengths = [len(index) for index in rows.values()]
    result.statistics |= {"rows": sum(lengths), "series": len(rows)}
    if len(rows) > 1:
        result.statistics |= length_statistics(lengths, "rows of a series")
    result.statistics["step"] = step
    gaps = missing = irregular = early = repeated = longest = 0
    for index in rows.values():
        own = times.rows(index)
        changes = np.diff(own.ticks)
        zero = changes - changes
        repeated += int((changes == zero).sum())
        early += int((changes < zero).sum())
        ahead = regularity(own)[1]
        whole = np.isfinite(ahead)
        gaps += int((ahead[whole] > 1).sum())
        longest = max(longest, int(ahead[whole].max(initial=1)) - 1)
        missing += int((ahead[whole & (ahead > 1)] - 1).sum())
        irregular += int((~whole).sum())
    result.statistics |= {"gaps": gaps, "missing rows": missing, "longest gap": longest, "irregular steps": irregular}
    if gaps or irregular:
        fix = "gaps: fill inserts empty rows"
        if irregular:
            fix = "fill them in, or set data.time to a column that counts rows"
        result.warnings.append(f"{gaps} gaps with {missing} missing rows, {irregular} irregular steps: every step "
                               f"needs a row; {fix}")  # fmt: skip
    if early or repeated:
        result.warnings.append(f"{early} rows are earlier than the row before, {repeated} have the same time: sort the "
                               "rows and keep one for each time, or set id to the column of the series")  # fmt: skip
    return step


def _missing_fields(
    result: Inspection, columns: Columns, read: list[str], rows: dict[str, np.ndarray]
) -> dict[str, str]:
    """Fields of the configuration for missing rows and empty cells, which also become statistics and warnings."""
    fields = {}
    empty = sum(int(np.isnan(columns.numbers[name]).sum()) for name in read)
    longest = max((_longest_run(np.isnan(columns.numbers[name])) for name in read), default=0)
    result.statistics |= {"empty cells": empty, "longest run of empty cells": longest}
    if result.statistics["gaps"] and not result.statistics["irregular steps"]:
        fields["gaps"], longest = "fill", max(longest, int(result.statistics["longest gap"]))
    if longest:
        first = [index[0] for index in rows.values()]
        complete = all(np.isfinite(columns.numbers[name][first]).all() for name in read)
        fields["missing"] = "forward_fill" if complete and longest <= 24 else "mask"
        result.warnings.append(f"{empty} cells are empty, at most {longest} in a row: missing: {fields['missing']}")
    return fields


def _inspect_values(result: Inspection, columns: Columns, read: list[str], rows: dict[str, np.ndarray]) -> None:
    """Warnings about sentinels, constant columns, and columns or series that are equal."""
    sentinels = {name: mark for name in read for mark in SENTINELS if _is_sentinel(columns.numbers[name], mark)}
    if sentinels:
        name, mark = next(iter(sentinels.items()))
        result.warnings.append(f"column {name!r} has values of {mark:g}, far from all others ({len(sentinels)} columns "
                               "in total): if it stands for a missing value, empty those cells")  # fmt: skip
    constant = [name for name in read if np.nanstd(columns.numbers[name]) == 0]
    if constant:
        result.warnings.append(f"column {constant[0]!r} is constant ({len(constant)} columns in total): it carries no "
                               "information")  # fmt: skip
    equal = len(read) - len({columns.numbers[name].tobytes() for name in read})
    if equal:
        result.warnings.append(f"{equal} columns equal another one in every row")
    if len(rows) > 1:
        keys = [b"".join(columns.numbers[name][index].tobytes() for name in read) for index in rows.values()]
        copies = len(keys) - len(set(keys))
        result.statistics["copies of other series"] = copies
        if copies:
            result.warnings.append(f"{copies} series equal another one in every value")


def _is_sentinel(values: np.ndarray, mark: float) -> bool:
    """Whether some values are `mark`, and no other is close to it."""
    others = values[np.isfinite(values) & (values != mark)]
    return bool((values == mark).any() and len(others) and abs(mark - np.median(others)) > 10 * np.ptp(others) > 0)


def _longest_run(empty: np.ndarray) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], empty.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


SEASONS = {"1 day": [7], "7 days": [52], "1 business day": [5], "1 month": [12], "3 months": [4]}


def seasons(step: str) -> list[int]:
    """Season lengths in steps: a day and a week of shorter steps, a week of days, a year of weeks, months, quarters."""
    import pandas as pd

    if step in SEASONS:
        return SEASONS[step]
    try:
        seconds = pd.Timedelta(step).total_seconds() if ":" in step else 0.0
    except ValueError:
        seconds = 0.0
    divides_a_day = 60 <= seconds < DAY and DAY % seconds == 0
    return [int(DAY / seconds), int(7 * DAY / seconds)] if divides_a_day else []


def _sizes(rows: int, step: str) -> Fields:
    """Window, horizon and seasons that the shortest series has room for: 70 % of it are for training, 10 % for
    validation."""
    train, validation = int(rows * 0.7 + 1e-9), int(rows * 0.8 + 1e-9) - int(rows * 0.7 + 1e-9)
    fitting = [season for season in seasons(step) if 2 * season < train]
    wanted = fitting[0] if fitting and fitting[0] <= 192 else 24
    horizon = max(1, min(wanted, validation, train // 4))
    window = max(1, min(max(4 * horizon, 96), train // 2, train - horizon))
    sizes: Fields = {"window": window, "horizon": horizon}
    windows = train - window - horizon + 1
    return sizes | ({"seasons": fitting} if fitting else {}) | ({"batch_size": 128} if windows > 5000 else {})
