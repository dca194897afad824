"""Sequences of a user, from a folder with a table for each sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import model_validator

from lstm_lab.config import DataError
from lstm_lab.config.paths import FilePath
from lstm_lab.data.kinds.sequence_tables import SequenceTables
from lstm_lab.data.kinds.user_files import SequenceReader, Target, no_frames
from lstm_lab.data.preprocessing.missing import WAYS_OUT
from lstm_lab.data.readers.array_file import read_array_of_steps
from lstm_lab.data.readers.columns import Column, Columns, TargetColumns, check_distinct
from lstm_lab.data.readers.csv_format import CSVFields, CSVFormat
from lstm_lab.data.readers.folders import FolderFile, files_of_folder, find_sample_folder
from lstm_lab.data.readers.formats import read_number_rows
from lstm_lab.data.readers.locate import find_file, find_folder
from lstm_lab.data.readers.sample_table import read_sample_rows, rows_of_files
from lstm_lab.data.readers.sequence_file import SequenceFile
from lstm_lab.data.readers.sequence_heads import HeadColumns
from lstm_lab.data.readers.table import Table, read_numbers


@dataclass(frozen=True)
class FolderReader:
    """How the files of a folder are read."""

    channels: tuple[str, ...]
    target: Target
    labels: str | None
    """Path of the table with the targets; None: a class is the name of a folder, classes of steps are a column."""
    head: HeadColumns
    format: CSVFormat
    allow_missing: bool = False

    def read(self, path: str, split: str | None = None, labelled: bool = True) -> SequenceFile:
        if not labelled:
            return self._read_new(path)
        root = find_sample_folder(path, "csv_sequences")
        files = files_of_folder(root)
        if self.labels is not None:
            table = read_sample_rows(self.labels, [str(self.head.id), *self.head.wanted(split)], self.format)
            files = [file for file in files if file.path.resolve() != table.path.resolve()]
            head = rows_of_files(table, str(self.head.id), files, self.labels)
            splits, groups, y = (
                self.head.splits(head, split),
                self.head.groups(head),
                self.head.targets(head, CSVFormat()),
            )
            return SequenceFile(root, [self._sequence(file.path) for file in files], y, groups, splits,
                                targets=self.head.value_names, classes=self.head.classes,
                                channels=self.channels)  # fmt: skip
        named = np.array([file.split for file in files]) if any(file.split for file in files) else None
        if named is not None and split is not None:
            raise DataError(f"{root}: has folders for splits, but is the {split} split: name one of its folders")
        if named is not None and "train" not in named:
            raise DataError(f"{root}: has a folder for {next(filter(None, named))} but none for train: make one")
        if self.target == "tag":
            tables = [self._table(file.path, (self.head.label,)) for file in files]
            tags = [cell for table in tables for cell in table.columns[self.head.label]]
            return SequenceFile(root, [self._numbers(table) for table in tables], np.array(tags), None, named,
                                channels=self.channels)  # fmt: skip
        unlabelled = next((file for file in files if not file.label), None)
        if unlabelled is not None:
            raise DataError(f"{unlabelled.path}: lies in no folder that names its class: move it into one, or set "
                            "data.labels to a table with a row for each file")  # fmt: skip
        labels = np.array([file.label for file in files])
        sequences = [self._sequence(file.path) for file in files]
        return SequenceFile(root, sequences, labels, None, named, channels=self.channels)

    def read_frame(self, frame: Any) -> SequenceFile:
        raise no_frames("csv_folder", "a file, a folder, or arrays (T, F)")

    def _read_new(self, path: str) -> SequenceFile:
        """The sequences of a folder, or of one file."""
        root = find_folder(path)
        files = [FolderFile(find_file(path), Path(path).stem, "", "")] if root is None else files_of_folder(root)
        if self.labels is not None:
            files = [file for file in files if file.path.name != Path(self.labels).name]
        sequences = [self._sequence(file.path) for file in files]
        return SequenceFile(root or Path(path), sequences, ids=[file.id for file in files], id_column="file")

    def _table(self, path: Path, more: Sequence[str] = ()) -> Table:
        return read_number_rows(path, (*self.channels, *more), self.format)

    def _sequence(self, path: Path) -> np.ndarray:
        """(T, F)"""
        if path.suffix.lower() == ".npy":
            return read_array_of_steps(path, self.channels, self.allow_missing)
        return self._numbers(self._table(path))

    def _numbers(self, table: Table) -> np.ndarray:
        """(T, F)"""
        plain = self.format.plain(table, self.channels)
        return read_numbers(plain, self.channels, self.format.decimal, self.allow_missing, WAYS_OUT)


class CSVFolder(SequenceTables, name="csv_folder"):
    """A folder with one CSV, TSV, Parquet or JSONL file for each sequence, or an .npy file of an array (T, F), whose
    class is the name of the folder that it lies in, or whose class or value is in a table. Folders train, test and
    validation may stand above them."""

    class Config(CSVFields, SequenceTables.Config):
        channels: Columns
        """Columns of numbers, in each of the files; those of an array are 0, 1, 2, ..."""
        target: Target = "class"
        """A class for each sequence, values or any number of labels for each (from `labels`), or a class for each step
        (a column)."""
        labels: FilePath | None = None
        """A table with a row for each file; null: a class is the name of the folder that the file lies in."""
        id: Column = "file"
        """Column of `labels` that names the file, with or without its ending."""
        label: TargetColumns = "label"
        """Column of `labels` with the class, the value or all labels; several values, or a column of 0 and 1 for each
        label; with target=tag the column of each file that has the classes of the steps."""
        split: Column | None = None
        """Column of `labels` with train, validation or test; null: splits are drawn, or folders of these names."""
        group: Column | None = None
        """Column of `labels` whose groups stay in one split, such as the person; null: only equal sequences stay
        together."""

        @model_validator(mode="after")
        def _fields_have_an_effect(self) -> CSVFolder.Config:
            if not self.channels:
                raise ValueError("channels is empty: name at least one column of numbers")
            check_distinct([self.id, *self.head.labels, self.split, self.group], "id, label, split and group")
            if self.labels is None and self.target in ("value", "labels"):
                raise ValueError(f"target={self.target} needs labels: set it to a table with a row for each file")
            if self.labels is not None and self.target == "tag":
                raise ValueError("target=tag reads the classes of steps from each file: remove labels")
            if self.labels is None and (self.split or self.group):
                raise ValueError("split and group would have no effect without labels, whose columns they name")
            return self

        @property
        def reader(self) -> SequenceReader:
            return FolderReader(
                self.channels, self.target, self.labels, self.head, self.format, self.missing != "error"
            )
