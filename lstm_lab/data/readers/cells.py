"""Cells of a table as texts, class names and splits."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path

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
    return np.array(labels)


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


def cell_text(value: object, table: Table, row: int, column: str, numbers: bool = False) -> str:
    """A value as text: a text, a whole number or a boolean; with `numbers`, also any number and any time.

    Raises:
        DataError: another kind of value.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool | int):
        return str(value)
    if numbers and isinstance(value, datetime.date):
        return value.isoformat()
    if numbers and isinstance(value, float | Decimal):
        return str(value)
    wanted, way = ("a text, number or time", "one") if numbers else ("a text or a whole number", "text")
    raise table.error(row, column, f"{quoted(str(value))} is not {wanted}: write it as {way}")


def as_text(path: Path, columns: dict[str, list[object]], numbers: bool) -> Table:
    table = Table(path, {}, list(range(1, len(next(iter(columns.values()))) + 1)), unit="row", typed=True)
    for name, values in columns.items():
        table.columns[name] = [
            value if isinstance(value, str) else cell_text(value, table, row, name, numbers)
            for row, value in enumerate(values)
        ]
    return table
