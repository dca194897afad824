"""How a CSV is written, as its first lines suggest: separator, lines to skip, header, marks of the numbers."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path

import numpy as np

from lstm_lab.config import ConfigError, DataError
from lstm_lab.config.validation import validate
from lstm_lab.data.inspection.pair_names import KNOWN
from lstm_lab.data.readers.csv_format import FORMAT_FIELDS, CSVFields, CSVFormat, check_format, is_decorated
from lstm_lab.data.readers.csv_rows import csv_rows, separator_line
from lstm_lab.data.readers.locate import find_file
from lstm_lab.data.readers.table import MISSING, Table, grouped_cell, parse_floats, quoted, read_text

LINES = 200
"""Lines that separator and header are guessed from."""
MAX_PREAMBLE = 40
"""Lines above a header at most."""
MAX_FOOTER = 5
"""Rows of totals at most."""
TOTAL = re.compile(
    r"(grand )?(total|totale|totaux|sum|suma|somme|average|mean|gesamt|summe|итого|всего|合计|合計|总计)s?\b.*",
    re.IGNORECASE,
)
"""Matches the first cell of a row that is not data."""
NO_VALUE = re.compile(
    r"[^\w\s]{1,3}|missing|n[./]?\s?[avd]\.?|k\.?\s?a\.?|s/d|none|unknown|error|bad|ovf|no ?data|(not|un)available"
    r"|#(n/a|value!|ref!|div/0!|name\?|null!|num!)|fehlt|нет( данных)?|无|缺失",
    re.IGNORECASE,
)
"""Matches a cell that stands for a missing value where all others are numbers: ?, -, --, n.a., N/D, #N/A."""


def guess_format(path: Path, text: str, choices: Mapping[str, object]) -> CSVFormat:
    """The format of a CSV: as chosen, else as its lines suggest.

    Args:
        choices: fields of `data`, some of which may be those of the format.

    Raises:
        ConfigError: a choice that is not valid.
    """
    chosen = {key: value for key, value in choices.items() if key in FORMAT_FIELDS}
    format = validate(CSVFields, chosen, str(path)).format
    try:
        check_format(str(path), format if "separator" in chosen else replace(format, separator="\0"))
    except ValueError as error:
        raise ConfigError(f"{' '.join(f'{key}={value}' for key, value in chosen.items())}: {error}") from None
    lines = [line for line in text.splitlines()[: LINES + MAX_PREAMBLE] if line.strip()][:LINES]
    if "separator" not in chosen:
        format = replace(format, separator=separator_line(text) or _separator(lines))
    if "skiprows" not in chosen:
        format = replace(format, skiprows=_preamble(text, format.separator))
    rows = [row for _, row in csv_rows(text, path, format)]
    if "header" not in chosen:
        format = replace(format, header=_has_header(rows[:LINES]))
    if "skipfooter" not in chosen:
        format = replace(format, skipfooter=_footer(rows))
    return format


def is_table(path: str) -> bool:
    """Whether a text file has rows of equally many fields, at least half of which are numbers or dates; or rows of a
    class and a text, or of a text and its target, with a tab between them."""
    try:
        file = find_file(path)
        text = read_text(file, "text", "one text on each line")
        tabs = {"quoting": False} if "\t" in text.split("\n", 1)[0] else {}
        format = guess_format(file, text, tabs)
        rows = [row for _, row in islice(csv_rows(text, file, format), LINES)][format.header :]
    except DataError:
        return False
    width, support = Counter(map(len, rows)).most_common(1)[0] if rows else (0, 0)
    if width == 2 and format.separator == "\t" and support * 10 >= len(rows) * 9 and len(rows) > 4:
        distinct = sorted(len({row[at] for row in rows if len(row) == 2}) for at in (0, 1))
        if distinct[0] * 4 <= len(rows) and distinct[1] * 2 > len(rows):
            return True
    if width in (2, 3) and format.separator == "\t" and support * 10 >= len(rows) * 9 and _are_pairs(rows, width):
        return True
    cells = [cell for row in rows for cell in row if cell.strip()]
    return width > 1 and support * 10 >= len(rows) * 9 and sum(map(_is_value, cells)) * 2 >= len(cells)


def _are_pairs(rows: Sequence[Sequence[str]], width: int) -> bool:
    """Whether the first two fields of rows are texts, most of which are different."""
    pairs = [row[:2] for row in rows if len(row) == width and row[0].strip() and row[1].strip()]
    texts = [sum(any(map(str.isalpha, row[at])) for row in pairs) for at in (0, 1)]
    distinct = [len({row[at] for row in pairs}) for at in (0, 1)]
    return len(pairs) * 10 >= len(rows) * 9 and min(texts) * 10 >= len(pairs) * 9 and min(distinct) * 2 > len(pairs)


def _names_pairs(first: Sequence[str], others: Sequence[Sequence[str]]) -> bool:
    """Whether the first row above pairs of texts has names: known ones, or words that few texts below them have."""
    if all(cell.strip().lower() in KNOWN for cell in first[:2]):
        return True
    recurring, long = [], False
    for at, cell in enumerate(first[:2]):
        words = {word for row in others for text in row[at : at + 1] for word in text.split()}
        own = cell.split()
        recurring.append(sum(word in words for word in own) * 2 > len(own))
        long = long or (recurring[-1] and len(own) > 2)
    return not (long or all(recurring))


def _fields(line: str, separator: str) -> int:
    """Number of fields of one line."""
    try:
        return len(next(csv.reader([line.strip(" ") if separator == " " else line], delimiter=separator,
                                   skipinitialspace=True), []))  # fmt: skip
    except csv.Error:
        return 1


def _separator(lines: Sequence[str]) -> str:
    """The character that cuts most lines into equally many fields, at least two."""

    def support(separator: str) -> tuple[int, int]:
        counts = Counter(_fields(line, separator) for line in lines)
        del counts[1]
        most = max(counts.values(), default=0)
        return most, max((line.count(separator) for line in lines[:1]), default=0)

    best = max(",;\t|", key=support)
    cells = [cell for line in lines[1:] for cell in line.split()]
    values = sum(_is_value(cell) or MISSING.fullmatch(cell) is not None for cell in cells)
    if support(best)[0] * 2 <= len(lines) and values * 2 > len(cells):
        return " " if support(" ")[0] * 2 > len(lines) else best
    return best


def _preamble(text: str, separator: str) -> int:
    """Lines above the header: those with another number of fields than most, and comments."""
    lines = text.splitlines()[: LINES + MAX_PREAMBLE]
    first = next((number for number, line in enumerate(lines) if line.strip()), 0)
    if separator_line(text) is not None:
        first = 1
    counts = [_fields(line, separator) if line.strip() else 0 for line in lines]
    usual, support = Counter(count for count in counts if count).most_common(1)[0]
    if usual < 2 or support * 2 <= sum(count > 0 for count in counts):
        return 0
    for number in range(first, min(len(lines), first + MAX_PREAMBLE)):
        below = next((line for line in lines[number + 1 :] if line.strip()), "")
        if counts[number] == usual and not (lines[number].startswith("#") and not _has_value(below, separator)):
            return 0 if number == first else number
    return 0


def _has_value(line: str, separator: str) -> bool:
    return any(_is_value(cell) for cell in line.split(separator))


def _is_value(cell: str) -> bool:
    """Whether a cell is a number or a date, as names of columns seldom are."""
    cell = cell.strip().strip('"')
    if np.isfinite(parse_floats([cell], ".")[0]) or re.fullmatch(r"[+-]?\d+,\d+", cell) or is_decorated(cell):
        return True
    if not re.match(r"\d", cell):
        return False
    try:
        datetime.fromisoformat(cell)
    except ValueError:
        return (
            re.fullmatch(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T]\d{1,2}:\d\d.*)?|\d{4}-?[QM]\d{1,2}", cell) is not None
        )
    return True


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row has names: not where all its cells are values, or texts that other rows have too."""
    if len(rows) < 2:
        return True
    first, others = rows[0], rows[1:]
    cells = [cell for cell in first if cell.strip()]
    if [cell.strip() for cell in cells] == [*map(str, range(len(cells)))]:  # pandas names columns so.
        return True
    if len(first) in (2, 3) and _are_pairs(rows, len(first)):
        return _names_pairs(first, others)
    values = [_is_value(cell) for cell in first]
    if not any(values) and any(len(cell.split()) > 3 for cell in first):  # A class and a text, not their names.
        return not any(sum(row[at : at + 1] == [cell] for row in others) > 1 for at, cell in enumerate(first) if cell)
    repeated = [any(len(row) > at and row[at] == cell for row in others) for at, cell in enumerate(first)]
    return not any(values) or not all(
        value or again or not cell.strip() or len(cell.split()) > 3  # The last is a text, and no name.
        for value, again, cell in zip(values, repeated, first, strict=True)
    )


def _footer(rows: Sequence[Sequence[str]]) -> int:
    """Rows at the end that are totals or remarks."""
    if len(rows) < 3:
        return 0
    usual = Counter(map(len, rows)).most_common(1)[0][0]
    for number, row in enumerate(reversed(rows[1:])):
        present = [cell for cell in row if cell.strip()]
        remark = len(row) != usual and (len(row) == 1 or not _has_value(present[0], "\n"))
        if number == MAX_FOOTER or not (TOTAL.fullmatch(present[0].strip()) or remark):
            return number if number < MAX_FOOTER else 0
    return 0


def guess_marks(table: Table, format: CSVFormat, choices: Mapping[str, object]) -> CSVFormat:
    """The format with the marks of numbers and of missing values, as cells suggest."""
    columns = list(table.columns.values())
    if "decimal" not in choices and "thousands" not in choices:
        format = _number_marks(table, columns, format)
    if "na_values" not in choices:
        marks = {mark: None for cells in columns for mark in _missing_marks(cells, format)}
        format = replace(format, na_values=tuple(marks))
    return format


def _number_marks(table: Table, columns: Sequence[Sequence[str]], format: CSVFormat) -> CSVFormat:
    """Decimal mark and thousands separator."""
    cells = [cell for column in columns for cell in column[:2000] if "," in cell or "." in cell]
    for decimal, thousands in ((".", ","), (",", ".")):
        d, t = re.escape(decimal), re.escape(thousands)
        certain = re.compile(
            rf"[^\d,.]*\d{{1,3}}({t}\d{{2,3}})*{t}\d{{3}}{d}\d+[^\d,.]*|[+-]?\d{{1,3}}({t}\d{{3}}){{2,}}"
        )
        if any(certain.fullmatch(cell) for cell in cells):
            return replace(format, decimal=decimal, thousands=thousands)
    return replace(format, decimal=decimal_mark(table, format.separator))


def decimal_mark(table: Table, separator: str) -> str:
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
    raise table.error(
        table.columns[name].index(cell),
        name,
        f"{quoted(cell)} may be {cell.replace(',', '')} or "
        f"{cell.replace(',', '.')}, and no row decides which: set thousands=',' or decimal=','",
    )


def _missing_marks(cells: list[str], format: CSVFormat) -> list[str]:
    """Cells that stand for a missing value in a column where most others are numbers."""
    plain = format.plain_cells(cells)
    finite = np.isfinite(parse_floats(plain, format.decimal))
    others = {cell for cell, number in zip(plain, finite, strict=True) if not number and not MISSING.fullmatch(cell)}
    numbers = int(finite.sum())
    if not others or len(others) > 3 or numbers * 2 < sum(not MISSING.fullmatch(cell) for cell in plain):
        return []
    return sorted(others) if all(NO_VALUE.fullmatch(cell) for cell in others) else []


def describe_format(table: Table, format: CSVFormat, first_line: str) -> list[str]:
    """What to know of how the file is written, a sentence each."""
    found = []
    if format.skiprows:
        found.append(f"{format.skiprows} lines above the header are left out: skiprows")
    if not format.header:
        found.append(f"line {format.skiprows + 1} {quoted(first_line)} has values and no names of columns: header: "
                     "false names them 0, 1, 2, ...")  # fmt: skip
    if format.skipfooter:
        found.append(f"{format.skipfooter} rows at the end are totals or remarks and are left out: skipfooter")
    if format.thousands:
        found.append(f"{quoted(format.thousands)} separates thousands: thousands")
    if format.na_values:
        found.append(f"{', '.join(map(quoted, format.na_values))} stands for a missing value: na_values")
    decorated = {name: next((cell for cell in cells if is_decorated(cell)), None) for name, cells in
                 table.columns.items()}  # fmt: skip
    for name, cell in decorated.items():
        if cell is not None and np.isfinite(parse_floats(format.plain_cells([cell]), format.decimal)[0]):
            number = format.plain_cells([cell])[0]
            found.append(f"column {name!r}: {quoted(cell)} is read as {float(number.replace(',', '.')):.12g}")
    return found
