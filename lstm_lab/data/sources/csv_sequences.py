"""Labelled sequences of a user, from a table with a row for each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import numpy as np
from pydantic import model_validator

from lstm_lab.config import DataError
from lstm_lab.data.kinds.new_samples import NamedSequences, plain_ids
from lstm_lab.data.kinds.user_sequences import UserData, UserSequenceOptions, UserSequences
from lstm_lab.data.readers.columns import Column, Columns, check_distinct
from lstm_lab.data.readers.csv_format import FORMAT_FIELDS, CSVFields, CSVFormat, check_format
from lstm_lab.data.readers.formats import check_classes, labels_of, read_frame, read_number_rows, splits_of
from lstm_lab.data.readers.in_memory import NewData, is_frame
from lstm_lab.data.readers.locate import find_file
from lstm_lab.data.readers.table import Table, quoted, read_numbers


class CSVSequences(UserSequences, name="csv_sequences"):
    """A CSV, Parquet or JSONL file with a row for each step of each sequence, oldest first."""

    class Config(CSVFields, UserSequences.Config):
        id: Column
        """Column of the sequence that a row belongs to."""
        label: Column
        """Column of the class name, the same in all rows of a sequence."""
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

        def options(self) -> dict[str, object]:
            options = {key: value for key, value in super().options().items() if key not in FORMAT_FIELDS}
            return {**options, "format": self.format}

    def __init__(
        self, *, id: str, label: str, channels: tuple[str, ...], split: str | None, group: str | None,
        format: CSVFormat, **options: Unpack[UserSequenceOptions],
    ) -> None:  # fmt: skip
        super().__init__(**options)
        self.id, self.label, self.channels, self.split, self.group = id, label, channels, split, group
        self.format = format

    def _read_table(self, path: str, more: Sequence[str]) -> Table:
        return read_number_rows(find_file(path), (self.id, *self.channels, *more), self.format)

    def _sequences(self, table: Table) -> tuple[list[np.ndarray], list[int]]:
        """The sequences (T, C) in the order of their first rows, and those first rows."""
        values = read_numbers(self.format.plain(table, self.channels), self.channels, self.format.decimal)
        rows = table.group_rows(self.id, "sequence")
        return [values[index] for index in rows.values()], [int(index[0]) for index in rows.values()]

    def read_all(self) -> UserData:
        more = [name for name in (self.label, self.split, self.group) if name is not None]
        table = self._read_table(self.path, more)
        sequences, first = self._sequences(table)
        ids = table.columns[self.id]
        first_of = {ids[row]: row for row in first}
        for name in more:
            cells = table.columns[name]
            for row, cell in enumerate(cells):
                if cell != cells[first_of[ids[row]]]:
                    raise table.error(row, name, f"{quoted(cell)} differs from {table.unit} "
                                      f"{table.lines[first_of[ids[row]]]} of the same sequence {quoted(ids[row])}: "
                                      "write one value in all of its rows")  # fmt: skip
        head = table.rows(np.array(first))
        labels = labels_of(head, self.label)
        check_classes(labels, table.path, self.label, "sequences")
        splits = None if self.split is None else splits_of(head, self.split)
        groups = None if self.group is None else np.array(head.columns[self.group])
        if splits is not None and "train" not in splits:
            raise DataError(f"{table.path}: column {self.split!r} names no train split: write one")
        return UserData(sequences, labels, splits, groups)

    def _named(self, table: Table) -> NamedSequences:
        sequences, first = self._sequences(table)
        return NamedSequences(sequences, plain_ids([table.columns[self.id][row] for row in first]), self.id)

    def read_unlabelled(self, path: str) -> NamedSequences:
        return self._named(self._read_table(path, ()))

    def new_sequences(self, source: NewData) -> NamedSequences:
        if is_frame(source):
            return self._named(read_frame(source, (self.id, *self.channels), numbers=True, index=self.id))
        return super().new_sequences(source)
