"""Sequences of a user, from a table with a row for each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import model_validator

from lstm_lab.data.kinds.new_samples import plain_ids
from lstm_lab.data.kinds.tagged_words import TaggedWordFiles, check_words
from lstm_lab.data.kinds.user_files import SequenceReader, Target
from lstm_lab.data.kinds.user_sequences import LabelledFiles, RegressionFiles, TaggedFiles, UserSequences
from lstm_lab.data.preprocessing.missing import WAYS_OUT
from lstm_lab.data.readers.cells import NUMBERS
from lstm_lab.data.readers.columns import Column, Columns, check_distinct
from lstm_lab.data.readers.csv_format import CSVFields, CSVFormat, check_format
from lstm_lab.data.readers.formats import read_frame, read_number_rows
from lstm_lab.data.readers.locate import find_file
from lstm_lab.data.readers.sequence_file import SequenceFile
from lstm_lab.data.readers.sequence_heads import HeadColumns
from lstm_lab.data.readers.table import Table, quoted, read_numbers

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
    allow_missing: bool = False
    words: str | None = None
    """Column of words, in place of channels."""

    @property
    def _of_steps(self) -> tuple[str, ...]:
        """Columns with what is read of each step."""
        return (self.words,) if self.words is not None else self.channels

    def read(self, path: str, split: str | None = None, labelled: bool = True) -> SequenceFile:
        """All sequences and their targets.

        Raises:
            DataError: a cell that cannot be read, or that differs within a sequence.
        """
        split_column = self.split if split is None else None
        more = [name for name in (self.label, split_column, self.group) if name is not None] if labelled else []
        table = read_number_rows(find_file(path), (self.id, *self._of_steps, *more), self.format)
        sequences, rows = self._sequences(table)
        if not labelled:
            return self._named(table, sequences, rows)
        for name in more:
            if name != self.label or self.target != "tag":
                self._check_constant(table, name, rows)
        head = table.rows(np.array([index[0] for index in rows]))
        columns = HeadColumns(self.label, self.target, split=self.split, group=self.group)
        tags = np.array(table.columns[self.label])[np.concatenate(rows)] if self.target == "tag" else None
        return SequenceFile(
            table.path, sequences, columns.targets(head, self.format) if tags is None else tags, columns.groups(head),
            columns.splits(head, split), targets=(self.label,) if self.target == "value" else (),
            channels=self.channels,
        )  # fmt: skip

    def read_frame(self, frame: pd.DataFrame) -> SequenceFile:
        table = read_frame(frame, (self.id, *self._of_steps), cells=NUMBERS, index=self.id)
        return self._named(table, *self._sequences(table))

    def _named(self, table: Table, sequences: list[np.ndarray], rows: Sequence[np.ndarray]) -> SequenceFile:
        ids = plain_ids([table.columns[self.id][index[0]] for index in rows])
        return SequenceFile(table.path, sequences, ids=ids, id_column=self.id, channels=self.channels)

    def _sequences(self, table: Table) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The sequences (T, C), or (T,) of words, in the order of their first rows, and the rows of each."""
        rows = [*table.group_rows(self.id, "sequence").values()]
        if self.words is not None:
            words = np.array(table.columns[self.words])
            return [words[index] for index in rows], rows
        plain = self.format.plain(table, self.channels)
        values = read_numbers(plain, self.channels, self.format.decimal, self.allow_missing, WAYS_OUT)
        return [values[index] for index in rows], rows

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
        channels: Columns = ()
        """Columns of numbers."""
        words: Column | None = None
        """With target=tag, a column of words in place of channels: each word of the training split that occurs there
        twice is embedded."""
        split: Column | None = None
        """Column with train, validation or test; null: splits are drawn."""
        group: Column | None = None
        """Column whose groups stay in one split, such as the person; null: only equal sequences stay together."""

        @model_validator(mode="after")
        def _columns_are_distinct_and_marks_have_an_effect(self) -> CSVSequences.Config:
            if not self.channels and self.words is None:
                raise ValueError("channels is empty: name at least one column of numbers, or set words to a column of "
                                 "words")  # fmt: skip
            check_words(self.words, self.channels, self.target, self.missing)
            names = [self.id, self.label, *self.channels, self.words, self.split, self.group]
            check_distinct(names, "id, label, channels, words, split and group")
            check_format(self.path, self.format)
            return self

        @property
        def target_kind(self) -> Target:
            return self.target

        @property
        def dataset(self) -> type[LabelledFiles | RegressionFiles | TaggedFiles]:
            return super().dataset if self.words is None else TaggedWordFiles

        @property
        def reader(self) -> SequenceReader:
            return SequenceTable(self.id, self.label, self.channels, self.target, self.split, self.group, self.format,
                                 self.missing != "error", self.words)  # fmt: skip
