"""Tables of text: named columns, each row with the line it came from. An error names the line, the column and a fix."""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lstm_lab.config import DataError

_UTF16 = "UTF-16 text: save it as UTF-8 (Excel calls it 'CSV UTF-8')"
_EXCEL = "a zip archive or an Excel sheet: unpack it, or save the sheet as 'CSV UTF-8'"
_NUMPY = (
    "a NumPy array: save it as X, with its targets as y, by numpy.savez('data.npz', X=X, y=y), and train it by "
    "data.name=arrays"
)
_SIGNATURES = {
    b"\xff\xfe": _UTF16,
    b"\xfe\xff": _UTF16,
    b"PK\x03\x04": _EXCEL,
    b"PK\x05\x06": _EXCEL,
    b"\xd0\xcf\x11\xe0": "an old Excel sheet: save the sheet as 'CSV UTF-8'",
    b"\x1f\x8b": "gzip: unpack it by gunzip",
    b"BZh": "bzip2: unpack it",
    b"\xfd7zXZ": "xz: unpack it",
    b"\x28\xb5\x2f\xfd": "zstd: unpack it",
    b"\x93NUMPY": _NUMPY,
    b"\x89HDF": "HDF5: save it as CSV or Parquet",
    b"PAR1": "Parquet: name it .parquet, or save it as CSV",
    b"ARROW1": "Arrow or Feather: save it as Parquet",
    b"SQLite format 3": "an SQLite database: save a table of it as CSV",
    b"%PDF": "PDF: save its text as UTF-8",
}
"""First bytes of a file -> what it is, and what to do."""
_JSON = re.compile(r"\s*(\[\s*[\[{]|\{\s*\")")
"""How JSON of rows or columns begins, and no header does."""


def read_text(path: Path, kind: str = "CSV text", needs: str = "a header and one row for each step") -> str:
    """The whole file, which must be UTF-8 and not empty.

    Args:
        kind: what it should be, for messages.
        needs: what it should hold, for messages.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}): check its permissions") from None
    for signature, found in _SIGNATURES.items():
        if content.startswith(signature):
            if path.suffix.lower() == ".npz":
                found = "arrays of NumPy: train them by data.name=arrays"
            raise DataError(f"{path}: not {kind} but {found}")
    try:
        text = content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line, value = len(re.findall(rb"\r\n?|\n", content[: error.start])) + 1, content[error.start]
        raise DataError(f"{path}: line {line}: not UTF-8 text (byte {error.start} is 0x{value:02x}, {chr(value)!r} in "
                        "Latin-1): save the file as UTF-8") from None  # fmt: skip
    if not text.strip():
        raise DataError(f"{path}: is empty: it needs {needs}")
    if kind.startswith("CSV") and _JSON.match(text):
        raise DataError(f"{path}: not {kind} but JSON: write one object on each line and name it .jsonl, as "
                        "DataFrame.to_json(path, orient='records', lines=True) does")  # fmt: skip
    return text


class Table(NamedTuple):
    """Columns of text, all of N rows."""

    path: Path
    columns: dict[str, list[str]]
    lines: list[int]
    """(N,) number of the line, from 1, on which each row starts; of a file without lines, of the row."""
    unit: str = "line"
    """What `lines` count, for messages: "line" or "row"."""
    typed: bool = False
    """Whether the source distinguishes numbers from texts."""

    def rows(self, index: np.ndarray) -> Table:
        """The rows at `index`."""
        picked = index.tolist()
        columns = {name: [cells[row] for row in picked] for name, cells in self.columns.items()}
        return self._replace(columns=columns, lines=[self.lines[row] for row in picked])

    def error(self, row: int, column: str, text: str) -> DataError:
        """An error whose message starts with file, line and column."""
        return DataError(f"{self.path}: {self.unit} {self.lines[row]}, column {column!r}: {text}")

    def group_rows(self, column: str, what: str) -> dict[str, np.ndarray]:
        """Cell -> its rows, in the order of the first ones.

        Args:
            what: what a cell names, for the message: "sequence".

        Raises:
            DataError: an empty cell.
        """
        groups: dict[str, list[int]] = {}
        for row, name in enumerate(self.columns[column]):
            if not name:
                raise self.error(row, column, f"the cell is empty: write which {what} the row belongs to")
            groups.setdefault(name, []).append(row)
        return {name: np.array(rows) for name, rows in groups.items()}


def parse_csv(text: str, path: Path, separator: str, wanted: Sequence[str]) -> Table:
    """Rows of equal length below a header that has every wanted column once. Blank rows are skipped."""
    # Python's reader, not pandas': it knows the line of every row, reports rows of another length, and is fast enough.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    header: list[str] = []
    rows, lines, line = [], [], 1
    try:
        for row in reader:
            if not any(row):
                pass
            elif not header:
                header = [name.strip() for name in row]
                positions = _positions(header, wanted, f"{path}: line {line}", separator)
            elif len(row) != len(header):
                last = header[min(len(row), len(header)) - 1]
                raise DataError(f"{path}: line {line}, column {last!r}: the row has {len(row)} fields, but the header "
                                f"has {len(header)}: correct it, or quote what contains a {separator!r}")  # fmt: skip
            else:
                rows.append([row[i] for i in positions])
                lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise csv_error(path, line, error) from None
    if not rows:
        raise DataError(f"{path}: has a header but no rows: add them below it")
    cells = ([*map(str.strip, column)] for column in zip(*rows, strict=True))
    return Table(path, dict(zip(wanted, cells, strict=True)), lines)


def csv_error(path: Path, line: int, error: csv.Error) -> DataError:
    """The error to raise where Python's reader raises one."""
    if "field limit" in str(error):
        return DataError(f"{path}: line {line}: a field has more than {csv.field_size_limit():,} characters: close its "
                         "quote, or write long texts as .jsonl")  # fmt: skip
    return DataError(f"{path}: line {line}: a quote is not closed ({error}): correct it")


def _positions(header: list[str], wanted: Sequence[str], where: str, separator: str) -> list[int]:
    for name in wanted:
        count = header.count(name.strip())
        if count > 1:
            raise DataError(f"{where}: {count} columns are named {name!r}: rename all but one")
        if count == 0:
            near = difflib.get_close_matches(name.lower(), [other.lower() for other in header], n=1)
            other_separator = next((mark for mark in ";\t,|" if mark != separator and mark in header[0]), None)
            if len(header) == 1 and other_separator:
                hint = f"the header contains {other_separator!r}: set data.separator={other_separator!r}"
            elif near:
                hint = f"did you mean {next(other for other in header if other.lower() == near[0])!r}?"
            else:
                hint = f"the header has {list_names(header)}"
            raise DataError(f"{where}: no column {name!r}; {hint}")
    return [header.index(name.strip()) for name in wanted]


def list_names(names: Sequence[str]) -> str:
    """The first twelve names, quoted, for a message."""
    return f"{', '.join(map(repr, names[:12]))}{', ...' if len(names) > 12 else ''}"


def parse_floats(cells: list[str], decimal: str) -> np.ndarray:
    """(N,) float64; NaN where a cell is not a number."""
    if decimal == ",":  # A point is then not a decimal mark: 1.500 may mean 1500.
        cells = [cell.translate({ord(","): ".", ord("."): ","}) for cell in cells]

    def number(cell: str) -> float:
        try:
            return math.nan if "_" in cell else float(cell)  # Only Python reads 1_000 as a number.
        except ValueError:
            return math.nan

    return np.fromiter(map(number, cells), float, len(cells))


MISSING = re.compile(r"([+-]?(nan?|n/a|null|none))?", re.IGNORECASE)
"""Matches a cell that is empty or says that the value is missing."""


LARGEST = 1e100
"""The largest number that is read: squared errors of larger ones end at 1e308."""


def read_numbers(table: Table, columns: Sequence[str], decimal: str, allow_missing: bool = False) -> np.ndarray:
    """(N, C) float64, all finite; with `allow_missing`, NaN where a cell is empty or says that it is missing.

    Raises:
        DataError: a cell that is no number, or too large; decimal marks that look like thousands separators.
    """
    values = np.stack([parse_floats(table.columns[column], decimal) for column in columns], axis=1)
    for column in columns if not table.typed else ():
        check_thousands(table, column, decimal)
    wrong = np.argwhere(~(np.abs(values) <= LARGEST))
    if allow_missing:
        present = [not MISSING.fullmatch(table.columns[columns[column]][row]) for row, column in wrong]
        wrong = wrong[np.array(present, bool)]
    if not len(wrong):
        return values
    row, column = int(wrong[0, 0]), columns[wrong[0, 1]]
    cell, value = table.columns[column][row], values[tuple(wrong[0])]
    what, fix = f"{quoted(cell)} is not a number", f"write it like 1234{decimal}5"
    if not cell:
        what, fix = "the cell is empty", "fill it in"
    elif np.isinf(value) or MISSING.fullmatch(cell):
        what, fix = f"{quoted(cell)} is not a finite number", "fill it in"
    elif np.isfinite(value):
        what, fix = f"{quoted(cell)} is larger than {LARGEST:g}", "correct it, or use larger units"
    elif decimal == "." and GROUPED[","].fullmatch(cell.partition(".")[0]):
        fix = f"write {cell.replace(',', '')}, without thousands separators"
        fix += "; if the comma is the decimal mark, set data.decimal=','" if cell.count(",") == 1 else ""
    elif decimal == "." and re.fullmatch(r"[+-]?[\d.]*,\d+", cell):
        fix = "if the comma is the decimal mark, set data.decimal=','"
    raise table.error(row, column, f"{what} ({len(wrong)} in total): {fix}")


GROUPED = {mark: re.compile(rf"[+-]?[1-9]\d{{0,2}}(?:{re.escape(mark)}\d{{3}})+") for mark in ",."}
"""Mark -> matches a number in which it may separate thousands: 1,012 or 1,012,500."""


def grouped_cell(cells: Sequence[str], mark: str) -> str | None:
    """The first cell with the mark, where each of them may be a number with thousands separators; else None."""
    first = None
    for cell in cells:
        if mark in cell:
            if not GROUPED[mark].fullmatch(cell):
                return None
            first = first or cell
    return first


def check_thousands(table: Table, column: str, decimal: str) -> None:
    """Raise DataError where decimal marks look like thousands separators: 1,012 where another row has 987."""
    cells = table.columns[column]
    grouped = grouped_cell(cells, decimal)
    if grouped is None:
        return
    whole = [cell for cell in cells if cell.lstrip("+-").isdecimal()]
    if any(len(cell.lstrip("+-")) > 3 for cell in whole):  # Written without separators.
        return
    other = next((cell for cell in whole if int(cell)), None)
    if other is not None:
        as_whole, as_fraction = grouped.replace(decimal, ""), grouped.replace(decimal, ".")
        raise table.error(cells.index(grouped), column, f"{quoted(grouped)} may be {as_whole} or {as_fraction}, as "
                          f"{quoted(other)} has no {quoted(decimal)}: write numbers without thousands separators, or "
                          f"decimals in all rows, such as {other}{decimal}0")  # fmt: skip


def fill_forward(table: Table, columns: Sequence[str], values: np.ndarray) -> np.ndarray:
    """(N, C) with each NaN replaced by the last known value before it; nothing comes from a later row."""
    known = ~np.isnan(values)
    if not known[0].all():
        raise table.error(0, columns[int(np.argmin(known[0]))], "the cell is empty, and there is no earlier value to "
                          "fill in: start the series with a row that has all values")  # fmt: skip
    last = np.maximum.accumulate(np.where(known, np.arange(len(values))[:, None], 0))
    return np.take_along_axis(values, last, 0)


def quoted(cell: str) -> str:
    """A cell as messages show it: quoted, and cut to 40 characters."""
    return repr(cell if len(cell) <= 40 else cell[:37] + "...")
