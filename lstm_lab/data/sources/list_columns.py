"""Sequences of a user, from a table with a row for each sequence, whose cells are lists of steps."""

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
from lstm_lab.data.readers.cells import CellTypes, as_text
from lstm_lab.data.readers.columns import Column, Columns, TargetColumns, check_distinct
from lstm_lab.data.readers.csv_format import CSVFormat
from lstm_lab.data.readers.locate import find_file
from lstm_lab.data.readers.sequence_file import SequenceFile
from lstm_lab.data.readers.sequence_heads import HeadColumns, StepColumns
from lstm_lab.data.readers.table import LARGEST, Table
from lstm_lab.data.readers.value_columns import ValueColumns, frame_values, read_values

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ListTable:
    """The columns of a table with a row for each sequence."""

    head: HeadColumns
    steps: StepColumns
    allow_missing: bool = False

    def read(self, path: str, split: str | None = None, labelled: bool = True) -> SequenceFile:
        more = self.head.wanted(split) if labelled else [name for name in (self.head.id,) if name]
        values = read_values(find_file(path), [*self.steps.names, *more])
        sequences = self._sequences(values)
        if not labelled:
            return self._named(values, sequences)
        tags = self.head.label if self.head.target == "tag" else None
        lists = self.head.labels if self.head.target == "labels" else ()
        head = _texts(values, [name for name in more if name != tags], lists)
        y = self._tags(values, sequences) if tags else self.head.targets(head, CSVFormat())
        return SequenceFile(
            values.path, sequences, y, self.head.groups(head), self.head.splits(head, split),
            targets=self.head.value_names, classes=self.head.classes, channels=self.steps.channels,
        )  # fmt: skip

    def read_frame(self, frame: pd.DataFrame) -> SequenceFile:
        values = frame_values(frame, [*self.steps.names, *(name for name in (self.head.id,) if name)])
        return self._named(values, self._sequences(values))

    def _named(self, values: ValueColumns, sequences: list[np.ndarray]) -> SequenceFile:
        if self.head.id is None:
            return SequenceFile(values.path, sequences)
        ids = plain_ids(_texts(values, [self.head.id]).columns[self.head.id])
        return SequenceFile(values.path, sequences, ids=ids, id_column=self.head.id)

    def _sequences(self, values: ValueColumns) -> list[np.ndarray]:
        """N arrays (T, F), or (T,) of words."""
        words, channels = self.steps.words, self.steps.channels
        if words is not None:
            return [self._words(values, row, words) for row in range(len(values.lines))]
        columns = [[self._steps(values, row, name) for row in range(len(values.lines))] for name in channels]
        width = [steps[0].shape[1] for steps in columns]
        for row, parts in enumerate(zip(*columns, strict=True)):
            for name, part, wanted in zip(channels, parts, width, strict=True):
                if len(part) != len(parts[0]):
                    raise values.error(row, name, f"has {len(part)} steps, but column {channels[0]!r} has "
                                       f"{len(parts[0])}: give all channels of a sequence the same number")  # fmt: skip
                if part.shape[1] != wanted:
                    raise values.error(row, name, f"has {part.shape[1]} numbers in each step, but the first row has "
                                       f"{wanted}")  # fmt: skip
        return [np.concatenate(parts, 1) for parts in zip(*columns, strict=True)]

    def _steps(self, values: ValueColumns, row: int, name: str) -> np.ndarray:
        """(T, K) numbers of one cell: K is 1 where its entries are numbers and not lists."""
        try:
            steps = np.array(values.columns[name][row], np.float64)  # None becomes NaN.
        except (TypeError, ValueError):
            raise values.error(row, name, "is not a list of numbers, or of equally long lists of numbers: write one "
                               "for each sequence") from None  # fmt: skip
        if steps.ndim not in (1, 2) or not steps.size:
            found = "has no steps" if steps.ndim and not steps.size else "is no list of steps"
            raise values.error(row, name, f"{found}: write a list of numbers, or remove the row")
        steps = steps.reshape(len(steps), -1)
        missing = np.isnan(steps)
        if missing.any() and not self.allow_missing:
            raise values.error(row, name, f"step {int(np.argwhere(missing)[0, 0]) + 1} is missing: {WAYS_OUT}")
        wrong = ~(np.abs(steps) <= LARGEST) & ~missing
        if wrong.any():
            step = int(np.argwhere(wrong)[0, 0])
            raise values.error(row, name, f"step {step + 1} is {steps[wrong][0]}: correct it, or use larger units")
        return steps

    def _words(self, values: ValueColumns, row: int, name: str) -> np.ndarray:
        """(T,) words of one cell."""
        cell = values.columns[name][row]
        words = list(cell) if isinstance(cell, list | tuple | np.ndarray) else []
        if not words or not all(isinstance(word, str) for word in words):
            raise values.error(row, name, "is no list of words: write one for each sequence")
        return np.array(words)

    def _tags(self, values: ValueColumns, sequences: list[np.ndarray]) -> np.ndarray:
        """(sum of T,) class names of all steps, "" where a step has none."""
        labels: list[str] = []
        for row, sequence in enumerate(sequences):
            cell = values.columns[self.head.label][row]
            steps = list(cell) if isinstance(cell, list | tuple | np.ndarray) else []
            if len(steps) != len(sequence):
                raise values.error(row, self.head.label, f"has {len(steps)} classes, but the sequence has "
                                   f"{len(sequence)} steps: write a list with a class for each")  # fmt: skip
            labels += ["" if label is None else str(label) for label in steps]
        return np.array(labels)


def _texts(values: ValueColumns, names: Sequence[str], lists: tuple[str, ...] = ()) -> Table:
    """Columns of numbers and texts as a table.

    Args:
        lists: columns that may have lists of texts.
    """
    if not names:
        return Table(values.path, {}, [*values.lines], values.unit, typed=True)
    table = as_text(values.path, {name: values.columns[name] for name in names}, CellTypes(True, lists))
    return table._replace(lines=[*values.lines], unit=values.unit)


class ListColumns(SequenceOrWordTables, name="list_columns"):
    """A Parquet, JSON or CSV file with a row for each sequence, in whose cells are lists: a list of numbers is one
    channel, a list of equally long lists several. In a CSV a list is written as JSON, Python or NumPy write it, or as
    numbers between blanks, semicolons or |."""

    class Config(SequenceOrWordTables.Config):
        label: TargetColumns
        """Column of the class; with target=value, of the value to predict, or several; with target=labels, of all
        labels of a sequence (lists, or joined), or a column of 0 and 1 for each; with target=tag, of lists with a class
        for each step."""
        channels: Columns = ()
        """Columns of lists of numbers."""
        words: Column | None = None
        """With target=tag, a column of lists of words in place of channels: each word of the training split that occurs
        there twice is embedded."""

        @model_validator(mode="after")
        def _columns_are_distinct(self) -> ListColumns.Config:
            if not self.channels and self.words is None:
                raise ValueError("channels is empty: name at least one column of lists of numbers, or set words")
            check_distinct([self.id, *self.head.labels, *self.channels, self.words, self.split, self.group],
                           "id, label, channels, words, split and group")  # fmt: skip
            return self

        @property
        def reader(self) -> SequenceReader:
            return ListTable(self.head, self.steps, self.missing != "error")
