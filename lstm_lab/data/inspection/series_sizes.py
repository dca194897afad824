"""Window, horizon, seasons and splits that time series have room for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from lstm_lab.data.inspection.columns import Columns
from lstm_lab.data.inspection.result import Fields, Inspection
from lstm_lab.data.preprocessing.splits import DEFAULT_FRACTIONS, SPLIT_ALIASES

DAY = 86400
SEASONS = {"1 day": [7], "7 days": [52], "1 business day": [5], "1 month": [12], "3 months": [4]}


def seasons(step: str) -> list[int]:
    """Season lengths in steps: a day and a week of shorter steps, a week of days, a year of weeks, months, quarters."""
    import pandas as pd

    if step in SEASONS:
        return SEASONS[step]
    session = re.search(r" in sessions of (\d+) rows", step)
    if session:
        return [int(session[1]), 5 * int(session[1])]
    try:
        seconds = pd.Timedelta(step).total_seconds() if ":" in step else 0.0
    except ValueError:
        seconds = 0.0
    divides_a_day = 60 <= seconds < DAY and DAY % seconds == 0
    return [int(DAY / seconds), int(7 * DAY / seconds)] if divides_a_day else []


def split_fields(result: Inspection, columns: Columns, split: str) -> Fields:
    """Fields of the configuration for a column of splits, whose rows become statistics."""
    names = Counter(SPLIT_ALIASES[cell.lower()] for cell in columns.cells(split))
    result.statistics |= {f"{name} rows": count for name, count in names.items()}
    return {"split": split} | ({} if names["test"] else {"test": 0})


def split_rows(columns: Columns, split: str | None, rows: np.ndarray) -> tuple[int, int]:
    """Rows of one series for training and for validation.

    Args:
        split: column of the splits; None: 70 and 10 % of the rows.
        rows: of the series.
    """
    if split is None:
        train, validation = int(len(rows) * 0.7 + 1e-9), int(len(rows) * 0.8 + 1e-9)
        return train, validation - train
    cells = columns.cells(split)
    names = Counter(SPLIT_ALIASES[cells[row].lower()] for row in rows.tolist())
    if not names["train"]:  # The whole series is held out: its window and its horizon come from it too.
        return len(rows) // 2, len(rows) // 2
    held_out = names["validation"]
    if not any(SPLIT_ALIASES[cell.lower()] == "validation" for cell in cells):
        held_out = int(names["train"] * DEFAULT_FRACTIONS[0])
        names["train"] -= held_out
    return names["train"], held_out or names["train"]


def sizes_of_series(
    result: Inspection, rows: Sequence[tuple[int, int]], step: str, choices: Fields, may_drop: bool = True
) -> Fields:
    """Window, horizon and seasons that all series have room for; or, where a few are much shorter than the others, that
    the others have room for, and short ones are left out.

    Args:
        rows: of each series, for training and for validation.
        may_drop: whether series may be left out.
    """
    order = sorted(rows)
    sizes = _sizes(*order[0], step)
    if {"window", "horizon", "short_series"} & set(choices) or not may_drop:
        return sizes
    few = len(order) // 3
    usual = _sizes(*order[few], step)
    short = sum(train < usual["window"] + usual["horizon"] or validation < usual["horizon"]
                for train, validation in order)  # fmt: skip
    if usual["window"] < 2 * sizes["window"] or not 0 < short <= few:
        return sizes
    result.warnings.append(f"{short} of {len(order)} series have too few rows for window={usual['window']} and are "
                           f"left out (short_series: drop); window={sizes['window']} horizon={sizes['horizon']} has "
                           "room in all of them")  # fmt: skip
    return {**usual, "short_series": "drop"}


def _sizes(train: int, validation: int, step: str) -> Fields:
    """Window, horizon and seasons that a series has room for, given its rows for training and for validation."""
    fitting = [season for season in seasons(step) if 2 * season < train]
    wanted = fitting[0] if fitting and fitting[0] <= 192 else 24
    horizon = max(1, min(wanted, validation, train // 4))
    window = max(1, min(max(4 * horizon, 96), train // 2, train - horizon))
    sizes: Fields = {"window": window, "horizon": horizon}
    windows = train - window - horizon + 1
    return sizes | ({"seasons": fitting} if fitting else {}) | ({"batch_size": 128} if windows > 5000 else {})
