"""Times of a DataFrame, and those that follow them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from lstm_lab.config import DataError


def one_or_more(names: str | Sequence[str]) -> list[str]:
    """A name, or several, as a list."""
    return [names] if isinstance(names, str) else list(names)


def with_time_column(df: pd.DataFrame, time: str | None, name: str | None = None) -> tuple[pd.DataFrame, str]:
    """A copy with a column of times, and the name of that column.

    Args:
        time: the column; None: the index.
        name: what the index becomes as a column; None: its own name, or "time".

    Raises:
        DataError: not a DataFrame, or no such column.
    """
    if not isinstance(df, pd.DataFrame):
        raise DataError(f"df: {type(df).__name__} is not a DataFrame")
    table = df.rename(columns=str)
    if time is not None:
        if time not in table:
            raise DataError(f"df: no column {time!r}; it has {', '.join(table.columns)}")
        return table.reset_index(drop=True), time
    name = name or str(df.index.name or "time")
    return table.reset_index(names=name), name


Step = str | pd.Timedelta | float | None
"""From one row to the next: a pandas frequency or a duration for dates, a number, None for periods."""


def step_of(times: pd.Series) -> Step:
    """The step between rows.

    Args:
        times: of at least two rows: dates, text that is dates, periods, or numbers.

    >>> step_of(pd.Series(pd.to_datetime(["2024-01-31", "2024-02-29", "2024-03-31"])))
    'ME'
    """
    if isinstance(times.dtype, pd.PeriodDtype):
        return None
    if pd.api.types.is_numeric_dtype(times):
        return float(np.median(np.diff(times.to_numpy(np.float64))))
    dates = pd.DatetimeIndex(pd.to_datetime(times))
    found = pd.infer_freq(dates) if len(dates) > 2 else None
    return found or pd.Series(dates).diff().median()


def following(times: pd.Series, steps: int, step: Step) -> pd.Index[Any]:
    """The times of the rows that come next.

    Args:
        times: of the rows that there are.
        step: as `step_of` found it.

    >>> following(pd.Series(pd.to_datetime(["2024-02-29"])), 2, "ME").strftime("%d %b").tolist()
    ['31 Mar', '30 Apr']
    >>> following(pd.Series([1.0]), 2, 0.5).tolist()
    [1.5, 2.0]
    """
    last = times.iloc[-1]
    if step is None:
        periods: pd.Index[Any] = pd.period_range(last + 1, periods=steps)
        return periods
    if isinstance(step, float):
        ahead = last + step * np.arange(1, steps + 1)
        numbers: pd.Index[Any] = pd.Index(ahead.astype(times.dtype) if (ahead == ahead.round()).all() else ahead)
        return numbers
    dates: pd.DatetimeIndex = pd.date_range(pd.to_datetime(last), periods=steps + 1, freq=step)
    return dates[1:]
