"""Cells of a table as texts, class names and splits."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.preprocessing.splits import SPLIT_ALIASES, SPLITS
from lstm_lab.data.readers.table import Table, quoted


def texts_of(table: Table, column: str) -> list[str]:
    """The texts of a column, none empty, all of them valid in UTF-8."""
    texts = table.columns[column]
    empty = [row for row, text in enumerate(texts) if not text.strip()]
    if empty:
        raise table.error(empty[0], column, f"the text is empty ({len(empty)} in total): fill it in or remove the row")
    for row, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            half = f"\\u{ord(text[error.start]):x}"
            raise table.error(row, column, f"character {error.start} is half of a surrogate pair ({half}): write the "
                              "text again as UTF-8") from None  # fmt: skip
    return texts


def labels_of(table: Table, column: str) -> np.ndarray:
    """(N,) the label of each row, none empty."""
    labels = [label.strip() for label in table.columns[column]]
    empty = [row for row, label in enumerate(labels) if not label]
    if empty:
        raise table.error(empty[0], column, f"the label is empty ({len(empty)} in total): fill it in or remove the row")
    return np.array(one_spelling(labels))


def one_spelling(labels: list[str]) -> list[str]:
    """Labels of which those that say true or false in several spellings (true, False, FALSE) have one."""
    lower = [label.lower() for label in labels]
    return lower if set(lower) <= {"true", "false"} and len(set(labels)) > len(set(lower)) else labels


def check_classes(labels: np.ndarray, path: Path, column: str, samples: str) -> None:
    """Raise DataError where a column has so many different values that it cannot name classes."""
    classes = len(set(labels.tolist()))
    if classes > 2 + len(labels) // 2:
        raise DataError(f"{path}: column {column!r} has {classes} classes for {len(labels)} {samples}: set data.label "
                        "to the column of the classes")  # fmt: skip


def splits_of(table: Table, column: str) -> np.ndarray:
    """(N,) the split of each row, one of SPLITS."""
    cells = table.columns[column]
    wrong = [row for row, cell in enumerate(cells) if cell.lower() not in SPLIT_ALIASES]
    if wrong:
        raise table.error(wrong[0], column, f"{quoted(cells[wrong[0]])} is not a split ({len(wrong)} in total): write "
                          f"{', '.join(SPLITS)}")  # fmt: skip
    return np.array([SPLIT_ALIASES[cell.lower()] for cell in cells])


def splits_and_groups(
    table: Table, split_column: str | None, group_column: str | None
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """(N,) the split and (N,) the group of each row; None without such a column."""
    return (
        None if split_column is None else splits_of(table, split_column),
        None if group_column is None else np.array(table.columns[group_column]),
    )


class CellTypes(NamedTuple):
    """What values of a typed file or a DataFrame may be, beside texts, numbers and booleans."""

    times: bool = False
    """Whether they may be times."""
    lists: tuple[str, ...] = ()
    """Columns whose values may be lists of texts, which are read as JSON."""


TEXTS, NUMBERS = CellTypes(), CellTypes(times=True)


def cell_text(value: object, table: Table, row: int, column: str, cells: CellTypes = TEXTS) -> str:
    """A value as text.

    Raises:
        DataError: another kind of value than `cells` allows.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, float) and not cells.times:  # A label, such as 1.0; missing where it is NaN.
        return "" if value != value else str(value)
    if isinstance(value, bool | int | float | Decimal):
        return str(value)
    if cells.times and isinstance(value, datetime.date):
        return value.isoformat()
    if column in cells.lists and isinstance(value, list) and all(isinstance(label, str | int) for label in value):
        return json.dumps([str(label) for label in value], ensure_ascii=False)
    wanted, way = ("a text, number or time", "one") if cells.times else ("a text or a whole number", "text")
    raise table.error(row, column, f"{quoted(str(value))} is not {wanted}: write it as {way}")


def as_text(path: Path, columns: dict[str, list[object]], cells: CellTypes) -> Table:
    """Columns of values as a table of text."""
    table = Table(path, {}, list(range(1, len(next(iter(columns.values()))) + 1)), unit="row", typed=True)
    for name, values in columns.items():
        table.columns[name] = [
            value if isinstance(value, str) else cell_text(value, table, row, name, cells)
            for row, value in enumerate(values)
        ]
    return table
