"""How a CSV writes its rows and numbers: fields of a configuration, named as pandas.read_csv names them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from lstm_lab.config import Config
from lstm_lab.data.readers.columns import Separator
from lstm_lab.data.readers.table import TYPED, Table


def _marks(given: object) -> object:
    """One mark or several, of which YAML reads -200 as a number."""
    marks = given if isinstance(given, list | tuple) else [given]
    return tuple(f"{mark:g}" if isinstance(mark, int | float) and not isinstance(mark, bool) else mark
                 for mark in marks)  # fmt: skip


def _lines(given: object) -> object:
    """A number of lines, or the numbers of lines in their order."""
    lines = given if isinstance(given, list | tuple) else [given]
    if not all(type(line) is int and line >= 0 for line in lines):
        raise ValueError(f"must be a number of lines, as 1, or a list of lines from 0, as [1]; got {given!r}")
    return tuple(sorted(set(lines))) if lines is given else given


SkipRows = Annotated[int | tuple[int, ...], BeforeValidator(_lines)]
"""A number of lines, or the numbers of lines, from 0."""
Marks = Annotated[tuple[str, ...], Field(strict=False), BeforeValidator(_marks)]
"""Texts that cells may have; a single one needs no list."""


@dataclass(frozen=True)
class CSVFormat:
    """How a CSV writes its rows and numbers."""

    separator: str = ","
    decimal: str = "."
    thousands: str | None = None
    na_values: tuple[str, ...] = ()
    skiprows: int | tuple[int, ...] = 0
    skipfooter: int = 0
    header: bool = True
    quoting: bool = True
    escapechar: str | None = None

    @property
    def above(self) -> int:
        """Lines above the header that are left out."""
        if isinstance(self.skiprows, int):
            return self.skiprows
        return next((at for at, line in enumerate(self.skiprows) if at != line), len(self.skiprows))

    @property
    def below(self) -> frozenset[int]:
        """Lines below the header that are left out, counted from 0."""
        return frozenset() if isinstance(self.skiprows, int) else frozenset(self.skiprows[self.above :])

    def plain(self, table: Table, columns: Sequence[str]) -> Table:
        """The same table, in whose columns numbers are written plainly and cells that stand for a missing value are
        empty: 1,186.5 is 1186.5, $1.5 is 1.5, 3.01M is 3010000, 5% is 5, True is 1."""
        cells = {name: self.plain_cells(table.columns[name]) for name in columns}
        unambiguous = table.typed or self.thousands is not None
        return table._replace(columns={**table.columns, **cells}, typed=unambiguous)

    def without_missing_marks(self, cells: list[str]) -> list[str]:
        """Cells of which those that stand for a missing value are empty."""
        if not self.na_values:
            return cells
        numbers = {float(mark) for mark in self.na_values if _is_number(mark)}
        marks = set(self.na_values)
        return ["" if cell in marks or (numbers and _is_number(cell) and float(cell) in numbers) else cell
                for cell in cells]  # fmt: skip

    def plain_cells(self, cells: list[str]) -> list[str]:
        """The cells of one column, as `plain` writes them."""
        cells = self.without_missing_marks(cells)
        present = {cell.lower() for cell in cells if cell}
        if present and present <= {"true", "false"}:
            return [{"true": "1", "false": "0"}.get(cell.lower(), cell) for cell in cells]
        if self.thousands is not None:
            grouped = self._grouped
            cells = [grouped(cell) for cell in cells]
        return [*map(_undecorated, cells)] if _SIGNS & set("".join(cells)) else cells

    def _grouped(self, cell: str) -> str:
        """A number without its thousands separators; any other cell as it is."""
        marks = " \u00a0\u202f" if self.thousands == " " else str(self.thousands)
        mark, decimal = f"[{re.escape(marks)}]", re.escape(self.decimal)
        number = rf"([^\d]*)(\d{{1,3}}(?:{mark}\d{{2,3}})*{mark}\d{{3}})((?:{decimal}\d*)?[^\d]*)"
        found = re.fullmatch(number, cell)
        return cell if found is None else found[1] + re.sub(mark, "", found[2]) + found[3]


CURRENCIES = "$€£¥"
_POWERS = {"K": 3, "M": 6, "B": 9, "T": 12}
_SIGNS = set(f"{CURRENCIES}%KMBTkmbt")
_DECORATED = re.compile(rf"(?P<minus>[+-])?[{CURRENCIES}]?\s?(?P<number>(?(minus)|[+-]?)\d+(?:[.,]\d*)?)\s?"
                        rf"(?P<unit>[KMBTkmbt%]?)[{CURRENCIES}]?")  # fmt: skip


def _undecorated(cell: str) -> str:
    """A number without the sign of its currency or per cent, and with its K, M, B or T multiplied."""
    found = _DECORATED.fullmatch(cell)
    if found is None:
        return cell
    number = (found["minus"] or "") + found["number"]
    power = _POWERS.get((found["unit"] or "").upper())
    return number if power is None else f"{number}e{power}"


def is_decorated(cell: str) -> bool:
    """Whether a cell is a number with the sign of a currency, a per cent sign, or a K, M, B or T behind it."""
    found = _DECORATED.fullmatch(cell)
    return found is not None and not cell.lstrip("+-").replace(".", "").replace(",", "").isdecimal()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class RowFields(Config):
    """Fields of a configuration for the rows of a CSV."""

    skiprows: SkipRows = 0
    """Lines above the header that are left out; or, as a list, which lines of the file, from 0: [1] is a line of units
    below the header."""
    skipfooter: Annotated[int, Field(ge=0)] = 0
    """Rows at the end that are left out, such as totals."""
    header: bool = True
    """Whether the first row has the names of the columns; false: they are 0, 1, 2, ..."""
    quoting: bool = True
    """Whether double quotes enclose fields; false: they are characters like any other."""
    escapechar: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    r"""Character before a quote that is part of a field, such as the backslash of \"; null: such a quote is doubled."""


class CSVFields(RowFields):
    """Fields of a configuration for the format of a CSV."""

    separator: Separator = ","
    r"""Character between fields; a tab is written \t."""
    decimal: Literal[".", ","] = "."
    """Decimal mark of the numbers."""
    thousands: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """Character between the thousands of the numbers; null: there is none."""
    na_values: Marks = ()
    """Cells that stand for a missing value, such as ["?", -200]. Empty cells, nan, NA and null always do."""

    @property
    def format(self) -> CSVFormat:
        """The fields together."""
        return CSVFormat(**{field.name: getattr(self, field.name) for field in fields(CSVFormat)})


FORMAT_FIELDS = frozenset(field.name for field in fields(CSVFormat))
_OF_TEXT = FORMAT_FIELDS - {"na_values"}


def check_format(path: str, format: CSVFormat) -> None:
    """Raise ValueError where the marks of a format exclude each other, or would have no effect."""
    separator = format.separator
    if path.lower().endswith(TYPED):
        set_ = sorted(field.name for field in fields(format)
                      if field.name in _OF_TEXT and vars(format)[field.name] != field.default)  # fmt: skip
        if set_:
            raise ValueError(f"{' and '.join(set_)} would have no effect: {path} is not a CSV; remove "
                             f"{'it' if len(set_) == 1 else 'them'}")  # fmt: skip
    if len(separator) != 1 or separator in ("\r", "\n", format.decimal) or (format.quoting and separator == '"'):
        raise ValueError(f"separator {separator!r} cannot separate fields: use one character that is neither a quote, "
                         f"a line end nor the decimal mark {format.decimal!r}")  # fmt: skip
    if format.escapechar is not None and (format.escapechar in (separator, '"') or not format.quoting):
        raise ValueError(f"escapechar={format.escapechar!r} cannot escape a quote where separator={separator!r} and "
                         f"quoting={str(format.quoting).lower()}: use another character, or remove it")  # fmt: skip
    if format.thousands is not None and (format.thousands.isalnum() or format.thousands in (format.decimal, "-", "+")):
        raise ValueError(f"thousands={format.thousands!r} cannot separate thousands where decimal={format.decimal!r}: "
                         "use another character")  # fmt: skip


def check_text_format(path: str, separator: str | None, format: CSVFormat | None, rows: RowFields) -> None:
    """Raise ValueError where the fields for a CSV of texts exclude each other, or would have no effect.

    Args:
        separator: as chosen.
        format: how the CSV is written; None for a file of another kind.
    """
    if format is not None:
        check_format(path, format)
        return
    defaults = RowFields.model_fields
    set_ = [name for name in defaults if vars(rows)[name] != defaults[name].default]
    if set_ or separator is not None:
        raise ValueError(f"{(*set_, 'separator')[0]} would have no effect: {path} is not a CSV; remove it, or set "
                         "separator if it is one")  # fmt: skip
