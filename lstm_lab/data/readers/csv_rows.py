"""The rows of a CSV as a table of text."""

from __future__ import annotations

import csv
import difflib
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from lstm_lab.config import DataError, Notice
from lstm_lab.data.readers.csv_format import CSVFormat
from lstm_lab.data.readers.table import Table, list_names


def parse_csv(text: str, path: Path, format: CSVFormat, wanted: Sequence[str] | None = None) -> Table:
    """Rows of equal length below a header that has every wanted column once. Blank rows are skipped.

    Args:
        wanted: columns to read; None: all that have a name, each once.

    Raises:
        DataError: no such column, no rows, rows of another length, or a quote that is not closed.
    """
    rows = _rows(text, path, format)
    if not rows:
        raise DataError(f"{path}: has no rows: add some, or correct data.skiprows and data.skipfooter")
    first_line, first = rows[0]
    header = _names(first, format)
    if wanted is None:
        wanted = _with_content(rows[1:], first) if format.header else header
    if format.header:
        _check_first_line(rows, header, wanted, path)
    positions = _positions(header, wanted, f"{path}: line {first_line}", format.separator)
    if format.header:
        del rows[0]
    if format.skipfooter:
        left_out = rows[-format.skipfooter :]
        del rows[-format.skipfooter :]
        _warn_of_data(left_out, rows[-1:], positions[0], path, f"skipfooter={format.skipfooter}")
    if format.below:
        every = csv_rows(text, path, replace(format, skiprows=format.above))
        left_out = [(line, row) for line, row in every if line - 1 in format.below]
        _warn_of_data(left_out, rows[:1], positions[0], path, "skiprows")
    for line, row in rows:
        if len(row) != len(header):
            raise _row_error(path, line, row, header, first_line, format)
    if not rows:
        raise DataError(f"{path}: has a header but no rows: add them below it")
    columns = {name: [row[i].strip() for _, row in rows] for name, i in zip(wanted, positions, strict=True)}
    return Table(path, columns, [line for line, _ in rows])


def _warn_of_data(
    left_out: Sequence[tuple[int, list[str]]], kept: Sequence[tuple[int, list[str]]], first: int, path: Path, field: str
) -> None:
    """Say where a row that is left out is written as one that is kept, as in a newer file without a row of totals.

    Args:
        first: position of the first column that is read.
        field: that leaves them out.
    """
    forms = [re.sub(r"\d", "0", row[first]) if len(row) > first else "" for _, row in (*kept, *left_out)]
    same = [line for (line, _), form in zip(left_out, forms[1:], strict=False) if form and form == forms[0]]
    if same and kept:
        warnings.warn(f"{path}: line {same[0]} is written as the rows beside it, but data.{field} leaves it out",
                      Notice, stacklevel=3)  # fmt: skip


def _check_first_line(
    rows: Sequence[tuple[int, list[str]]], header: Sequence[str], wanted: Sequence[str], path: Path
) -> None:
    """Raise DataError where a later row has the wanted names, and the first row none of them."""
    names = {name.strip() for name in wanted}
    below = next((line for line, row in rows[1:50] if names <= {*map(str.strip, row)}), None)
    if below is not None and not names & set(header):
        raise DataError(f"{path}: line {rows[0][0]}: has no column {wanted[0]!r}, but line {below} has: set "
                        f"data.skiprows={below - 1}")  # fmt: skip


def csv_names(text: str, path: Path, format: CSVFormat) -> list[str]:
    """Names of all columns, empty where one has none; 0, 1, 2, ... without a header."""
    first = next(csv_rows(text, path, format), (0, []))[1]
    return [*map(str.strip, first)] if format.header else _names(first, format)


def _names(first: list[str], format: CSVFormat) -> list[str]:
    if not format.header:
        return [*map(str, range(len(first)))]
    # pandas, which writes an index without a name so, gives it this one.
    return [name.strip() or f"Unnamed: {at}" for at, name in enumerate(first)]


def _with_content(rows: Sequence[tuple[int, list[str]]], first: list[str]) -> list[str]:
    """Names of the columns but for those without a name that are empty, or number the rows.

    Args:
        rows: below the header.
        first: the header.
    """
    found: dict[str, None] = {}
    for at, (own, name) in enumerate(zip(first, _names(first, CSVFormat()), strict=True)):
        cells = [] if own.strip() else [row[at].strip() for _, row in rows if len(row) > at]
        numbers = [[*map(str, range(begin, begin + len(cells)))] for begin in (0, 1)]
        if own.strip() or (any(cells) and cells not in numbers):
            found[name] = None
    return [*found]


def csv_rows(text: str, path: Path, format: CSVFormat) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of each row that is not blank, the header among them, below the lines to skip."""
    numbers: list[int] = []

    def lines() -> Iterator[str]:
        above = max(format.above, int(separator_line(text) is not None))
        for number, line in enumerate(io.StringIO(text, newline="")):
            if number >= above and number not in format.below:
                numbers.append(number + 1)
                # Columns may be aligned by several spaces.
                yield f"{line.strip(' ' + chr(13) + chr(10))}\n" if format.separator == " " else line

    # Python's reader, not pandas': it knows the line of every row, reports rows of another length, and is fast enough.
    reader = csv.reader(
        lines(), delimiter=format.separator, skipinitialspace=True, strict=True, escapechar=format.escapechar,
        quoting=csv.QUOTE_MINIMAL if format.quoting else csv.QUOTE_NONE,
    )  # fmt: skip
    try:
        for row in reader:
            if any(row):
                yield numbers[0], row
            numbers.clear()
    except csv.Error as error:
        raise csv_error(path, numbers[0] if numbers else 1, error) from None


def _rows(text: str, path: Path, format: CSVFormat) -> list[tuple[int, list[str]]]:
    named = separator_line(text)
    if named is not None and not format.skiprows and named != format.separator:
        raise DataError(f"{path}: line 1: says that fields are separated by {named!r}: set data.separator={named!r}")
    return [*csv_rows(text, path, format)]


def separator_line(text: str) -> str | None:
    """The separator that a first line names for spreadsheets, as in "sep=;"."""
    found = re.match(r"\"?sep=(.)\"?[;,\t]*(\r\n?|\n)", text, re.IGNORECASE)
    return None if found is None else found[1]


def _row_error(
    path: Path, line: int, row: list[str], header: list[str], header_line: int, format: CSVFormat
) -> DataError:
    """A row of another length than the header."""
    last = header[min(len(row), len(header)) - 1]
    way_out = f"correct it, or quote what contains a {format.separator!r}"
    if len(header) == 1 and len(row) > 1 and format.header:
        way_out = f"if the header is line {line}, set data.skiprows={line - 1}"
    return DataError(f"{path}: line {line}, column {last!r}: the row has {len(row)} fields, but the header has "
                     f"{len(header)} (line {header_line}): {way_out}")  # fmt: skip


def csv_error(path: Path, line: int, error: csv.Error) -> DataError:
    """The error to raise where Python's reader raises one."""
    if "field limit" in str(error):
        return DataError(f"{path}: line {line}: a field has more than {csv.field_size_limit():,} characters: close its "
                         "quote, or write long texts as .jsonl")  # fmt: skip
    return DataError(f"{path}: line {line}: a quote is not closed ({error}): correct it, or set data.quoting=false if "
                     "quotes enclose no fields")  # fmt: skip


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
