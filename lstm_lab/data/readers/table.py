"""A text file becomes named columns of text, then of numbers. A fault names the line, the column and the way out."""

from __future__ import annotations

import csv
import difflib
import io
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lstm_lab.config import DataError


def find_file(path: str) -> Path:
    """The file, from the current folder or else below LSTM_LAB_DATA."""
    root = os.environ.get("LSTM_LAB_DATA")
    places = [Path(path)] if not root or Path(path).is_absolute() else [Path(path), Path(root, path)]
    for place in places:
        if place.is_file():
            return place
    if any(place.exists() for place in places):
        raise DataError(f"{path}: is a folder or a device: name a CSV file by data.path")
    folders = [place.parent for place in places if os.access(place.parent, os.R_OK | os.X_OK)]
    near = [
        f"; did you mean '{folder / name}'?"
        for folder in folders
        for name in difflib.get_close_matches(Path(path).name, os.listdir(folder), n=1)
    ]
    where = f", neither from here nor below LSTM_LAB_DATA={root}" if len(places) > 1 else ""
    raise DataError(f"{path}: no such file{where}{near[0] if near else ': set data.path'}")


_UTF16 = "UTF-16 text: save it as UTF-8 (Excel calls it 'CSV UTF-8')"
_EXCEL = "a zip archive or an Excel sheet: unpack it, or save the sheet as 'CSV UTF-8'"
_STARTS = {b"\xff\xfe": _UTF16, b"\xfe\xff": _UTF16, b"PK\x03\x04": _EXCEL, b"PAR1": "Parquet: save it as CSV"}


def read_text(place: Path, kind: str = "CSV text", needs: str = "a header and one row for each step") -> str:
    """The whole file, which must be UTF-8 and not empty."""
    try:
        content = place.read_bytes()
    except OSError as error:
        raise DataError(f"{place}: cannot be read ({error.strerror}): check its permissions") from None
    for start, what in _STARTS.items():
        if content.startswith(start):
            raise DataError(f"{place}: not {kind} but {what}")
    try:
        text = content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line, value = len(re.findall(rb"\r\n?|\n", content[: error.start])) + 1, content[error.start]
        raise DataError(f"{place}: line {line}: not UTF-8 text (byte {error.start} is 0x{value:02x}, {chr(value)!r} in "
                        "Latin-1): save the file as UTF-8") from None  # fmt: skip
    if not text.strip():
        raise DataError(f"{place}: is empty: it needs {needs}")
    return text


class Table(NamedTuple):
    """The wanted columns as text, and the line, counted from 1, on which each row begins."""

    place: Path
    columns: dict[str, list[str]]
    lines: list[int]

    def at(self, rows: np.ndarray) -> Table:
        """Some of the rows."""
        picked = rows.tolist()
        columns = {name: [cells[row] for row in picked] for name, cells in self.columns.items()}
        return type(self)(self.place, columns, [self.lines[row] for row in picked])

    def fault(self, row: int, column: str, text: str) -> DataError:
        return DataError(f"{self.place}: line {self.lines[row]}, column {column!r}: {text}")


def read_table(text: str, place: Path, separator: str, wanted: Sequence[str]) -> Table:
    """Rows of equal length below a header that has every wanted column once. Blank rows are passed over."""
    # Python's reader, not pandas': it knows the line of every row, hides no ragged one, and is fast enough.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    header: list[str] = []
    rows, lines, line = [], [], 1
    try:
        for row in reader:
            if not any(row):
                pass
            elif not header:
                header = [name.strip() for name in row]
                picked = _positions(header, wanted, f"{place}: line {line}", separator)
            elif len(row) != len(header):
                last = header[min(len(row), len(header)) - 1]
                raise DataError(f"{place}: line {line}, column {last!r}: the row has {len(row)} fields, but the header "
                                f"{len(header)}: mend it, or quote what holds a {separator!r}")  # fmt: skip
            else:
                rows.append([row[i] for i in picked])
                lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{place}: line {line}: quotes do not close ({error}): mend them") from None
    if not rows:
        raise DataError(f"{place}: has a header but no rows: write them below it")
    cells = ([*map(str.strip, column)] for column in zip(*rows, strict=True))
    return Table(place, dict(zip(wanted, cells, strict=True)), lines)


def _positions(header: list[str], wanted: Sequence[str], where: str, separator: str) -> list[int]:
    for name in wanted:
        count = header.count(name.strip())
        if count > 1:
            raise DataError(f"{where}: {count} columns are named {name!r}: rename all but one")
        if count == 0:
            near = difflib.get_close_matches(name.lower(), [other.lower() for other in header], n=1)
            mark = next((mark for mark in ";\t,|" if mark != separator and mark in header[0]), None)
            if len(header) == 1 and mark:
                hint = f"the header holds {mark!r}: set data.separator={mark!r}"
            elif near:
                hint = f"did you mean {next(other for other in header if other.lower() == near[0])!r}?"
            else:
                hint = f"the header names {', '.join(map(repr, header[:12]))}{', ...' if len(header) > 12 else ''}"
            raise DataError(f"{where}: no column {name!r}; {hint}")
    return [header.index(name.strip()) for name in wanted]


def floats(cells: list[str], decimal: str) -> np.ndarray:
    """NaN for what is no number."""
    if decimal == ",":  # A point is then no decimal mark: 1.500 may well mean 1500.
        cells = [cell.translate({ord(","): ".", ord("."): ","}) for cell in cells]

    def number(cell: str) -> float:
        try:
            return math.nan if "_" in cell else float(cell)  # Python alone takes 1_000 for a number.
        except ValueError:
            return math.nan

    return np.fromiter(map(number, cells), float, len(cells))


_NOTHING = re.compile(r"([+-]?(nan?|n/a|null|none))?", re.IGNORECASE)


def read_numbers(table: Table, columns: Sequence[str], decimal: str, gaps: bool = False) -> np.ndarray:
    """(N, C) float64, all finite; with `gaps`, NaN where a cell is empty or says that there is nothing."""
    values = np.stack([floats(table.columns[column], decimal) for column in columns], axis=1)
    faulty = np.argwhere(~np.isfinite(values))
    if gaps:
        blank = [not _NOTHING.fullmatch(table.columns[columns[column]][row]) for row, column in faulty]
        faulty = faulty[np.array(blank, bool)]
    if not len(faulty):
        return values
    row, column = int(faulty[0, 0]), columns[faulty[0, 1]]
    cell = table.columns[column][row]
    what, way = f"{show(cell)} is not a number", f"write it like 1234{decimal}5"
    if not cell:
        what, way = "the cell is empty", "fill it in"
    elif np.isinf(values[tuple(faulty[0])]) or _NOTHING.fullmatch(cell):
        what, way = f"{show(cell)} is not a finite number", "fill it in"
    elif decimal == "." and re.fullmatch(r"[+-]?[\d.]*,\d+", cell):
        way = "if the comma is the decimal mark, set data.decimal=','"
    raise table.fault(row, column, f"{what} ({len(faulty)} such in all): {way}")


def fill_forward(table: Table, columns: Sequence[str], values: np.ndarray) -> np.ndarray:
    """(N, C) with the last value known in place of each NaN: nothing from a later row."""
    there = ~np.isnan(values)
    if not there[0].all():
        raise table.fault(0, columns[int(np.argmin(there[0]))], "the cell is empty, and no value came before it to "
                          "fill in: begin the series with a row that has all values")  # fmt: skip
    last = np.maximum.accumulate(np.where(there, np.arange(len(values))[:, None], 0))
    return np.take_along_axis(values, last, 0)


def show(cell: str) -> str:
    """A cell as messages show it: quoted, and cut to 40 characters."""
    return repr(cell if len(cell) <= 40 else cell[:37] + "...")
