"""Tables with a row for each time series and a column for each step."""

from __future__ import annotations

import numpy as np

from lstm_lab.config.validation import validate
from lstm_lab.data.inspection.columns import ID_NAMES, LABEL_NAMES, TARGET_NAMES, Columns
from lstm_lab.data.inspection.result import Fields, Inspection, length_statistics
from lstm_lab.data.inspection.series_sizes import sizes_of_series, split_rows
from lstm_lab.data.inspection.wide_tables import MIN_STEPS, numbered, wide_columns
from lstm_lab.data.readers.timeline import read_times, regularity
from lstm_lab.data.readers.wide_series import TIME, VALUE, date_columns, read_wide_series
from lstm_lab.data.sources.csv_wide_series import CSVWideSeries

TIME_PREFIXES = ("d", "day", "w", "week", "m", "month", "q", "quarter", "y", "year", "h", "hour", "v")
"""What the names of steps in time begin with, in lower case."""


def step_prefix(columns: Columns, choices: Fields) -> str | None:
    """What the names of the columns of steps begin with, "" where they are dates or years; None where a row is no
    series: it has a class, or there are too few steps.

    Args:
        choices: fields of `data`.
    """
    if "label" in choices or columns.of_kind("time", "text"):
        return None
    if columns.first_named((*LABEL_NAMES, *TARGET_NAMES), columns.names) is not None:
        return None
    numbers = columns.of_kind("number", "empty")
    dates = [name for name in date_columns(columns.names) if name in numbers]
    years = [name for name in numbers if name.isdecimal() and 1700 <= int(name) <= 2200]
    if max(len(dates), len(years)) >= MIN_STEPS:
        return ""
    groups = numbered(numbers)
    prefix = max(groups, key=lambda name: len(groups[name]), default="")
    if not prefix or len(groups[prefix]) < 2 * MIN_STEPS or _id(columns, numbers) is None:
        return None
    return prefix if prefix.lower() in TIME_PREFIXES or wide_columns(columns, choices) is None else None


def _id(columns: Columns, numbers: list[str]) -> str | None:
    """A column that is different in every row: by its name, else the first of words."""
    distinct = [name for name in columns.names if len({*columns.cells(name)}) == len(columns.table.lines)]
    words = [name for name in distinct if name not in numbers]
    return columns.first_named(ID_NAMES, distinct) or next(iter(words), None)


def inspect_series_rows(columns: Columns, choices: Fields) -> Inspection:
    """A table with a row for each series."""
    for field in ("id", "static"):
        columns.check(field, choices.get(field))
    prefix = step_prefix(columns, choices)
    id_ = choices.get("id") or _id(columns, columns.of_kind("number", "empty"))
    data: Fields = {"name": "csv_wide_series", "path": columns.path}
    data |= ({"id": id_} if id_ else {}) | ({"steps": prefix} if prefix else {}) | columns.marks
    chosen = validate(CSVWideSeries.Config, {**data, **choices}, columns.path)
    table = read_wide_series(columns.path, chosen.steps, chosen.id, chosen.static, chosen.format, allow_missing=True)
    rows = [*table.group_rows(next(iter(table.columns)), "series").values()]
    times = read_times(table, TIME, chosen.decimal)
    longest = max(rows, key=len)
    step, ahead = regularity(times.rows(longest))
    result = Inspection(str(columns.table.path), "series", "", warnings=[*columns.remarks])
    result.statistics = {"rows": len(table.lines), "series": len(rows),
                         **length_statistics([len(own) for own in rows], "steps of a series"), "step": step,
                         "first step": table.columns[TIME][longest[0]],
                         "last step": table.columns[TIME][longest[-1]]}  # fmt: skip
    empty = sum(cell == "" for cell in chosen.format.plain_cells(table.columns[VALUE]))
    gaps = int((np.nan_to_num(ahead, nan=2.0) > 1).sum())
    result.statistics |= {"empty cells within series": empty, "gaps": gaps}
    if gaps:
        data["gaps"] = "ignore"
        result.warnings.append(f"{gaps} steps are missing between two columns: the next column is the next step "
                               "(gaps: ignore)")  # fmt: skip
    if empty:
        data["missing"] = "forward_fill"
        result.warnings.append(f"{empty} cells within series are empty: missing: forward_fill")
    data |= sizes_of_series(result, [split_rows(columns, None, own) for own in rows], step, choices)
    data |= choices
    task = {"name": "forecast", **({} if data.get("missing") == "mask" else {"anchor": "last"})}
    result.experiment = {"data": data, "task": task, "optimizer": {"lr": 3e-3}, "trainer": {"max_epochs": 30}}
    result.title = f"Forecast of {len(rows)} series: the next {data['horizon']} steps from the last {data['window']}"
    return result
