"""How a CSV is written, as its first lines suggest: separator, lines to skip, header, totals."""

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
from lstm_lab.data.inspection.csv_marks import NO_VALUE
from lstm_lab.data.inspection.pair_names import KNOWN
from lstm_lab.data.readers.csv_format import FORMAT_FIELDS, CSVFields, CSVFormat, check_format, is_decorated
from lstm_lab.data.readers.csv_rows import csv_rows, separator_line
from lstm_lab.data.readers.locate import find_file
from lstm_lab.data.readers.table import MISSING, Table, parse_floats, quoted, read_text

LINES = 200
"""Lines that separator and header are guessed from."""
MAX_PREAMBLE = 40
"""Lines above a header at most."""
MAX_HEAD = 6
"""Lines of names and units at most."""
MAX_FOOTER = 5
"""Rows of totals at most."""
TOTAL = re.compile(
    r"(grand )?(total|totale|totaux|sum|suma|somme|average|mean|gesamt|summe|итого|всего|合计|合計|总计)s?\b.*",
    re.IGNORECASE,
)
"""Matches the first cell of a row that is not data."""


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
    numbered = [*csv_rows(text, path, format)]
    if "skiprows" not in chosen and "header" not in chosen and (units := _units(numbered[:LINES])):
        format = replace(format, skiprows=(*range(format.above), *units))
        numbered = [*csv_rows(text, path, format)]
    rows = [row for _, row in numbered]
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


def _units(rows: Sequence[tuple[int, Sequence[str]]]) -> list[int]:
    """Lines of the head, from 0, that are left out: units below the names, or all lines of names but one.

    They have neither numbers nor dates where the rows below them do, at least half of the columns.

    Args:
        rows: line, from 1, and fields of each row, the header first.
    """
    width = len(rows[0][1]) if rows else 0
    head = next((at for at, (_, row) in enumerate(rows) if any(map(_is_value, row))), len(rows))
    below = [row for _, row in rows[head : head + 20] if len(row) == width]
    values = [sum(_is_value(row[at]) for row in below) * 10 >= len(below) * 9 for at in range(width)]
    if not 2 <= head <= MAX_HEAD or len(below) < 3 or sum(values) * 2 < width:
        return []
    if any(len(row) != width or any(NO_VALUE.fullmatch(cell) for cell in row) for _, row in rows[1:head]):
        return []  # The first rows may lack values.
    distinct = [len({cell for cell in row if cell.strip()}) for _, row in rows[:head]]
    names = distinct.index(max(distinct))
    return [line - 1 for at, (line, _) in enumerate(rows[:head]) if at != names]


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


def describe_format(table: Table, format: CSVFormat, first_line: str) -> list[str]:
    """What to know of how the file is written, a sentence each."""
    found = []
    if format.above:
        found.append(f"{format.above} lines above the header are left out: skiprows")
    if format.below:
        lines = ", ".join(str(line + 1) for line in sorted(format.below))
        found.append(f"line {lines} has neither numbers nor dates, such as units, and is left out: skiprows")
    if not format.header:
        found.append(f"line {format.above + 1} {quoted(first_line)} has values and no names of columns: header: "
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
