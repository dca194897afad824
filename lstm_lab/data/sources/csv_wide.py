"""Sequences of a user, from a table with a row for each sequence and a column for each step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import model_validator

from lstm_lab.config import DataError
from lstm_lab.data.kinds.new_samples import plain_ids
from lstm_lab.data.kinds.sequence_tables import SequenceTables
from lstm_lab.data.kinds.user_files import SequenceReader
from lstm_lab.data.preprocessing.missing import WAYS_OUT
from lstm_lab.data.readers.cells import NUMBERS
from lstm_lab.data.readers.columns import Columns, check_distinct
from lstm_lab.data.readers.csv_format import CSVFields, CSVFormat, check_format
from lstm_lab.data.readers.formats import frame_names, read_frame, read_number_rows, table_names
from lstm_lab.data.readers.locate import find_file
from lstm_lab.data.readers.sequence_file import SequenceFile
from lstm_lab.data.readers.sequence_heads import HeadColumns
from lstm_lab.data.readers.table import MISSING, Table, list_names, read_numbers

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class WideTable:
    """The columns of a table with a row for each sequence."""

    head: HeadColumns
    channels: tuple[str, ...]
    format: CSVFormat
    allow_missing: bool = False

    def steps_of(self, names: Sequence[str], where: str) -> list[list[str]]:
        """Of each channel, the columns of its steps.

        Raises:
            DataError: a channel without any, or with another number than the first.
        """
        head = {*self.head.labels, self.head.id, self.head.split, self.head.group}
        if not self.channels:
            steps = [[name for name in names if name and name not in head]]
        else:
            steps = [[name for name in names if re.fullmatch(rf"{re.escape(channel)}[ _.\-]?\d+", name)]
                     for channel in self.channels]  # fmt: skip
        for channel, columns in zip(self.channels or ("",), steps, strict=True):
            if not columns or len(columns) != len(steps[0]):
                raise DataError(f"{where}: channel {channel!r} has {len(columns)} columns of steps, {channel}0, "
                                f"{channel}1 and so on, not {len(steps[0]) or 'one or more'}: correct data.channels; "
                                f"there are {list_names(names)}")  # fmt: skip
        return steps

    def read(self, path: str, split: str | None = None, labelled: bool = True) -> SequenceFile:
        file = find_file(path)
        steps = self.steps_of(table_names(file, self.format), str(file))
        more = self.head.wanted(split) if labelled else [name for name in (self.head.id,) if name]
        table = read_number_rows(file, [*(name for columns in steps for name in columns), *more], self.format)
        sequences = self._sequences(table, steps)
        if not labelled:
            return self._named(table, sequences)
        return SequenceFile(
            file, sequences, self.head.targets(table, self.format), self.head.groups(table),
            self.head.splits(table, split), targets=self.head.value_names, classes=self.head.classes,
            channels=self.channels,
        )  # fmt: skip

    def read_frame(self, frame: pd.DataFrame) -> SequenceFile:
        steps = self.steps_of(frame_names(frame), "DataFrame")
        more = [name for name in (self.head.id,) if name]
        table = read_frame(frame, [*(name for columns in steps for name in columns), *more], cells=NUMBERS,
                           index=self.head.id)  # fmt: skip
        return self._named(table, self._sequences(table, steps))

    def _named(self, table: Table, sequences: list[np.ndarray]) -> SequenceFile:
        if self.head.id is None:
            return SequenceFile(table.path, sequences)
        return SequenceFile(table.path, sequences, ids=plain_ids(table.columns[self.head.id]), id_column=self.head.id)

    def _sequences(self, table: Table, steps: list[list[str]]) -> list[np.ndarray]:
        """N arrays (T, F): a row ends with its last step that has a value."""
        columns = [name for names in steps for name in names]
        plain = self.format.plain(table, columns)
        present = np.array([[not MISSING.fullmatch(cell) for cell in plain.columns[name]] for name in columns])
        steps_present: np.ndarray = np.any(present.reshape(len(steps), len(steps[0]), -1), axis=0)  # (T, N)
        lengths = steps_present.shape[0] - steps_present[::-1].argmax(0)
        empty = np.flatnonzero(~steps_present.any(0))
        if len(empty):
            raise table.error(int(empty[0]), columns[0], "no step of the row has a value: remove the row")
        within = np.arange(len(steps[0]))[:, None] < lengths  # (T, N)
        if not self.allow_missing:
            gap = np.argwhere(within & ~present.reshape(len(steps), len(steps[0]), -1).all(0))
            if len(gap):
                step, row = (int(at) for at in gap[0])
                name = next(names[step] for names in steps if MISSING.fullmatch(plain.columns[names[step]][row]))
                raise table.error(row, name, f"the cell is empty ({len(gap)} in total): {WAYS_OUT}")
        values = read_numbers(plain, columns, self.format.decimal, allow_missing=True)  # (N, F T)
        shaped = values.reshape(len(values), len(steps), len(steps[0])).transpose(0, 2, 1)
        return [np.ascontiguousarray(row[:length]) for row, length in zip(shaped, lengths.tolist(), strict=True)]


class CSVWide(SequenceTables, name="csv_wide"):
    """A CSV, TSV, Parquet or JSONL file with a row for each sequence: its class or its value, and a column for each
    step, as the UCR archive writes them. A row ends with its last step that has a value."""

    class Config(CSVFields, SequenceTables.Config):
        target: Literal["class", "value", "labels"] = "class"
        """What `label` has: a class, values, or any number of labels."""
        channels: Columns = ()
        """Channels, whose steps are columns with their name and a number: ax for ax0, ax1 or ax_0, ax_1. Empty: one
        channel, and all columns that no other field names are its steps, in the order of the file."""

        @model_validator(mode="after")
        def _columns_are_distinct_and_marks_have_an_effect(self) -> CSVWide.Config:
            check_distinct([self.id, *self.head.labels, *self.channels, self.split, self.group],
                           "id, label, channels, split and group")  # fmt: skip
            check_format(self.path, self.format)
            return self

        @property
        def reader(self) -> SequenceReader:
            return WideTable(self.head, self.channels, self.format, self.missing != "error")
