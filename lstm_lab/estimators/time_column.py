"""The times of a DataFrame as a column."""

from __future__ import annotations

from collections.abc import Sequence

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
