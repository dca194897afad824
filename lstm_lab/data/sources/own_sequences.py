"""A person's own labelled sequences of numbers: a .ts file, or a table with a row for each step."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field, model_validator

from lstm_lab.config import DataError
from lstm_lab.data.base import Batch, Dataset
from lstm_lab.data.kinds.labelled import LabelledData, LabelledInfo, LabelledSequences, LabelledSplit
from lstm_lab.data.kinds.series import Fraction, check_fractions
from lstm_lab.data.preprocessing.splits import cut
from lstm_lab.data.readers.table import Table, find_file, read_numbers, read_table, read_text, show
from lstm_lab.data.readers.text_files import labels_of, read_rows
from lstm_lab.data.readers.ts_file import read_ts
from lstm_lab.data.sources.csv_series import TYPED, Columns, Mark, check_marks
from lstm_lab.data.sources.own_text import parts_of


@dataclass(frozen=True)
class StandardizedInfo(LabelledInfo):
    """Saved with the run, so that it reads new sequences without the old ones."""

    mean: tuple[float, ...] = ()
    """Of each channel over the training part."""
    std: tuple[float, ...] = ()


@dataclass(frozen=True)
class Found:
    """What a file holds."""

    sequences: list[np.ndarray]
    """Each (T, C) float64."""
    labels: np.ndarray
    """(N,) the name of each one's class."""
    parts: np.ndarray | None = None
    """(N,) of train, validation, test; a part that is not named is cut."""
    groups: np.ndarray | None = None
    """(N,) what must not be torn apart by a cut; none: equal sequences alone."""


class UserSequences(LabelledSequences):
    """Base of the files of labelled sequences. A source writes `find` and `labelless`."""

    Info = StandardizedInfo

    class Config(Dataset.Config):
        path: Annotated[str, Field(min_length=1)]
        """The file; looked up from the current folder, then below the folder that LSTM_LAB_DATA names."""
        validation: Fraction = 0.1
        """Share of the sequences, where the data name no validation part."""
        test: Fraction = 0.2
        """Share of the sequences, where the data name no test part."""

        @model_validator(mode="after")
        def _leave_something_to_train_on(self) -> UserSequences.Config:
            check_fractions(self.validation, self.test)
            return self

    def __init__(self, **choices: Any) -> None:
        super().__init__(choices["batch_size"])
        self.path: str = choices["path"]
        self.fractions: tuple[float, float] = (choices["validation"], choices["test"])

    @abstractmethod
    def find(self) -> Found:
        """All sequences."""

    @abstractmethod
    def labelless(self, path: str) -> list[np.ndarray]:
        """The sequences of another file of this form, whose labels are not needed."""

    @cached_property
    def _found(self) -> tuple[Found, np.ndarray]:
        """And the part of each, 0 train, 1 validation, 2 test."""
        found = self.find()
        parts = np.zeros(len(found.sequences), np.int64)
        if found.parts is not None:
            parts += (found.parts == "validation") + 2 * (found.parts == "test")
        classes, labels = np.unique(found.labels, return_inverse=True)
        if len(classes) < 2:
            raise DataError(f"{self.path}: holds one class alone ({show(str(classes[0]))}): there is nothing to tell "
                            "apart")  # fmt: skip
        groups = [sequence.tobytes() for sequence in found.sequences] if found.groups is None else found.groups.tolist()
        for part, name, share in ((2, "test", self.fractions[1]), (1, "validation", self.fractions[0])):
            if (parts == part).any():
                if share != type(self).Config.model_fields[name].default:
                    raise DataError(f"{self.path}: names a {name} part, so data.{name}={share} would do nothing: leave "
                                    "it out")  # fmt: skip
                continue
            rows = np.flatnonzero(parts == 0)
            if len(rows):
                left = share / (1 - self.fractions[1]) if part == 1 and found.parts is None else share
                parts[rows[cut(labels[rows], [groups[row] for row in rows], left)]] = part
            if not (parts == part).any() or not (parts == 0).any():
                raise DataError(f"{self.path}: {len(parts)} sequences leave none to the {name} or the training part: "
                                "bring more of them")  # fmt: skip
        return found, parts

    def read(self) -> LabelledData:
        found, parts = self._found
        both = [([found.sequences[row] for row in rows], found.labels[rows])
                for rows in (np.flatnonzero(parts < 2), np.flatnonzero(parts == 2))]  # fmt: skip
        return LabelledData(*both)

    @cached_property
    def _held_out(self) -> tuple[np.ndarray, np.ndarray]:
        parts = self._found[1]
        validates = parts[parts < 2] == 1
        return np.flatnonzero(~validates), np.flatnonzero(validates)

    @cached_property
    def info(self) -> StandardizedInfo:
        plain = super().info
        mean, std = self._scale
        return StandardizedInfo(**{**vars(plain), "mean": tuple(mean.tolist()), "std": tuple(std.tolist())})

    def read_new(self, path: str, info: StandardizedInfo) -> Iterator[Batch]:
        """The sequences of another file, in its order."""
        sequences = self.labelless(path)
        if sequences[0].shape[1] != info.input_size:
            raise DataError(f"{path}: {sequences[0].shape[1]} channels, but the model reads {info.input_size}")
        scaled = [(sequence - info.mean) / info.std for sequence in sequences]
        split = LabelledSplit(scaled, np.full(len(scaled), -1))
        return map(split.take, torch.arange(len(split)).split(self.batch_size))

    def prediction_table(
        self, answers: Sequence[Any], info: StandardizedInfo, columns: Sequence[str]
    ) -> tuple[list[str], list[list[Any]]]:
        return ["sequence", "label"], [[number, answer] for number, answer in enumerate(answers, 1)]


class TS(UserSequences, name="ts"):
    """A .ts file of the UEA and UCR archives: one line for each sequence, its channels parted by colons, its class
    last. Read by aeon, which takes capitals of labels for small letters."""

    class Config(UserSequences.Config):
        test_path: Annotated[str, Field(min_length=1)] | None = None
        """File of the test part; null: a share of `path`."""

    def __init__(self, **choices: Any) -> None:
        super().__init__(**choices)
        self.test_path: str | None = choices["test_path"]

    def find(self) -> Found:
        sequences, labels = read_ts(find_file(self.path))
        parts = None
        if self.test_path is not None:
            more, more_labels = read_ts(find_file(self.test_path))
            if more[0].shape[1] != sequences[0].shape[1]:
                raise DataError(f"{self.test_path}: {more[0].shape[1]} channels, but {self.path} has "
                                f"{sequences[0].shape[1]}")  # fmt: skip
            parts = np.array(["train"] * len(sequences) + ["test"] * len(more))
            sequences, labels = [*sequences, *more], np.concatenate([labels, more_labels])
        return Found(sequences, labels, parts)

    def labelless(self, path: str) -> list[np.ndarray]:
        return read_ts(find_file(path), labelled=False)[0]


class CSVSequences(UserSequences, name="csv_sequences"):
    """A CSV, Parquet or JSONL file with a row for each step of each sequence, oldest first."""

    class Config(UserSequences.Config):
        id: str
        """Column that says which sequence a row belongs to."""
        label: str
        """Column of the class's name, the same in all rows of a sequence."""
        channels: Columns
        """Columns of numbers."""
        split: str | None = None
        """Column that says train, validation or test; null: shares are cut."""
        group: str | None = None
        """Column of what must not be torn apart by a cut, such as the person; null: only equal sequences stay
        together."""
        separator: Mark = ","
        r"""Character between fields; a tab is written \t."""
        decimal: Literal[".", ","] = "."
        """Decimal mark of the numbers."""

        @model_validator(mode="after")
        def _names_are_distinct_and_marks_alive(self) -> CSVSequences.Config:
            names = [self.id, self.label, *self.channels, *filter(None, (self.split, self.group))]
            twice = next((name for name in names if names.count(name) > 1), None)
            if not self.channels:
                raise ValueError("channels is empty: name at least one column of numbers")
            if twice is not None:
                raise ValueError(f"{twice!r} stands twice in id, label, channels, split and group: name each once")
            check_marks(self.path, self.separator, self.decimal)
            return self

    def __init__(self, **choices: Any) -> None:
        super().__init__(**choices)
        self.id: str = choices["id"]
        self.label: str = choices["label"]
        self.channels: tuple[str, ...] = choices["channels"]
        self.split: str | None = choices["split"]
        self.group: str | None = choices["group"]
        self.marks: tuple[str, str] = (choices["separator"], choices["decimal"])

    def _table(self, path: str, more: Sequence[str]) -> tuple[Table, list[np.ndarray], list[int]]:
        """All rows, the steps of each sequence in the order of their first rows, and those first rows."""
        place = find_file(path)
        wanted = (self.id, *self.channels, *more)
        if place.suffix.lower() in TYPED:
            table = read_rows(place, wanted, numbers=True)
        else:
            table = read_table(read_text(place), place, self.marks[0], wanted)
        values = read_numbers(table, self.channels, self.marks[1])
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(table.columns[self.id]):
            if not name:
                raise table.fault(row, self.id, "the cell is empty: write which sequence the row belongs to")
            rows.setdefault(name, []).append(row)
        return table, [values[index] for index in rows.values()], [index[0] for index in rows.values()]

    def find(self) -> Found:
        more = [name for name in (self.label, self.split, self.group) if name is not None]
        table, sequences, first = self._table(self.path, more)
        ids = table.columns[self.id]
        begins = {ids[row]: row for row in first}
        for name in more:
            cells = table.columns[name]
            for row, cell in enumerate(cells):
                if cell != cells[begins[ids[row]]]:
                    raise table.fault(row, name, f"{show(cell)} differs from line {table.lines[begins[ids[row]]]} of "
                                      f"the same sequence {show(ids[row])}: write one for all of its rows")  # fmt: skip
        head = table.at(np.array(first))
        labels = labels_of(head, self.label)
        if len(set(labels.tolist())) > 2 + len(labels) // 2:
            raise DataError(f"{table.place}: column {self.label!r} holds {len(set(labels.tolist()))} classes for "
                            f"{len(labels)} sequences: set data.label to the column of the classes")  # fmt: skip
        parts = None if self.split is None else parts_of(head, self.split)
        groups = None if self.group is None else np.array(head.columns[self.group])
        if parts is not None and "train" not in parts:
            raise DataError(f"{table.place}: column {self.split!r} names no train part: write one")
        return Found(sequences, labels, parts, groups)

    def labelless(self, path: str) -> list[np.ndarray]:
        return self._table(path, ())[1]
