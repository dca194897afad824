"""Sequences of a user, from a table with a row for each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import model_validator

from lstm_lab.data.kinds.new_samples import plain_ids
from lstm_lab.data.kinds.sequence_tables import SequenceOrWordTables
from lstm_lab.data.kinds.user_files import SequenceReader
from lstm_lab.data.preprocessing.missing import WAYS_OUT
from lstm_lab.data.readers.cells import NUMBERS
from lstm_lab.data.readers.columns import Column, TargetColumns, check_distinct
from lstm_lab.data.readers.csv_format import CSVFields, CSVFormat, check_format
from lstm_lab.data.readers.formats import read_frame, read_number_rows
from lstm_lab.data.readers.locate import find_file
from lstm_lab.data.readers.sequence_file import SequenceFile
from lstm_lab.data.readers.sequence_heads import HeadColumns, StepColumns, check_constant
from lstm_lab.data.readers.table import Table, read_numbers

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class SequenceTable:
    """The columns of a table with a row for each step of each sequence."""

    id: str
    head: HeadColumns
    steps: StepColumns
    format: CSVFormat
    allow_missing: bool = False

    def read(self, path: str, split: str | None = None, labelled: bool = True) -> SequenceFile:
        """All sequences and their targets.

        Raises:
            DataError: a cell that cannot be read, or that differs within a sequence.
        """
        more = self.head.wanted(split) if labelled else []
        table = read_number_rows(find_file(path), (self.id, *self.steps.names, *more), self.format)
        sequences, rows = self._sequences(table)
        if not labelled:
            return self._named(table, sequences, rows)
        columns, has_tags = self.head, self.head.target == "tag"
        for name in more:
            if name != columns.label or not has_tags:
                way_out = "; a class for each step is data.target=tag" if name in columns.labels else ""
                check_constant(table, name, self.id, rows, way_out)
        head = table.rows(np.array([index[0] for index in rows]))
        tags = np.array(table.columns[columns.label])[np.concatenate(rows)] if has_tags else None
        return SequenceFile(
            table.path, sequences, columns.targets(head, self.format) if tags is None else tags, columns.groups(head),
            columns.splits(head, split), targets=columns.value_names, classes=columns.classes,
            channels=self.steps.channels,
        )  # fmt: skip

    def read_frame(self, frame: pd.DataFrame) -> SequenceFile:
        table = read_frame(frame, (self.id, *self.steps.names), cells=NUMBERS, index=self.id)
        return self._named(table, *self._sequences(table))

    def _named(self, table: Table, sequences: list[np.ndarray], rows: Sequence[np.ndarray]) -> SequenceFile:
        ids = plain_ids([table.columns[self.id][index[0]] for index in rows])
        return SequenceFile(table.path, sequences, ids=ids, id_column=self.id, channels=self.steps.channels)

    def _sequences(self, table: Table) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The sequences (T, C), or (T,) of words, in the order of their first rows, and the rows of each."""
        rows = [*table.group_rows(self.id, "sequence").values()]
        if self.steps.words is not None:
            words = np.array(table.columns[self.steps.words])
            return [words[index] for index in rows], rows
        channels = self.steps.channels
        plain = self.format.plain(table, channels)
        values = read_numbers(plain, channels, self.format.decimal, self.allow_missing, WAYS_OUT)
        return [values[index] for index in rows], rows


class CSVSequences(SequenceOrWordTables, name="csv_sequences"):
    """A CSV, Parquet or JSONL file with a row for each step of each sequence, oldest first."""

    class Config(CSVFields, SequenceOrWordTables.Config):
        id: Column
        """Column of the sequence that a row belongs to."""
        label: TargetColumns
        """Column of the class of a sequence, the same in all of its rows; with target=value, of the value to predict,
        or several; with target=labels, of all labels of a sequence, or a column of 0 and 1 for each; with target=tag,
        of the class of each row, empty where it has none."""

        @model_validator(mode="after")
        def _columns_are_distinct_and_marks_have_an_effect(self) -> CSVSequences.Config:
            if not self.channels and self.words is None:
                raise ValueError("channels is empty: name at least one column of numbers, or set words to a column of "
                                 "words")  # fmt: skip
            names = [self.id, *self.head.labels, *self.channels, self.words, self.split, self.group]
            check_distinct(names, "id, label, channels, words, split and group")
            check_format(self.path, self.format)
            return self

        @property
        def reader(self) -> SequenceReader:
            return SequenceTable(self.id, self.head, self.steps, self.format, self.missing != "error")
