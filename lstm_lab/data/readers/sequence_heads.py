"""Columns of tables with sequences: those of the steps, and those of what is known of a sequence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.readers.cells import check_classes, labels_of, splits_of
from lstm_lab.data.readers.csv_format import CSVFormat
from lstm_lab.data.readers.label_sets import label_sets
from lstm_lab.data.readers.table import Table, quoted, read_numbers

_WHOLE = re.compile(r"([+-]?\d+)(\.0*)?(e[+-]?0+)?", re.IGNORECASE)
"""Matches a whole number as programs write it: 1.0000000e+00."""


@dataclass(frozen=True)
class StepColumns:
    """Columns of what is read of each step."""

    channels: tuple[str, ...]
    words: str | None = None
    """Column of words, in place of channels."""

    @property
    def names(self) -> tuple[str, ...]:
        return self.channels if self.words is None else (self.words,)


@dataclass(frozen=True)
class HeadColumns:
    """Columns of what is known of a sequence."""

    labels: tuple[str, ...]
    """One column; of values and of labels also several."""
    target: str
    """What they have: "class", "value", "labels", or "tag", which a row for each sequence does not have."""
    id: str | None = None
    split: str | None = None
    group: str | None = None
    separator: str | None = None
    """Character between the labels of a cell; None: a cell is a JSON list."""

    @property
    def label(self) -> str:
        """The column, where there is one."""
        return self.labels[0]

    @property
    def value_names(self) -> tuple[str, ...]:
        """Names of the values to predict."""
        return self.labels if self.target == "value" else ()

    def wanted(self, split: str | None) -> list[str]:
        """Columns that are read with targets.

        Args:
            split: to which all sequences belong, whatever the column says; None: as the column says.
        """
        names = (*self.labels, self.split if split is None else None, self.group)
        return [name for name in names if name is not None]

    def targets(self, head: Table, format: CSVFormat) -> np.ndarray:
        """(N,) classes, (N, K) values, or (N,) tuples of labels."""
        if self.target == "value":
            return read_numbers(format.plain(head, self.labels), self.labels, format.decimal)
        if self.target == "labels":
            found = np.empty(len(head.lines), object)
            found[:] = label_sets(head, self.labels, self.separator).sets
            return found
        labels = labels_of(head, self.label)
        check_classes(labels, head.path, self.label, "sequences")
        whole = [_WHOLE.fullmatch(label) for label in labels.tolist()]
        if all(whole) and any("." in label for label in labels.tolist()):
            return np.array([found[1] for found in whole if found])
        return labels

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels in the order of their columns, where each has a column."""
        return self.labels if self.target == "labels" and len(self.labels) > 1 else ()

    def splits(self, head: Table, split: str | None) -> np.ndarray | None:
        """(N,) names of SPLITS; None where the data name none.

        Raises:
            DataError: no training split.
        """
        if self.split is None or split is not None:
            return None
        splits = splits_of(head, self.split)
        if "train" not in splits:
            raise DataError(f"{head.path}: column {self.split!r} names no train split: write one")
        return splits

    def groups(self, head: Table) -> np.ndarray | None:
        """(N,) names; None where sequences have no groups."""
        return None if self.group is None else np.array(head.columns[self.group])


def check_constant(table: Table, name: str, id: str, rows: Sequence[np.ndarray], way_out: str = "") -> None:
    """Raise DataError where a column differs within a sequence.

    Args:
        id: column of the sequence.
        rows: of each sequence.
        way_out: another than to write one value, for the message.
    """
    cells = table.columns[name]
    for index in rows:
        first = int(index[0])
        other = next((int(row) for row in index if cells[row] != cells[first]), None)
        if other is not None:
            raise table.error(other, name, f"{quoted(cells[other])} differs from {table.unit} {table.lines[first]} of "
                              f"the same sequence {quoted(table.columns[id][first])}: write one value in all of its "
                              f"rows{way_out}")  # fmt: skip
