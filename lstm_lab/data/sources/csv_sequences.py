"""Labelled sequences of a user, from a table with a row for each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from pydantic import model_validator

from lstm_lab.config import DataError
from lstm_lab.data.base import Dataset, InfoT
from lstm_lab.data.kinds.labelled import LabelledInfo
from lstm_lab.data.kinds.new_samples import NamedSequences, plain_ids
from lstm_lab.data.kinds.pre_split import SplitT, TargetsT
from lstm_lab.data.kinds.sequence_regression import RegressionInfo, RegressionSplit
from lstm_lab.data.kinds.tagged import TaggedSplit
from lstm_lab.data.kinds.user_sequences import UserData, UserSequenceOptions, UserSequences
from lstm_lab.data.readers.array_file import ArrayFile
from lstm_lab.data.readers.cells import check_classes, labels_of, splits_of
from lstm_lab.data.readers.columns import Column, Columns, check_distinct
from lstm_lab.data.readers.csv_format import FORMAT_FIELDS, CSVFields, CSVFormat, check_format
from lstm_lab.data.readers.formats import read_frame, read_number_rows
from lstm_lab.data.readers.in_memory import NewData, is_frame
from lstm_lab.data.readers.locate import find_file
from lstm_lab.data.readers.table import Table, quoted, read_numbers
from lstm_lab.data.sources.arrays import PreSplitArrays, RegressionArrays, TaggedArrays, Target

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class SequenceTable:
    """The columns of a table with a row for each step of each sequence."""

    id: str
    label: str
    channels: tuple[str, ...]
    target: Target
    split: str | None
    group: str | None
    format: CSVFormat

    def _table(self, path: str, more: Sequence[str]) -> Table:
        return read_number_rows(find_file(path), (self.id, *self.channels, *more), self.format)

    def _sequences(self, table: Table) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The sequences (T, C) in the order of their first rows, and the rows of each."""
        values = read_numbers(self.format.plain(table, self.channels), self.channels, self.format.decimal)
        rows = [*table.group_rows(self.id, "sequence").values()]
        return [values[index] for index in rows], rows

    def read(self, path: str) -> ArrayFile:
        """All sequences and their targets.

        Raises:
            DataError: a cell that cannot be read, or that differs within a sequence.
        """
        more = [name for name in (self.label, self.split, self.group) if name is not None]
        table = self._table(path, more)
        sequences, rows = self._sequences(table)
        for name in more:
            if name != self.label or self.target != "tag":
                self._check_constant(table, name, rows)
        head = table.rows(np.array([index[0] for index in rows]))
        splits = None if self.split is None else splits_of(head, self.split)
        groups = None if self.group is None else np.array(head.columns[self.group])
        if splits is not None and "train" not in splits:
            raise DataError(f"{table.path}: column {self.split!r} names no train split: write one")
        names = (self.label,) if self.target == "value" else ()
        return ArrayFile(table.path, sequences, self._targets(table, head, rows), groups, splits, targets=names)

    def _check_constant(self, table: Table, name: str, rows: Sequence[np.ndarray]) -> None:
        cells = table.columns[name]
        for index in rows:
            first = int(index[0])
            other = next((int(row) for row in index if cells[row] != cells[first]), None)
            if other is not None:
                way_out = "; a class for each step is data.target=tag" if name == self.label else ""
                raise table.error(other, name, f"{quoted(cells[other])} differs from {table.unit} {table.lines[first]} "
                                  f"of the same sequence {quoted(table.columns[self.id][first])}: write one value in "
                                  f"all of its rows{way_out}")  # fmt: skip

    def _targets(self, table: Table, head: Table, rows: Sequence[np.ndarray]) -> np.ndarray:
        """(N,) classes, (N, 1) values or (sum of T,) classes of steps."""
        if self.target == "value":
            return read_numbers(self.format.plain(head, [self.label]), [self.label], self.format.decimal)
        if self.target == "tag":
            tags: np.ndarray = np.array(table.columns[self.label])[np.concatenate(rows)]
            return tags
        labels = labels_of(head, self.label)
        check_classes(labels, table.path, self.label, "sequences")
        return labels

    def read_new(self, source: str | Path | pd.DataFrame) -> NamedSequences:
        """The sequences of another file or of a DataFrame, whose targets are not read."""
        table = (read_frame(source, (self.id, *self.channels), numbers=True, index=self.id) if is_frame(source)
                 else self._table(str(source), ()))  # fmt: skip
        sequences, rows = self._sequences(table)
        return NamedSequences(sequences, plain_ids([table.columns[self.id][index[0]] for index in rows]), self.id)


class CSVSequences(UserSequences, name="csv_sequences"):
    """A CSV, Parquet or JSONL file with a row for each step of each sequence, oldest first."""

    class Config(CSVFields, UserSequences.Config):
        id: Column
        """Column of the sequence that a row belongs to."""
        label: Column
        """Column of the target: the class or the value of a sequence, the same in all of its rows; or with target=tag
        the class of each row, empty where it has none."""
        target: Target = "class"
        """What the column `label` has: a class for each sequence, a value for each sequence, or a class for each
        step."""
        channels: Columns
        """Columns of numbers."""
        split: Column | None = None
        """Column with train, validation or test; null: splits are drawn."""
        group: Column | None = None
        """Column whose groups stay in one split, such as the person; null: only equal sequences stay together."""

        @model_validator(mode="after")
        def _columns_are_distinct_and_marks_have_an_effect(self) -> CSVSequences.Config:
            if not self.channels:
                raise ValueError("channels is empty: name at least one column of numbers")
            names = [self.id, self.label, *self.channels, self.split, self.group]
            check_distinct(names, "id, label, channels, split and group")
            check_format(self.path, self.format)
            return self

        @property
        def dataset(self) -> type[Dataset]:
            kinds: dict[Target, type[Dataset]] = {"class": CSVSequences, "value": RegressionTable, "tag": TaggedTable}
            return kinds[self.target]

        @property
        def rows(self) -> SequenceTable:
            """The columns that are read."""
            return SequenceTable(self.id, self.label, self.channels, self.target, self.split, self.group, self.format)

        def options(self) -> dict[str, object]:
            read = FORMAT_FIELDS | {column.name for column in fields(SequenceTable)}
            return {**{key: value for key, value in super().options().items() if key not in read}, "rows": self.rows}

        def build(self, *info: Any, **more: Any) -> Any:
            return self.dataset(*info, **more, **self.options())

    def __init__(self, *, rows: SequenceTable, **options: Unpack[UserSequenceOptions]) -> None:
        super().__init__(**options)
        self.rows = rows

    def read_all(self) -> UserData:
        file = self.rows.read(self.path)
        return UserData(file.sequences, file.labels(), file.splits, file.groups)

    def read_unlabelled(self, path: str) -> NamedSequences:
        return self.rows.read_new(path)

    def new_sequences(self, source: NewData) -> NamedSequences:
        return self.rows.read_new(source) if is_frame(source) else super().new_sequences(source)


class TableOfTargets(PreSplitArrays[InfoT, TargetsT, SplitT]):
    """Base of the sequences of a table with values, or with a class for each step."""

    name = "csv_sequences"

    def __init__(self, *, rows: SequenceTable, **options: Unpack[UserSequenceOptions]) -> None:
        super().__init__(**options)
        self.rows = rows

    @cached_property
    def file(self) -> ArrayFile:
        return self.rows.read(self.path)

    def new_sequences(self, source: NewData) -> NamedSequences:
        if isinstance(source, str | Path) or is_frame(source):
            return self.rows.read_new(source)
        return super().new_sequences(source)


class RegressionTable(TableOfTargets[RegressionInfo, np.ndarray, RegressionSplit], RegressionArrays):
    """Sequences of a table with a value to predict for each."""

    name = "csv_sequences"


class TaggedTable(TableOfTargets[LabelledInfo, list[np.ndarray], TaggedSplit], TaggedArrays):
    """Sequences of a table with a class for each step, or for some of the steps."""

    name = "csv_sequences"
