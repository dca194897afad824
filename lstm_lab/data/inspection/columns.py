"""What the columns of a table are, and which data set reads it."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.inspection.result import Column, Fields
from lstm_lab.data.preprocessing.splits import SPLIT_ALIASES
from lstm_lab.data.readers.columns import check_separator
from lstm_lab.data.readers.formats import TYPED, parquet_names, read_rows
from lstm_lab.data.readers.locate import find_file
from lstm_lab.data.readers.table import (
    MISSING,
    Table,
    csv_error,
    grouped_cell,
    list_names,
    parse_csv,
    parse_floats,
    quoted,
    read_text,
)
from lstm_lab.data.readers.timeline import read_times

TIME_NAMES = ("time", "date", "datetime", "timestamp", "ds", "t", "day", "month", "year", "step")
ID_NAMES = ("id", "unique_id", "series", "series_id", "item_id", "sequence", "recording", "case", "sensor")
LABEL_NAMES = ("label", "class", "category", "sentiment", "activity", "kind", "intent", "topic", "target", "y")
TARGET_NAMES = ("y", "target", "value", "OT")


@dataclass(frozen=True)
class Columns:
    """All columns of a table, as text."""

    path: str
    table: Table
    separator: str
    decimal: str

    @property
    def names(self) -> list[str]:
        return list(self.table.columns)

    @property
    def marks(self) -> dict[str, str]:
        """Separator and decimal mark as fields of a configuration, where they are not the default."""
        marks = {"separator": self.separator} if self.separator != "," else {}
        return marks | ({"decimal": self.decimal} if self.decimal != "." else {})

    def cells(self, name: str) -> list[str]:
        return self.table.columns[name]

    @cached_property
    def numbers(self) -> dict[str, np.ndarray]:
        """Columns (N,) of numbers; NaN where a cell is empty."""
        found = {}
        for name, cells in self.table.columns.items():
            values = parse_floats(cells, self.decimal)
            others = np.flatnonzero(~np.isfinite(values))
            if len(others) < len(cells) and all(MISSING.fullmatch(cells[row]) for row in others):
                found[name] = values
        return found

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Column -> number, time, category, text or empty."""
        return {name: self._kind(name) for name in self.names}

    def _kind(self, name: str) -> str:
        cells = [cell for cell in self.cells(name) if not MISSING.fullmatch(cell)]
        if not cells:
            return "empty"
        if name in self.numbers and not all(re.fullmatch(r"(19|20)\d{6}", cell) for cell in cells):
            return "number"
        if any(char.isdigit() for char in cells[0]) and len(cells[0]) < 40 and self._are_dates(name):
            return "time"
        words = [len(cell.split()) for cell in cells]
        return "text" if np.mean(words) > 2.5 or len(max(cells, key=len)) > 60 else "category"

    def _are_dates(self, name: str) -> bool:
        try:
            return read_times(self.table, name, self.decimal).local is not None
        except DataError:
            return False

    def of_kind(self, *kinds: str) -> list[str]:
        """Names of the columns of these kinds."""
        return [name for name, kind in self.kinds.items() if kind in kinds]

    def first_named(self, wanted: tuple[str, ...], columns: list[str]) -> str | None:
        """The first of the columns with one of the wanted names, whatever their case."""
        lower = {name.lower(): name for name in reversed(columns)}
        return next((lower[name.lower()] for name in wanted if name.lower() in lower), None)

    def check(self, key: str, names: str | Iterable[str] | None) -> None:
        """Raise ConfigError where the table lacks a column that a field names."""
        for name in [names] if isinstance(names, str) else names or ():
            if name not in self.names:
                raise ConfigError(f"{key}={name}: {self.path} has no such column; it has {list_names(self.names)}")

    def split_column(self) -> str | None:
        """A column that names train and other splits."""
        for name in self.of_kind("category"):
            cells = {cell.lower() for cell in self.cells(name)}
            if cells <= set(SPLIT_ALIASES) and {"train"} < {SPLIT_ALIASES[cell] for cell in cells}:
                return name
        return None

    def class_column(self, candidates: list[str]) -> str | None:
        """The column of classes: by its name, else the one with the fewest different values."""
        rows = len(self.table.lines)
        few = [name for name in candidates if 2 <= len(set(self.cells(name))) <= max(2, min(200, rows // 2))]
        categories = [name for name in few if self.kinds[name] == "category"]
        fewest = min(categories, key=lambda name: len(set(self.cells(name))), default=None)
        return self.first_named(LABEL_NAMES, few) or fewest

    def is_constant(self, name: str, id_: str) -> bool:
        """Whether a column is the same in all rows of each value of column `id_`."""
        return len(set(zip(self.cells(id_), self.cells(name), strict=True))) == len(set(self.cells(id_)))

    def data_kind(self, choices: Fields) -> str:
        """Name of the data set that reads the table, or why there is none."""
        if "name" in choices:
            name = str(choices["name"])
            if name not in ("csv", "csv_text", "csv_sequences"):
                raise ConfigError(f"name={name}: must be csv, csv_text or csv_sequences")
            return name
        if "text" in choices or (not {"time", "targets", "channels"} & set(choices) and self.of_kind("text")):
            return "csv_text"
        if "channels" in choices or self.sequence_columns():
            return "csv_sequences"
        if not self.of_kind("number"):
            return "has neither numbers nor texts of several words: set the columns by name=csv_text text=... label=..."
        return "csv"

    def sequence_columns(self) -> tuple[str, str] | None:
        """Columns of the sequence and of its class, where each sequence has one class."""
        named = [
            name for name in self.names if name.lower() in LABEL_NAMES and name not in self.of_kind("time", "text")
        ]
        for label in named:
            for id_ in (name for name in self.names if name != label and name.lower() in ID_NAMES):
                ids, classes = len(set(self.cells(id_))), len(set(self.cells(label)))
                if self.is_constant(label, id_) and 2 <= classes <= ids / 2 and ids < len(self.table.lines) / 2:
                    return id_, label
        return None

    def describe(self, used: dict[str, str]) -> list[Column]:
        """All columns.

        Args:
            used: column -> what the experiment uses it for.
        """
        return [self._describe(name, used.get(name, "not used")) for name in self.names]

    def _describe(self, name: str, used: str) -> Column:
        cells, kind = self.cells(name), self.kinds[name]
        present = [cell for cell in cells if not MISSING.fullmatch(cell)]
        low = high = ""
        if kind == "number":
            values = self.numbers[name]
            low, high = (
                f"{extreme:.17g}" if extreme % 1 else f"{extreme:.0f}"
                for extreme in (np.nanmin(values), np.nanmax(values))
            )
        elif kind == "time":
            low, high = present[0], present[-1]
        elif present:
            low, high = _shortened(present[0]), _shortened(Counter(present).most_common(1)[0][0])
        return Column(name, kind, len(cells) - len(present), len(set(present)), low, high, used)


def _shortened(cell: str) -> str:
    return cell if len(cell) <= 32 else cell[:29] + "..."


def read_columns(path: str, choices: Fields) -> Columns:
    """All columns of a table file.

    Args:
        choices: may set `separator` and `decimal`.

    Raises:
        DataError: it cannot be read.
    """
    file = find_file(path)
    ending = file.suffix.lower()
    if ending == ".parquet":
        return Columns(path, read_rows(file, parquet_names(file), numbers=True), ",", ".")
    if ending in TYPED:
        return Columns(path, read_rows(file, _fields(file), numbers=True), ",", ".")
    text = read_text(file)
    head = next(line for line in text.splitlines() if line.strip())
    chosen = {key: _mark(path, choices, key) for key in ("separator", "decimal")}
    separator = chosen["separator"] or max(",;\t|", key=head.count)
    try:
        names = [name.strip() for name in next(csv.reader([head], delimiter=separator, skipinitialspace=True))]
    except csv.Error as error:
        raise csv_error(file, 1, error) from None
    if any(names) and np.isfinite(parse_floats([name for name in names if name], ".")).all():
        raise DataError(f"{file}: line 1: {quoted(head)} has only numbers: write a header with the columns' names")
    table = parse_csv(text, file, separator, [name for name in dict.fromkeys(names) if name])
    decimal = chosen["decimal"] or _decimal_mark(table, separator)
    return Columns(path, table, separator, decimal)


def _mark(path: str, choices: Fields, key: str) -> str | None:
    """A separator or decimal mark that was chosen."""
    mark = choices.get(key)
    if mark is None:
        return None
    if not isinstance(mark, str):
        raise ConfigError(f"{key}={mark}: must be a character")
    if key == "decimal" and mark not in (".", ","):
        raise ConfigError(f"decimal={mark}: must be '.' or ','")
    mark = "\t" if mark == r"\t" else mark
    if key == "separator":
        try:
            check_separator(path, mark, "")
        except ValueError as error:
            raise ConfigError(f"separator={mark}: {error}") from None
    return mark


def _decimal_mark(table: Table, separator: str) -> str:
    """The decimal mark of most numbers in the first rows."""
    if separator == ",":
        return "."
    cells = [cell for column in table.columns.values() for cell in column[:50]]
    commas = sum(bool(re.fullmatch(r"[+-]?\d+,\d+", cell)) for cell in cells)
    if commas <= sum(bool(re.fullmatch(r"[+-]?\d+\.\d+", cell)) for cell in cells):
        return "."
    _check_grouped(table)
    return ","


def _check_grouped(table: Table) -> None:
    """Raise DataError where the comma of every number may separate thousands."""
    grouped = {}
    for name, column in table.columns.items():
        numbers = [cell for cell in column if re.fullmatch(r"[+-]?\d+(,\d+)+", cell)]
        if numbers:
            grouped[name] = grouped_cell(numbers, ",")
    if None in grouped.values():  # The comma of a column is a decimal mark.
        return
    name, cell = next((name, cell) for name, cell in grouped.items() if cell)
    raise table.error(table.columns[name].index(cell), name, f"{quoted(cell)} may be {cell.replace(',', '')} or "
                      f"{cell.replace(',', '.')}, and no row decides which: write numbers without thousands "
                      "separators, or set decimal=',' if the comma is the decimal mark")  # fmt: skip


def _fields(file: Path) -> list[str]:
    """Of the first object of a JSONL file."""
    for line in read_text(file, "JSON text", "one object on each line").split("\n"):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                return [""]  # The reader reports what is wrong, and where.
            return list(row) if isinstance(row, dict) and row else [""]
    return [""]
