"""Series over time: their steps, gaps and lengths, and the forecast that they allow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.inspection.columns import IDS, TARGETS, TIMES, Columns
from lstm_lab.data.inspection.look import Look, spread
from lstm_lab.data.readers.timeline import Times, read_times, regularity

DAY = 86400
SENTINELS = (-9999.0, -999.0, -99.0, -9.99e8, 9999.0, 99999.0, 999999.0)
"""Numbers that are written where there is none."""
MOST = 32
"""Columns that are predicted at most where nothing says which."""


def look_at_series(columns: Columns, choices: Mapping[str, Any]) -> Look:
    """A table with a row for each step of time."""
    data = {"name": "csv", "path": columns.path, **_marks(columns), **_roles(columns, choices)}
    look = Look(str(columns.table.place), "series", "")
    times = read_times(columns.table, data["time"], columns.decimal)
    rows = _rows(columns, data.get("id"))
    step = _steps(look, times, rows)
    _missing(look, columns, data, rows)
    lengths = [len(index) for index in rows.values()]
    data |= _sizes(min(lengths), step)
    data |= {key: value for key, value in choices.items() if key not in data or data[key] != value}
    anchor = "none" if data.get("missing") == "mask" else "last"
    task = {"name": "forecast", **({"anchor": anchor} if anchor != "none" else {})}
    look.experiment = {"data": data, "task": task, "optimizer": {"lr": 3e-3}, "trainer": {"max_epochs": 30}}
    targets = [data["targets"]] if isinstance(data["targets"], str) else data["targets"]
    named = ", ".join(targets[:4]) + (", ..." if len(targets) > 4 else "")
    look.question = f"The next {data['horizon']} steps of {named}, from the last {data['window']}?"
    used = {data["time"]: "time", **dict.fromkeys(data.get("features", ()), "looked back on")}
    used |= {**dict.fromkeys(data.get("static", ()), "static"), **dict.fromkeys(targets, "predicted")}
    look.columns = columns.described(used | ({data["id"]: "series"} if data.get("id") else {}))
    return look


def _marks(columns: Columns) -> dict[str, str]:
    marks = {"separator": columns.separator} if columns.separator != "," else {}
    return marks | ({"decimal": columns.decimal} if columns.decimal != "." else {})


def _roles(columns: Columns, choices: Mapping[str, Any]) -> dict[str, Any]:
    """Which column is what: as chosen, else as names and values suggest."""
    roles: dict[str, Any] = {}
    for field in ("time", "id", "targets", "features", "static", "future"):
        columns.check(field, choices.get(field))
    key = choices.get("id") or columns.called(IDS, columns.of_kind("category", "number"))
    taken = {name for field in ("targets", "features", "static", "future") for name in _names(choices.get(field))}
    roles["time"] = choices.get("time") or _time(columns, key, taken)
    if "id" in choices or (key and key not in taken | {roles["time"]} and _parts(columns, key, roles["time"])):
        roles["id"] = key
    free = [name for name in columns.of_kind("number") if name not in {roles["time"], roles.get("id"), *taken}]
    moving = [name for name in free if not roles.get("id") or not columns.steady(name, roles["id"])]
    named = columns.called(TARGETS, moving)
    targets = _names(choices.get("targets")) or ([named] if named else moving if len(moving) <= MOST else moving[-1:])
    if not targets:
        raise DataError(f"{columns.path}: no column of numbers is left to predict: targets=[COLUMN] says which")
    roles["targets"] = targets
    if "features" not in choices and "targets" not in choices and len(moving) > len(targets):
        roles["features"] = [name for name in moving if name not in targets]
    return roles


def _names(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def _time(columns: Columns, key: str | None, taken: set[str]) -> str:
    dates = [name for name in columns.of_kind("time") if name not in taken]
    if dates:
        return columns.called(TIMES, dates) or dates[0]
    numbers = [name for name in columns.numbers if name not in taken | {key}]
    rising = [name for name in numbers if _rises(columns, name, None) or (key and _rises(columns, name, key))]
    found = columns.called(TIMES, rising) or next((name for name in rising if name == columns.names[0]), None)
    if found is None:
        raise DataError(f"{columns.path}: no column of times was found, neither dates nor numbers that rise from row "
                        "to row: time=COLUMN says which it is")  # fmt: skip
    return found


def _rises(columns: Columns, name: str, key: str | None) -> bool:
    return all(bool((np.diff(columns.numbers[name][index]) > 0).all()) for index in _rows(columns, key).values())


def _parts(columns: Columns, key: str, time: str) -> bool:
    """Whether rows of one `key` differ in time, and rows of all together do not."""
    times, ids = columns.cells(time), columns.cells(key)
    pairs = len(set(zip(ids, times, strict=True)))
    return pairs == len(times) and len(set(times)) < len(times)


def _rows(columns: Columns, key: str | None) -> dict[str, np.ndarray]:
    """Rows of each series."""
    if key is None:
        return {"": np.arange(len(columns.table.lines))}
    found: dict[str, list[int]] = {}
    for row, name in enumerate(columns.cells(key)):
        found.setdefault(name, []).append(row)
    return {name: np.array(index) for name, index in found.items()}


def _steps(look: Look, times: Times, rows: dict[str, np.ndarray]) -> Any:
    """What a step is, where steps are missing, and what stands out of order."""
    first = next(iter(rows.values()))
    step, _ = regularity(times.at(first))
    lengths = [len(index) for index in rows.values()]
    look.info |= {"rows": sum(lengths), "series": len(rows)}
    if len(rows) > 1:
        look.info |= spread(lengths, "rows of a series")
    look.info["step"] = step
    gaps = lost = odd = early = again = most = 0
    for index in rows.values():
        part = times.at(index)
        moves = np.diff(part.ticks)
        zero = moves - moves
        again += int((moves == zero).sum())
        early += int((moves < zero).sum())
        ahead = regularity(part)[1]
        there = np.isfinite(ahead)
        gaps += int((ahead[there] > 1).sum())
        most = max(most, int(ahead[there].max(initial=1)) - 1)
        lost += int((ahead[there & (ahead > 1)] - 1).sum())
        odd += int((~there).sum())
    look.info |= {"gaps": gaps, "rows missing in them": lost, "longest gap": most, "steps of another length": odd}
    if gaps or odd:
        way = "fill them in, or set data.time to a column that counts rows" if odd else "gaps: fill puts them in empty"
        look.warnings.append(f"{gaps} gaps with {lost} rows missing, {odd} steps of another length: the reader wants "
                             f"every step; {way}")  # fmt: skip
    if early or again:
        look.warnings.append(f"{early} rows are earlier than the row before, {again} have its time: sort the rows and "
                             "keep one for each time, or name the column of the series by id=COLUMN")  # fmt: skip
    return step


def _missing(look: Look, columns: Columns, data: dict[str, Any], rows: dict[str, np.ndarray]) -> None:
    """Empty cells, and which way around them the reader can take."""
    read = [name for field in ("targets", "features", "static", "future") for name in _names(data.get(field))]
    read = [name for name in read if name in columns.numbers]
    empty = {name: int(np.isnan(columns.numbers[name]).sum()) for name in read}
    longest = max((_longest(np.isnan(columns.numbers[name])) for name in read), default=0)
    look.info |= {"empty cells": sum(empty.values()), "longest run of them": longest}
    if look.info["gaps"] and not look.info["steps of another length"]:
        data["gaps"], longest = "fill", max(longest, look.info["longest gap"])
    if longest:
        first = [index[0] for index in rows.values()]
        begins = all(np.isfinite(columns.numbers[name][first]).all() for name in read)
        data["missing"] = "forward_fill" if begins and longest <= 24 else "mask"
        look.warnings.append(f"{sum(empty.values())} cells are empty, {longest} in a row at most: "
                             f"missing: {data['missing']}")  # fmt: skip
    marks = {name: mark for name in read for mark in SENTINELS if _stands_out(columns.numbers[name], mark)}
    if marks:
        name, mark = next(iter(marks.items()))
        look.warnings.append(f"column {name!r} holds {mark:g}, far from all else ({len(marks)} such in all): if it "
                             "stands for a missing value, empty those cells")  # fmt: skip
    still = [name for name in read if np.nanstd(columns.numbers[name]) == 0]
    if still:
        look.warnings.append(f"column {still[0]!r} never moves ({len(still)} such in all): it tells nothing")
    values = {name: columns.numbers[name].tobytes() for name in read}
    twins = len(values) - len(set(values.values()))
    if twins:
        look.warnings.append(f"{twins} columns equal another one in every row")
    if len(rows) > 1:
        keys = [b"".join(columns.numbers[name][index].tobytes() for name in read) for index in rows.values()]
        look.info["series that equal another"] = len(keys) - len(set(keys))
        if len(set(keys)) < len(keys):
            look.warnings.append(f"{len(keys) - len(set(keys))} series equal another one in every value")


def _stands_out(values: np.ndarray, mark: float) -> bool:
    """Whether some values are `mark`, and none else is near it."""
    others = values[np.isfinite(values) & (values != mark)]
    return bool((values == mark).any() and len(others) and abs(mark - np.median(others)) > 10 * np.ptp(others) > 0)


def _longest(blank: np.ndarray) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], blank.astype(np.int8), [0]])))
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
    whole = 60 <= seconds < DAY and DAY % seconds == 0
    return [int(DAY / seconds), int(7 * DAY / seconds)] if whole else []


def _sizes(rows: int, step: str) -> dict[str, Any]:
    """Window, horizon and seasons that the shortest series has room for: 70 % of it trains, 10 % validates."""
    train, validation = int(rows * 0.7 + 1e-9), int(rows * 0.8 + 1e-9) - int(rows * 0.7 + 1e-9)
    fitting = [season for season in seasons(step) if 2 * season < train]
    wanted = fitting[0] if fitting and fitting[0] <= 192 else 24
    horizon = max(1, min(wanted, validation, train // 4))
    window = max(1, min(max(4 * horizon, 96), train // 2, train - horizon))
    found: dict[str, Any] = {"window": window, "horizon": horizon}
    windows = train - window - horizon + 1
    return found | ({"seasons": fitting} if fitting else {}) | ({"batch_size": 128} if windows > 5000 else {})
