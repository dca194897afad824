"""Time series: their steps, gaps and lengths, and a forecast that they allow."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.config.validation import validate
from lstm_lab.data.inspection.columns import Columns
from lstm_lab.data.inspection.given_files import given_fields, not_used
from lstm_lab.data.inspection.result import Fields, Inspection, length_statistics
from lstm_lab.data.inspection.series_columns import column_fields, names_of, with_time
from lstm_lab.data.inspection.series_sizes import sizes_of_series, split_fields, split_rows
from lstm_lab.data.readers.calendar_kinds import Times
from lstm_lab.data.readers.series_table import ROW, rows_by_series
from lstm_lab.data.readers.timeline import epoch_unit, notes_of_times, read_times, regularity
from lstm_lab.data.sources.csv_series import CSV

SENTINELS = (-9999.0, -999.0, -99.0, -200.0, -9.99e8, 9999.0, 99999.0, 999999.0)
"""Numbers that often stand for a missing value."""


def inspect_series(columns: Columns, choices: Fields) -> Inspection:
    """A table with a row for each time step."""
    columns, parts = with_time(columns, choices)
    split = choices.get("split", columns.split_column())
    split = split if isinstance(split, str) else None
    columns.check("split", split)
    data = {"name": "csv", "path": columns.path, **columns.marks, **column_fields(columns, choices, parts, split)}
    result = Inspection(str(columns.table.path), "series", "", warnings=[*columns.remarks])
    times = read_times(columns.table, data["time"], columns.format.decimal)
    rows, newest_first = rows_by_series(columns.table, data.get("id"), times)
    columns, times, rows, coming = _without_future(columns, data, choices, times, rows)
    result.warnings += notes_of_times({name: times.rows(index) for name, index in rows.items()}, newest_first)
    step = _inspect_steps(result, times, rows)
    _inspect_times(result, columns.cells(data["time"]), times, rows)
    fields = [names_of(columns, data.get(field)) for field in ("targets", "features", "static", "future")]
    read = [name for names in fields for name in names if name in columns.numbers]
    if choices.get("time", "") is None:
        data["time"] = None
        result.warnings.append("there is no column of times: each row is one step after the row before (time: null)")
    columns = _without_sentinels(result, columns, read, choices)
    data |= columns.marks
    data |= _missing_fields(result, columns, read, rows)
    _inspect_values(result, columns, read, rows)
    if split is not None:
        data |= split_fields(result, columns, split)
    sizes = [split_rows(columns, split, index) for index in rows.values()]
    if coming:
        result.statistics["rows to come"] = coming
    data |= sizes_of_series(result, sizes, step, choices, may_drop=split is None)
    if data.get("future") and coming and (coming < data["horizon"] or coming <= min(size for _, size in sizes)):
        data["horizon"] = coming  # So far is known what is known in advance.
    data |= {key: value for key, value in choices.items() if key not in data or data[key] != value}
    if split is None and "split" not in choices:
        data |= _given_files(result, data)
    # A difference to the last value needs that value.
    task = {"name": "forecast", **({} if data.get("missing") == "mask" else {"anchor": "last"})}
    result.experiment = {"data": data, "task": task, "optimizer": {"lr": 3e-3}, "trainer": {"max_epochs": 30}}
    targets = names_of(columns, data["targets"])
    named = ", ".join(targets[:4]) + (", ..." if len(targets) > 4 else "")
    result.title = f"Forecast of {named}: the next {data['horizon']} steps from the last {data['window']}"
    used = dict.fromkeys([*parts, data["time"] or ROW], "time")
    for field, use in (("features", "feature"), ("future", "future"), ("static", "static"), ("targets", "target"),
                       ("categorical", "words")):  # fmt: skip
        used |= dict.fromkeys(names_of(columns, data.get(field)), use)
    used |= {split: "split"} if split is not None else {}
    result.columns = columns.describe(used | ({data["id"]: "series"} if data.get("id") else {}))
    return result


def _without_future(
    columns: Columns, data: Fields, choices: Fields, times: Times, rows: dict[str, np.ndarray]
) -> tuple[Columns, Times, dict[str, np.ndarray], int]:
    """The columns, times and rows of each series without the rows behind the last target, and how many these are in
    the series that has the fewest. Features that are known in all of them become `future`."""
    targets = names_of(columns, data["targets"])
    if not all(name in columns.numbers for name in targets):
        return columns, times, rows, 0
    known = np.isfinite(np.stack([columns.numbers[name] for name in targets], 1)).any(1)
    if all(known[index[-1]] or not known[index].any() for index in rows.values()):
        return columns, times, rows, 0
    later = [index[np.flatnonzero(known[index])[-1] + 1 :] if known[index].any() else index[:0]
             for index in rows.values()]  # fmt: skip
    coming = np.concatenate(later)
    features = names_of(columns, data.get("features"))
    ahead = [name for name in features if all(columns.cells(name)[row].strip() for row in coming)]
    if ahead and not {"features", "future"} & set(choices):
        data["future"], data["features"] = ahead, [name for name in features if name not in ahead]
        if not data["features"]:
            del data["features"]
    kept = np.setdiff1d(np.arange(len(known)), coming)
    columns = replace(columns, table=columns.table.rows(kept))
    times = read_times(columns.table, data["time"], columns.format.decimal)
    return columns, times, rows_by_series(columns.table, data.get("id"), times)[0], min(map(len, later))


def _given_files(result: Inspection, data: Fields) -> Fields:
    """Fields of the files of other splits beside the one at `path`, whose rows follow its rows."""
    given = given_fields(data)
    if not given:
        return {}
    sizes = {"test": 0} if "test_path" not in given else {}
    try:
        dataset = validate(CSV.Config, {**data, **given, **sizes}, result.path).build()
        ends = dataset.split_ends(dataset.series)
    except DataError as error:
        result.warnings.append(not_used(given, error))
        return {}
    rows = {"validation": sum(end[1] - end[0] for end in ends), "test": sum(end[2] - end[1] for end in ends)}
    result.statistics |= {f"{split} rows": count for split, count in rows.items() if f"{split}_path" in given}
    return given | sizes


def _inspect_steps(result: Inspection, times: Times, rows: dict[str, np.ndarray]) -> str:
    """What a step is; gaps and rows that are out of order become statistics and warnings."""
    step, _ = regularity(times.rows(next(iter(rows.values()))))
    lengths = [len(index) for index in rows.values()]
    result.statistics |= {"rows": sum(lengths), "series": len(rows)}
    if len(rows) > 1:
        result.statistics |= length_statistics(lengths, "rows of a series")
    steps = [regularity(times.rows(index))[0] for index in rows.values() if len(index) > 2]
    step = ", ".join(dict.fromkeys(steps)) or step
    result.statistics["step"] = step
    gaps = missing = irregular = early = repeated = longest = 0
    for index in rows.values():
        own = times.rows(index)
        changes = np.diff(own.ticks)
        zero = changes - changes
        repeated += len(own.ticks) - len(set(own.ticks.tolist()))
        early += int((changes < zero).sum())
        ahead = regularity(own)[1]
        whole = np.isfinite(ahead)
        gaps += int((ahead[whole] > 1).sum())
        longest = max(longest, int(ahead[whole].max(initial=1)) - 1)
        missing += int((ahead[whole & (ahead > 1)] - 1).sum())
        irregular += int((~whole).sum())
    result.statistics |= {"gaps": gaps, "missing rows": missing, "longest gap": longest, "irregular steps": irregular}
    if gaps or irregular:
        fix = "gaps: fill inserts empty rows, gaps: ignore counts rows"
        if irregular:
            fix = "fill them in, or let gaps: ignore count rows"
        result.warnings.append(f"{gaps} gaps with {missing} missing rows, {irregular} irregular steps: every step "
                               f"needs a row; {fix}")  # fmt: skip
    found = [f"{early} rows are earlier than the row before"] if early else []
    found += [f"{repeated} rows have the time of another row"] if repeated else []
    if found:
        result.warnings.append(f"{' and '.join(found)}: sort the rows and keep one for each time, or set id to the "
                               "column of the series")  # fmt: skip
    return step


def _inspect_times(result: Inspection, cells: list[str], times: Times, rows: dict[str, np.ndarray]) -> None:
    """First and last time, and their time zone."""
    order = np.argsort(times.ticks, kind="stable")
    result.statistics |= {"first time": cells[order[0]], "last time": cells[order[-1]]}
    if times.local is None:
        return
    units = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
    unit = epoch_unit(cells)
    if unit is not None:
        local = times.local[[order[0], order[-1]]]
        result.statistics |= {"first time": f"{local[0]}", "last time": f"{local[1]}"}
        result.statistics["time zone"] = f"UTC ({units[unit]} since 1970)"
    else:
        result.statistics["time zone"] = "UTC offsets of the file" if times.has_offset else "none written: local time"


def _without_sentinels(result: Inspection, columns: Columns, read: list[str], choices: Fields) -> Columns:
    """The columns without numbers that stand for missing values, which are said. A number that another column has among
    its values is left to the user."""
    found = {name: mark for name in read for mark in SENTINELS if _is_sentinel(columns.numbers[name], mark)}
    if "na_values" in choices or not found:
        return columns
    clear = []
    for mark in dict.fromkeys(found.values()):
        names = [name for name in read if (columns.numbers[name] == mark).any()]
        if all(found.get(name) == mark for name in names):
            clear.append(f"{mark:g}")
            consequence = "it is read as missing (na_values)"
        else:
            consequence = f"if it stands for a missing value, set na_values={mark:g}"
        first = next(name for name in names if found.get(name) == mark)
        result.warnings.append(f"column {first!r} has values of {mark:g}, unlike all others ({len(names)} columns have "
                               f"it): {consequence}")  # fmt: skip
    return replace(columns, format=replace(columns.format, na_values=(*columns.format.na_values, *clear)))


def _missing_fields(
    result: Inspection, columns: Columns, read: list[str], rows: dict[str, np.ndarray]
) -> dict[str, str]:
    """Fields of the configuration for missing rows and empty cells, which also become statistics and warnings."""
    fields = {}
    empty = sum(int(np.isnan(columns.numbers[name]).sum()) for name in read)
    longest = max((_longest_run(np.isnan(columns.numbers[name])) for name in read), default=0)
    result.statistics |= {"empty cells": empty, "longest run of empty cells": longest}
    if result.statistics["gaps"] and not result.statistics["irregular steps"]:
        if re.search("business day|sessions", str(result.statistics["step"])):
            fields["gaps"] = "ignore"  # Holidays have no values to fill in.
        else:
            fields["gaps"], longest = "fill", max(longest, int(result.statistics["longest gap"]))
    if longest:
        first = [index[0] for index in rows.values()]
        complete = all(np.isfinite(columns.numbers[name][first]).all() for name in read)
        fields["missing"] = "forward_fill" if complete and longest <= 24 else "mask"
        what = f"{empty} cells are empty" if empty else "the inserted rows are empty"
        result.warnings.append(f"{what}, at most {longest} in a row: missing: {fields['missing']}")
    return fields


def _inspect_values(result: Inspection, columns: Columns, read: list[str], rows: dict[str, np.ndarray]) -> None:
    """Warnings about constant columns, and columns or series that are equal."""
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
    if mark < 0 and len(others) and others.min() >= 0 and (values == mark).sum() >= 3:
        return True
    return bool((values == mark).any() and len(others) and abs(mark - np.median(others)) > 10 * np.ptp(others) > 0)


def _longest_run(empty: np.ndarray) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], empty.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))
