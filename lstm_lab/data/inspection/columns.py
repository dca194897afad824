"""What the columns of a table are, and which data set reads it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path

import numpy as np

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.inspection.csv_guess import describe_format, guess_format
from lstm_lab.data.inspection.csv_marks import guess_marks
from lstm_lab.data.inspection.languages import without_spaces
from lstm_lab.data.inspection.result import Column, Fields
from lstm_lab.data.preprocessing.splits import SPLIT_ALIASES
from lstm_lab.data.readers.cells import CellTypes
from lstm_lab.data.readers.csv_format import CSVFormat
from lstm_lab.data.readers.csv_rows import parse_csv
from lstm_lab.data.readers.formats import read_rows, table_names
from lstm_lab.data.readers.locate import find_file
from lstm_lab.data.readers.one_hot import NO_WORD
from lstm_lab.data.readers.table import (
    MISSING,
    TYPED,
    Table,
    ending_of,
    list_names,
    parse_floats,
    read_text,
)
from lstm_lab.data.readers.timeline import read_times

TIME_NAMES = ("time", "date", "datetime", "timestamp", "ds", "t", "day", "month", "year", "step")
ID_NAMES = ("id", "unique_id", "series", "series_id", "item_id", "sequence", "recording", "case", "sensor")
INDEX_NAMES = re.compile(r"unnamed: ?\d+|__index_level_\d+__|level_\d+|index|row|row_?(id|number)", re.IGNORECASE)
ID_ENDING = re.compile(r".+[ _.\-](?i:id|nr|no)|.*[a-z](Id|ID|Nr)")
"""Matches other names of ids: stay_id, StayId, Kunden-Nr."""
GROUP_NAMES = ("group", "subject", "patient", "person", "user", "participant", "speaker", "author", "rider", "driver")
"""Names of columns of those that several sequences are of, in lower case, also with id behind them."""
LABEL_NAMES = ("label", "class", "category", "sentiment", "activity", "kind", "intent", "topic", "target", "y")
MORE_LABEL_NAMES = (
    "outcome", "diagnosis", "gesture", "fault", "species", "emotion", "genre", "disease", "condition", "status",
    "result", "rating", "stars", "polarity",
    "klasse", "etikett", "kategorie", "classe", "etiquette", "clase", "etiqueta", "标签", "类别",
)  # fmt: skip
"""Names that columns of classes have too, in lower case."""
TARGET_NAMES = ("y", "target", "value", "OT")
TABLES = ("csv", "csv_text", "csv_text_pairs", "csv_events", "csv_sequences", "csv_wide", "csv_wide_series")
"""Data sets that read a table."""


@dataclass(frozen=True)
class Columns:
    """All columns of a table, as text."""

    path: str
    table: Table
    format: CSVFormat = field(default_factory=CSVFormat)
    remarks: tuple[str, ...] = ()
    """What to know of how the file is written."""

    @property
    def names(self) -> list[str]:
        return list(self.table.columns)

    @property
    def marks(self) -> Fields:
        """Fields of a configuration for the format, where they are not the default."""
        return {
            option.name: list(value) if isinstance(value, tuple) else value
            for option in fields(CSVFormat)
            if (value := vars(self.format)[option.name]) != option.default
        }

    def cells(self, name: str) -> list[str]:
        return self.table.columns[name]

    def plain(self, name: str) -> list[str]:
        """The cells of a column, numbers written plainly."""
        return self.format.plain_cells(self.table.columns[name])

    @cached_property
    def numbers(self) -> dict[str, np.ndarray]:
        """Columns (N,) of numbers; NaN where a cell is empty."""
        found = {}
        for name in self.table.columns:
            cells = self.plain(name)
            values = parse_floats(cells, self.format.decimal)
            others = np.flatnonzero(~np.isfinite(values))
            if len(others) < len(cells) and all(MISSING.fullmatch(cells[row]) for row in others):
                found[name] = values
        return found

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Column -> number, time, category, text or empty."""
        return {name: self._kind(name) for name in self.names}

    def _kind(self, name: str) -> str:
        cells = [cell for cell in self.cells(name) if not NO_WORD.fullmatch(cell)]
        if all(MISSING.fullmatch(cell) for cell in cells):
            return "empty"
        if name in self.numbers and not all(re.fullmatch(r"(19|20)\d{6}", cell) for cell in cells):
            return "number"
        if any(char.isdigit() for char in cells[0]) and len(cells[0]) < 40 and self._are_dates(name):
            return "time"
        if without_spaces(cells) and np.mean([len(cell) for cell in cells]) >= 8:
            return "text"
        words = [len(cell.split()) for cell in cells]
        return "text" if np.mean(words) > 2.5 or len(max(cells, key=len)) > 60 else "category"

    def _are_dates(self, name: str) -> bool:
        try:
            return read_times(self.table, name, self.format.decimal).local is not None
        except DataError:
            return False

    def of_kind(self, *kinds: str) -> list[str]:
        """Names of the columns of these kinds."""
        return [name for name, kind in self.kinds.items() if kind in kinds]

    def first_named(self, wanted: tuple[str, ...], columns: list[str]) -> str | None:
        """The first of the columns with one of the wanted names, whatever their case."""
        lower = {name.lower(): name for name in reversed(columns)}
        return next((lower[name.lower()] for name in wanted if name.lower() in lower), None)

    def ids(self, columns: Iterable[str]) -> list[str]:
        """Those of the columns whose names say that they are ids, the most usual names first."""
        named = [name for name in columns if name.lower() in ID_NAMES or ID_ENDING.fullmatch(name)]
        return sorted(named, key=lambda name: name.lower() not in ID_NAMES)

    def groups(self, columns: Iterable[str]) -> list[str]:
        """Those of the columns whose names say that they are persons or the like."""
        return [name for name in columns if re.sub(r"[ _.\-]?id$", "", name.lower()) in GROUP_NAMES]

    def check(self, key: str, names: str | Iterable[str] | None) -> None:
        """Raise ConfigError where the table lacks a column that a field names."""
        if not isinstance(names, str | list | tuple | None):
            raise ConfigError(f"{key}={names}: must be the name of a column; there are {list_names(self.names)}")
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
        if not self.format.header and not categories:  # Numbers have no name that would tell.
            categories = few
        fewest = min(categories, key=lambda name: len(set(self.cells(name))), default=None)
        return self.first_named((*LABEL_NAMES, *MORE_LABEL_NAMES), few) or fewest

    def is_index(self, name: str) -> bool:
        """Whether a column counts rows under a name that pandas gives to an index, and is no measurement."""
        values = self.numbers.get(name)
        return (
            values is not None
            and INDEX_NAMES.fullmatch(name) is not None
            and len(values) > 1
            and bool((np.diff(values) > 0).all() and (values % 1 == 0).all())
        )

    def is_constant(self, name: str, id_: str) -> bool:
        """Whether a column is the same in all rows of each value of column `id_`."""
        return len(set(zip(self.cells(id_), self.cells(name), strict=True))) == len(set(self.cells(id_)))

    def data_kind(self, choices: Fields) -> str:
        """Name of the data set that reads the table, or why there is none."""
        if "name" in choices:
            name = str(choices["name"])
            if name not in TABLES:
                raise ConfigError(f"name={name}: must be one of {', '.join(TABLES)}")
            return name
        if "text" in choices or (not {"time", "targets", "channels"} & set(choices) and self.of_kind("text")):
            return "csv_text"
        if {"channels", "target", "label"} & set(choices) or self.sequence_columns() or self.value_columns():
            return "csv_sequences"
        if not self.of_kind("number"):
            return "has neither numbers nor texts of several words: set the columns by name=csv_text text=... label=..."
        return "csv"

    def sequence_columns(self) -> tuple[str, str] | None:
        """Columns of the sequence and of its class, where each sequence has one class."""
        names = {*LABEL_NAMES, *MORE_LABEL_NAMES}
        named = [name for name in self.names if name.lower() in names and name not in self.of_kind("time", "text")]
        for label in named:
            for id_ in self.ids(name for name in self.names if name != label):
                ids, classes = len(set(self.cells(id_))), len(set(self.cells(label)))
                if self.is_constant(label, id_) and 2 <= classes <= ids / 2 and ids < len(self.table.lines) / 2:
                    return id_, label
        return None

    def value_columns(self) -> tuple[str, str] | None:
        """Columns of the sequence and of its value to predict, where each sequence has one value of its own."""
        numbers = self.of_kind("number")
        named = [name for name in numbers if name.lower() in {*LABEL_NAMES, *map(str.lower, TARGET_NAMES)}]
        for value in named:
            for id_ in self.ids(name for name in self.names if name != value):
                ids, values = len(set(self.cells(id_))), len(set(self.cells(value)))
                others = [name for name in numbers if name not in (value, id_) and name.lower() not in TIME_NAMES]
                varies = any(not self.is_constant(name, id_) for name in others)
                if (
                    self.is_constant(value, id_)
                    and varies
                    and max(3, ids / 2) < values
                    and 2 * ids < len(self.table.lines)
                ):
                    return id_, value
        return None

    def describe(self, used: dict[str, str]) -> list[Column]:
        """All columns.

        Args:
            used: column -> what the experiment uses it for.
        """
        return [self._describe(name, used.get(name, "not used")) for name in self.names]

    def _describe(self, name: str, used: str) -> Column:
        cells, kind = self.cells(name), self.kinds[name]
        no_value = MISSING if kind in ("number", "empty") else NO_WORD
        present = [cell for cell in cells if not no_value.fullmatch(cell)]
        low = high = ""
        if kind == "number":
            values = self.numbers[name]
            low, high = (
                repr(float(extreme)) if extreme % 1 else f"{extreme:.0f}"
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
        choices: may set fields of the format.

    Raises:
        DataError: it cannot be read.
    """
    file = find_file(path)
    if ending_of(file) in TYPED:
        names = table_names(file, CSVFormat())
        return Columns(path, read_rows(file, names, cells=CellTypes(times=True, lists=tuple(names))))
    text = read_text(file)
    table, format = _parsed(text, file, choices)
    format = guess_marks(table, format, choices)
    first = next(iter(line for line in text.splitlines()[format.above :] if line.strip()), "")
    return Columns(path, table, format, tuple(describe_format(table, format, first)))


def _parsed(text: str, file: Path, choices: Fields) -> tuple[Table, CSVFormat]:
    """The table and its format: with a backslash before quotes, or between tabs with quotes that enclose no fields,
    where it cannot be read otherwise."""
    tabs = "\t" in text.split("\n", 1)[0]
    ways: list[Fields] = [{}]
    if not {"quoting", "escapechar"} & set(choices):
        ways += [{"escapechar": "\\"}] if '\\"' in text else []
        ways += [{"quoting": False}] if tabs else []
    errors = []
    for way in ways:
        try:
            format = guess_format(file, text, {**choices, **way})
            table = parse_csv(text, file, format)
        except DataError as error:
            errors.append(error)
            continue
        if way is not ways[-1] and tabs and _swallows_rows(table):
            continue
        return table, format
    raise errors[0]


def _swallows_rows(table: Table) -> bool:
    """Whether a quotation mark at the start of a cell has taken the rows up to the next one into the cell."""
    return any("\t" in cell and "\n" in cell for cells in table.columns.values() for cell in cells)
