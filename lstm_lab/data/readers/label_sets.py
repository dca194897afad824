"""Several labels for each row of a table: joined words, JSON lists, or columns of 0 and 1."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from lstm_lab.config import DataError
from lstm_lab.data.readers.table import MISSING, Table, quoted

FLAGS = {"1": True, "1.0": True, "true": True, "yes": True, "0": False, "0.0": False, "false": False, "no": False}
"""Cell in lower case -> whether its row has the label of the column."""


class LabelSets(NamedTuple):
    """Labels of each row."""

    sets: list[tuple[str, ...]]
    names: tuple[str, ...]
    """All labels in the order of their indices; empty: those that occur, sorted."""


def label_sets(table: Table, columns: Sequence[str], separator: str | None) -> LabelSets:
    """The labels of each row.

    Args:
        columns: one whose cells have several labels, or one for each label.
        separator: character between the labels of a cell; None: the cell is a JSON list.

    Raises:
        DataError: a cell that says none of this, or so many labels that they cannot be labels.
    """
    if len(columns) > 1:
        return _of_flags(table, columns)
    (column,) = columns
    cells = table.columns[column]
    if separator is None:
        sets = [_listed(table, row, column, cell) for row, cell in enumerate(cells)]
    else:
        sets = [tuple(dict.fromkeys(part.strip() for part in cell.split(separator) if part.strip())) for cell in cells]
    found = {label for labels in sets for label in labels}
    if len(found) > 2 + len(sets) // 2:
        raise DataError(f"{table.path}: column {column!r} has {len(found)} labels for {len(sets)} rows: set "
                        "data.labels to the column of the labels, or correct data.label_separator")  # fmt: skip
    return LabelSets(sets, ())


def _of_flags(table: Table, columns: Sequence[str]) -> LabelSets:
    flags = []
    for name in columns:
        cells = [cell.strip().lower() for cell in table.columns[name]]
        wrong = [row for row, cell in enumerate(cells) if cell not in FLAGS]
        if wrong:
            cell = table.columns[name][wrong[0]]
            what = "the cell is empty" if not cell.strip() else f"{quoted(cell)} is neither 0 nor 1"
            raise table.error(wrong[0], name, f"{what} ({len(wrong)} in total): write 1 where the row has this label "
                              "and 0 where not")  # fmt: skip
        flags.append([FLAGS[cell] for cell in cells])
    sets = [tuple(name for name, has in zip(columns, row, strict=True) if has) for row in zip(*flags, strict=True)]
    return LabelSets(sets, tuple(columns))


def _listed(table: Table, row: int, column: str, cell: str) -> tuple[str, ...]:
    labels = listed_labels(cell)
    if labels is None:
        raise table.error(row, column, f'{quoted(cell)} is not a JSON list: write it as ["a", "b"], or set '
                          "data.label_separator to the character between labels")  # fmt: skip
    return labels


def listed_labels(cell: str) -> tuple[str, ...] | None:
    """The labels of a JSON list, or of a list as Python prints it; an empty cell has none. None where it is neither."""
    if MISSING.fullmatch(cell):
        return ()
    if not (cell.startswith("[") and cell.endswith("]")):
        return None
    for text in (cell, cell.replace("'", '"')):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if all(isinstance(label, str | int) for label in found):
            return tuple(dict.fromkeys(str(label).strip() for label in found))
        return None
    return None
