"""What the columns of a table are, and which reader they want."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.inspection.look import Column
from lstm_lab.data.readers.table import Table, find_file, floats, read_table, read_text, show
from lstm_lab.data.readers.text_files import parquet_names, read_rows
from lstm_lab.data.readers.timeline import read_times
from lstm_lab.data.sources.csv_series import TYPED
from lstm_lab.data.sources.own_text import NAMES

NOTHING = re.compile(r"([+-]?(nan?|n/a|null|none))?", re.IGNORECASE)
TIMES = ("time", "date", "datetime", "timestamp", "ds", "t", "day", "month", "year", "step")
IDS = ("id", "unique_id", "series", "series_id", "item_id", "sequence", "recording", "case", "sensor")
LABELS = ("label", "class", "category", "sentiment", "activity", "kind", "intent", "topic", "target", "y")
TARGETS = ("y", "target", "value", "OT")
SPLITS = ("split", "part", "fold", "set")


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

    def cells(self, name: str) -> list[str]:
        return self.table.columns[name]

    @cached_property
    def numbers(self) -> dict[str, np.ndarray]:
        """Columns (N,) of numbers, NaN where a cell is empty."""
        found = {}
        for name, cells in self.table.columns.items():
            values = floats(cells, self.decimal)
            odd = np.flatnonzero(~np.isfinite(values))
            if len(odd) < len(cells) and all(NOTHING.fullmatch(cells[row]) for row in odd):
                found[name] = values
        return found

    @cached_property
    def kinds(self) -> dict[str, str]:
        """number, time, category, text or empty."""
        return {name: self._kind(name) for name in self.names}

    def _kind(self, name: str) -> str:
        cells = [cell for cell in self.cells(name) if not NOTHING.fullmatch(cell)]
        if not cells:
            return "empty"
        if name in self.numbers and not all(re.fullmatch(r"(19|20)\d{6}", cell) for cell in cells):
            return "number"
        if any(char.isdigit() for char in cells[0]) and len(cells[0]) < 40 and self._are_times(name):
            return "time"
        words = [len(cell.split()) for cell in cells]
        return "text" if np.mean(words) > 2.5 or len(max(cells, key=len)) > 60 else "category"

    def _are_times(self, name: str) -> bool:
        try:
            return read_times(self.table, name, self.decimal).wall is not None
        except DataError:
            return False

    def of_kind(self, *kinds: str) -> list[str]:
        """Names of the columns of these kinds."""
        return [name for name, kind in self.kinds.items() if kind in kinds]

    def called(self, wanted: tuple[str, ...], among: list[str]) -> str | None:
        """The first column with one of the wanted names."""
        lower = {name.lower(): name for name in reversed(among)}
        return next((lower[name.lower()] for name in wanted if name.lower() in lower), None)

    def check(self, key: str, names: Any) -> None:
        for name in [names] if isinstance(names, str) else names or ():
            if name not in self.names:
                raise ConfigError(f"{key}={name}: {self.path} has no such column; it has "
                                  f"{', '.join(map(repr, self.names[:12]))}")  # fmt: skip

    def split(self) -> str | None:
        """A column that names train and test parts."""
        for name in self.of_kind("category"):
            parts = {cell.lower() for cell in self.cells(name)}
            if parts <= set(NAMES) and {"train"} < {NAMES[part] for part in parts}:
                return name
        return None

    def classes(self, among: list[str]) -> str | None:
        """The column of classes: by its name, else the one with the fewest."""
        rows = len(self.table.lines)
        few = [name for name in among if 2 <= len(set(self.cells(name))) <= max(2, min(200, rows // 2))]
        named = self.called(LABELS, few)
        words = [name for name in few if self.kinds[name] == "category"]
        return named or min(words, key=lambda name: len(set(self.cells(name))), default=None)

    def steady(self, name: str, key: str) -> bool:
        """Whether `name` is the same in all rows of each `key`."""
        return len(set(zip(self.cells(key), self.cells(name), strict=True))) == len(set(self.cells(key)))

    def kind(self, choices: Mapping[str, Any]) -> str:
        """Name of the reader, or why there is none."""
        if "name" in choices:
            name = choices["name"]
            if name not in ("csv", "csv_text", "csv_sequences"):
                raise ConfigError(f"name={name}: must be csv, csv_text or csv_sequences")
            return name
        if "text" in choices or (not {"time", "targets", "channels"} & set(choices) and self.of_kind("text")):
            return "csv_text"
        numbers = self.of_kind("number")
        if "channels" in choices or self.sequences():
            return "csv_sequences"
        if not numbers:
            return "holds neither numbers nor texts of several words: name=csv_text text=COLUMN label=COLUMN says which"
        return "csv"

    def sequences(self) -> tuple[str, str] | None:
        """Columns of the sequence and of its class, where each sequence has one."""
        named = [name for name in self.names if name.lower() in LABELS and name not in self.of_kind("time", "text")]
        for label in named:
            for key in (name for name in self.names if name != label and name.lower() in IDS):
                ids, classes = len(set(self.cells(key))), len(set(self.cells(label)))
                if self.steady(label, key) and 2 <= classes <= ids / 2 and ids < len(self.table.lines) / 2:
                    return key, label
        return None

    def described(self, used: dict[str, str]) -> list[Column]:
        return [self._described(name, used.get(name, "not read")) for name in self.names]

    def _described(self, name: str, used: str) -> Column:
        cells, kind = self.cells(name), self.kinds[name]
        there = [cell for cell in cells if not NOTHING.fullmatch(cell)]
        least = most = ""
        if kind == "number":
            values = self.numbers[name]
            least, most = f"{np.nanmin(values):g}", f"{np.nanmax(values):g}"
        elif kind == "time":
            least, most = there[0], there[-1]
        elif there:
            least, most = _short(there[0]), _short(Counter(there).most_common(1)[0][0])
        return Column(name, kind, len(cells) - len(there), len(set(there)), least, most, used)


def _short(cell: str) -> str:
    return cell if len(cell) <= 32 else cell[:29] + "..."


def read_columns(path: str, choices: Mapping[str, Any]) -> Columns:
    """All columns of a table file.

    Raises:
        DataError: it cannot be read; the line says why.
    """
    place = find_file(path)
    ending = place.suffix.lower()
    if ending == ".parquet":
        return Columns(path, read_rows(place, parquet_names(place), numbers=True), ",", ".")
    if ending in TYPED:
        return Columns(path, read_rows(place, _fields(place), numbers=True), ",", ".")
    text = read_text(place)
    head = next(line for line in text.splitlines() if line.strip())
    separator = choices.get("separator") or max(",;\t|", key=head.count)
    separator = "\t" if separator == r"\t" else separator
    names = [name.strip() for name in next(csv.reader([head], delimiter=separator, skipinitialspace=True))]
    if floats([name for name in names if name] or [""], ".").size and np.isfinite(floats(names, ".")).all():
        raise DataError(f"{place}: line 1: {show(head)} holds numbers alone: write a header with the columns' names")
    table = read_table(text, place, separator, [name for name in dict.fromkeys(names) if name])
    decimal = choices.get("decimal") or "."
    if "decimal" not in choices and separator != ",":
        body = [cell for cells in table.columns.values() for cell in cells[:50]]
        commas = sum(bool(re.fullmatch(r"[+-]?\d+,\d+", cell)) for cell in body)
        decimal = "," if commas > sum(bool(re.fullmatch(r"[+-]?\d+\.\d+", cell)) for cell in body) else "."
    return Columns(path, table, separator, decimal)


def _fields(place: Path) -> list[str]:
    """Of the first object of a JSONL file."""
    import json

    for line in read_text(place, "JSON text", "one object a line").split("\n"):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError:
                return [""]  # The reader says what is wrong, and where.
            return list(row) if isinstance(row, dict) and row else [""]
    return [""]
