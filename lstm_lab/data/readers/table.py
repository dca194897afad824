"""Tables of text: named columns, each row with the line it came from. An error names the line, the column and a fix."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import math
import re
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.readers.signatures import SIGNATURES


def _only_member(content: bytes) -> bytes:
    """The file in a zip archive that has no other; the archive itself where it has several, or is a sheet or arrays."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = [file for file in archive.infolist()
                     if not file.is_dir() and not file.filename.startswith("__MACOSX/")]  # fmt: skip
            if len(files) != 1 or files[0].filename.endswith(".npy"):
                return content
            return archive.read(files[0])
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError):  # No archive, or one with a password.
        return content


_COMPRESSIONS: dict[bytes, tuple[str, Callable[[bytes], bytes]]] = {
    b"\x1f\x8b": ("gzip", gzip.decompress),
    b"BZh": ("bzip2", bz2.decompress),
    b"\xfd7zXZ": ("xz", lzma.decompress),
    b"PK\x03\x04": ("zip", _only_member),
}
"""First bytes of a compressed file -> its name, and what unpacks it."""
COMPRESSED = (".gz", ".bz2", ".xz", ".zip")
"""Endings of their names, which are left out where an ending says what a file is."""
COLUMNAR = (".parquet", ".feather", ".arrow")
"""Endings of files that pyarrow reads."""
TYPED = (".json", ".jsonl", ".ndjson", *COLUMNAR)
"""Endings of files that distinguish numbers from text, without separator or decimal mark."""
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
    content = _unpacked(path, content)
    for signature, found in SIGNATURES.items():
        if content.startswith(signature):
            if path.suffix.lower() == ".npz":
                found = "arrays of NumPy: train them by data.name=arrays"
            raise DataError(f"{path}: not {kind} but {found}")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # Excel's "Unicode text".
        content = _from_utf16(path, content)
    try:
        text = content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line, value = len(re.findall(rb"\r\n?|\n", content[: error.start])) + 1, content[error.start]
        raise DataError(f"{path}: line {line}: not UTF-8 text (byte {error.start} is 0x{value:02x}, {chr(value)!r} in "
                        f"Latin-1): save the file as UTF-8{_from_windows(content)}") from None  # fmt: skip
    if not text.strip():
        raise DataError(f"{path}: is empty: it needs {needs}")
    if kind.startswith("CSV") and _JSON.match(text):
        raise DataError(f"{path}: not {kind} but JSON: write one object on each line and name it .jsonl, as "
                        "DataFrame.to_json(path, orient='records', lines=True) does")  # fmt: skip
    return text


def _from_utf16(path: Path, content: bytes) -> bytes:
    """Text that begins with the mark of UTF-16, as UTF-8."""
    try:
        return content.decode("utf-16").encode()
    except UnicodeError as error:
        raise DataError(f"{path}: UTF-16 text that is damaged or not complete ({error}): save it as UTF-8") from None


def _from_windows(content: bytes) -> str:
    """The command that converts text of Windows, where the content may be such; else nothing."""
    try:
        content.decode("cp1252")
    except UnicodeDecodeError:
        return ""
    return ", such as by iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW"


def _unpacked(path: Path, content: bytes) -> bytes:
    """The content of a compressed file, whatever its name."""
    for signature, (kind, decompress) in _COMPRESSIONS.items():
        if content.startswith(signature):
            try:
                return decompress(content)
            except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
                raise DataError(f"{path}: {kind} that is damaged or not complete ({error}): write it again") from None
    return content


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
    paths: Sequence[Path] = ()
    """(N,) file of each row, where they are from several; empty: all are from `path`."""

    def rows(self, index: np.ndarray) -> Table:
        """The rows at `index`."""
        picked = index.tolist()
        columns = {name: [cells[row] for row in picked] for name, cells in self.columns.items()}
        lines, paths = [self.lines[row] for row in picked], [self.paths[row] for row in picked if self.paths]
        return self._replace(columns=columns, lines=lines, paths=paths)

    def with_rows_of(self, others: Sequence[Table]) -> Table:
        """The rows of this table, and below them those of others with the same columns."""
        every = (self, *others)
        columns = {name: [cell for table in every for cell in table.columns[name]] for name in self.columns}
        lines = [line for table in every for line in table.lines]
        return self._replace(columns=columns, lines=lines, paths=[table.path for table in every for _ in table.lines])

    def error(self, row: int, column: str, text: str) -> DataError:
        """An error whose message starts with file, line and column."""
        path = self.paths[row] if self.paths else self.path
        return DataError(f"{path}: {self.unit} {self.lines[row]}, column {column!r}: {text}")

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


def read_numbers(
    table: Table, columns: Sequence[str], decimal: str, allow_missing: bool = False, way_out: str = "fill it in"
) -> np.ndarray:
    """(N, C) float64, all finite; with `allow_missing`, NaN where a cell is empty or says that it is missing.

    Args:
        way_out: what to do where a value is missing, for the message.

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
        what, fix = "the cell is empty", way_out
    elif np.isinf(value) or MISSING.fullmatch(cell):
        what, fix = f"{quoted(cell)} is not a finite number", "fill it in" if np.isinf(value) else way_out
    elif np.isfinite(value):
        what, fix = f"{quoted(cell)} is larger than {LARGEST:g}", "correct it, or use larger units"
    elif decimal == "." and GROUPED[","].fullmatch(cell.partition(".")[0]):
        fix = "if the comma separates thousands, set data.thousands=','"
        fix += (
            "; if the comma is the decimal mark, set data.decimal=','" if re.fullmatch(r"[^.,]*,[^.,]*", cell) else ""
        )
    elif decimal == "," and _GROUPED_FRACTION.fullmatch(cell):
        fix = "if the point separates thousands, set data.thousands='.'"
    elif row < 2 and len(np.unique(wrong[:, 0])) == row + 1 and cell[0].isalpha():
        fix += f"; if the line has units, set data.skiprows=[{', '.join(map(str, range(1, row + 2)))}]"
    elif not any(map(str.isalnum, cell)):
        fix = f"if it stands for a missing value, set data.na_values=[{cell!r}]"
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
                          f"{quoted(other)} has no {quoted(decimal)}: set data.thousands, or "
                          f"write decimals in all rows, such as {other}{decimal}0")  # fmt: skip


_GROUPED_FRACTION = re.compile(r"[+-]?\d{1,3}((\.\d{3})+,\d*|(\.\d{3}){2,})")
"""Matches a number in which points separate thousands for certain: 1.186,88 or 1.012.500."""


def fill_forward(table: Table, columns: Sequence[str], values: np.ndarray) -> np.ndarray:
    """(N, C) with each NaN replaced by the last known value before it; nothing comes from a later row."""
    known = ~np.isnan(values)
    if not known[0].all():
        raise table.error(0, columns[int(np.argmin(known[0]))], "the cell is empty, and there is no earlier value to "
                          "fill in: start the series with a row that has all values")  # fmt: skip
    last = np.maximum.accumulate(np.where(known, np.arange(len(values))[:, None], 0))
    return np.take_along_axis(values, last, 0)


def ending_of(path: Path) -> str:
    """The ending of a file's name in lower case, of a compressed one the ending before: ".csv" of a.csv.gz."""
    return Path(path.stem).suffix.lower() if path.suffix.lower() in COMPRESSED else path.suffix.lower()


def quoted(cell: str) -> str:
    """A cell as messages show it: quoted, and cut to 40 characters."""
    return repr(cell if len(cell) <= 40 else cell[:37] + "...")
