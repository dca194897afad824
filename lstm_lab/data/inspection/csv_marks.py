"""The marks of numbers and of missing values in a CSV, as its cells suggest."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lstm_lab.data.readers.csv_format import CSVFormat
from lstm_lab.data.readers.table import MISSING, Table, grouped_cell, parse_floats, quoted

NO_VALUE = re.compile(
    r"[^\w\s]{1,3}|missing|n[./]?\s?[avd]\.?|k\.?\s?a\.?|s/d|none|unknown|error|bad|ovf|no ?data|(not|un)available"
    r"|#(n/a|value!|ref!|div/0!|name\?|null!|num!)|fehlt|нет( данных)?|无|缺失",
    re.IGNORECASE,
)
"""Matches a cell that stands for a missing value where all others are numbers: ?, -, --, n.a., N/D, #N/A."""


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
