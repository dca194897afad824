"""Columns of Parquet, JSON and CSV files, and of DataFrames, as Python values: numbers, texts and lists."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lstm_lab.config import DataError
from lstm_lab.data.readers.csv_format import CSVFormat
from lstm_lab.data.readers.csv_rows import parse_csv
from lstm_lab.data.readers.json_rows import json_objects
from lstm_lab.data.readers.parquet_rows import parquet_columns
from lstm_lab.data.readers.table import COLUMNAR, TYPED, ending_of, list_names, read_text

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
    """The wanted columns of a Parquet, Feather, Arrow, JSON or CSV file.

    Raises:
        DataError: no such column, or no rows.
    """
    ending = ending_of(path)
    if ending in COLUMNAR:
        columns = parquet_columns(path, wanted)
        return ValueColumns(path, columns, range(1, len(next(iter(columns.values()))) + 1), "row")
    if ending in TYPED:
        unit, lines, objects = json_objects(path, wanted)
        return ValueColumns(path, {name: [row[name] for row in objects] for name in wanted}, lines, unit)
    table = parse_csv(read_text(path), path, list_format(path), wanted)
    return ValueColumns(path, {name: _values(cells) for name, cells in table.columns.items()}, table.lines, "line")


def list_format(path: Path) -> CSVFormat:
    """How a CSV with lists in its cells is written: what is between its columns is not what is within its cells."""
    return CSVFormat(separator="\t" if ending_of(path) == ".tsv" else ",")


def as_list(cell: str) -> list[object] | None:
    """The list that a cell of a CSV has: of JSON, of Python, of NumPy, or numbers between blanks, |, ; or commas; None
    where it has none.

    >>> as_list("[1.5, 2]"), as_list("['on', 'off']"), as_list("[ 0.5\\n 1. ]"), as_list("1|2|3"), as_list("good film")
    ([1.5, 2], ['on', 'off'], [0.5, 1.0], [1.0, 2.0, 3.0], None)
    """
    text = cell.strip()
    if text[:1] in ("[", "("):
        for parse in (json.loads, ast.literal_eval):
            try:
                found = parse(text)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            return [*found] if isinstance(found, list | tuple) else None
    inside = text[1:-1].strip() if text[:1] == "[" and text[-1:] == "]" else text
    parts = re.split(r"\s*[;|,]\s*|\s+", inside)
    numbers = [float(part) for part in parts if _NUMBER.fullmatch(part)]
    return [*numbers] if len(numbers) == len(parts) > 1 else None


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan", re.IGNORECASE)


def _values(cells: list[str]) -> list[object]:
    """Lists where all cells have one, numbers where all are such, else the texts."""
    lists = [as_list(cell) for cell in cells]
    if all(found is not None for found in lists):
        return [*lists]
    if all(_NUMBER.fullmatch(cell) for cell in cells):
        return [int(cell) if cell.lstrip("+-").isdecimal() else float(cell) for cell in cells]
    return [*cells]


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
