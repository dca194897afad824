"""Columns of Parquet and JSON files, and of DataFrames, as Python values: numbers, texts and lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lstm_lab.config import DataError
from lstm_lab.data.readers.json_rows import json_objects
from lstm_lab.data.readers.parquet_rows import parquet_columns
from lstm_lab.data.readers.table import COLUMNAR, TYPED, ending_of, list_names

if TYPE_CHECKING:
    import pandas as pd


class ValueColumns(NamedTuple):
    """Columns of N values each."""

    path: Path
    columns: Mapping[str, list[object]]
    lines: Sequence[int]
    """(N,) number of the line or the row, from 1."""
    unit: str
    """What `lines` count, for messages."""

    def error(self, row: int, column: str, text: str) -> DataError:
        """An error whose message starts with file, line and column."""
        return DataError(f"{self.path}: {self.unit} {self.lines[row]}, column {column!r}: {text}")


def read_values(path: Path, wanted: Sequence[str]) -> ValueColumns:
    """The wanted columns of a Parquet, Feather, Arrow or JSON file.

    Raises:
        DataError: another kind of file, no such column, or no rows.
    """
    if ending_of(path) not in TYPED:
        raise DataError(f"{path}: lists in cells are read from Parquet and JSON files: {', '.join(TYPED)}")
    if ending_of(path) in COLUMNAR:
        columns = parquet_columns(path, wanted)
        return ValueColumns(path, columns, range(1, len(next(iter(columns.values()))) + 1), "row")
    unit, lines, objects = json_objects(path, wanted)
    return ValueColumns(path, {name: [row[name] for row in objects] for name in wanted}, lines, unit)


def frame_values(frame: pd.DataFrame, wanted: Sequence[str]) -> ValueColumns:
    """The wanted columns of a DataFrame.

    Raises:
        DataError: no such column, or no rows.
    """
    names = [str(name) for name in frame.columns]
    missing = next((name for name in wanted if name not in names), None)
    if missing is not None:
        raise DataError(f"DataFrame: no column {missing!r}; it has {list_names(names)}")
    if not len(frame):
        raise DataError("DataFrame: has no rows: provide some")
    columns = {name: frame.iloc[:, names.index(name)].tolist() for name in wanted}
    return ValueColumns(Path("DataFrame"), columns, range(1, len(frame) + 1), "row")
