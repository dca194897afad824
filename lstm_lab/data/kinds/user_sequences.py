"""Sequences of a user: with a class, values, a class for each step, or any number of labels. A source says how its
files are read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from pydantic import model_validator

from lstm_lab.config import DataError
from lstm_lab.config.paths import FilePath
from lstm_lab.data.base import Dataset
from lstm_lab.data.kinds.class_choice import ClassChoice
from lstm_lab.data.kinds.labelled import LabelledArrays, LabelledData, LabelledSequences
from lstm_lab.data.kinds.multi_label_sequences import MultiLabelSequences
from lstm_lab.data.kinds.pre_split import RawSplit, RawSplits
from lstm_lab.data.kinds.sequence_regression import SequenceRegression
from lstm_lab.data.kinds.tagged import TaggedSequences
from lstm_lab.data.kinds.user_files import SequenceReader, Target, UserFiles, UserOptions, groups_of_splits, in_order
from lstm_lab.data.preprocessing.label_codes import CodedLabels, coded_labels
from lstm_lab.data.preprocessing.missing import Missing
from lstm_lab.data.preprocessing.splits import (
    DEFAULT_FRACTIONS,
    Fraction,
    TestFraction,
    check_fractions,
    check_given_fractions,
    class_indices,
    given_splits,
    unlearnable_classes,
)


class LabelledFiles(UserFiles, LabelledSequences):
    """Sequences of a user with one class each."""

    @cached_property
    def labels(self) -> np.ndarray:
        """(N,) class names."""
        return np.concatenate([file.labels() for file in self.files])

    @cached_property
    def splits(self) -> np.ndarray:
        """(N,) index into SPLITS of each sequence."""
        return self.assigned(class_indices(self.labels, self.named_splits, self.path)[1])

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        return in_order(super()._classes, self.files[0])

    def read(self) -> LabelledData:
        return LabelledData(self._at(self.splits < 2), self._at(self.splits == 2))

    def _at(self, mask: np.ndarray) -> LabelledArrays:
        return [self.sequences[row] for row in np.flatnonzero(mask)], self.labels[mask]

    @property
    def _train_groups(self) -> Sequence[Hashable]:
        return [self.groups[row] for row in np.flatnonzero(self.splits < 2)]

    def _own_split(self) -> tuple[np.ndarray, np.ndarray]:
        validation = self.splits[self.splits < 2] == 1
        return np.flatnonzero(~validation), np.flatnonzero(validation)


class RegressionFiles(UserFiles, SequenceRegression):
    """Sequences of a user with values to predict for each."""

    standardized = True

    @cached_property
    def _values(self) -> np.ndarray:
        """(N, K)"""
        values = [file.values() for file in self.files]
        for own, file in zip(values, self.files, strict=True):
            if own.shape[1] != values[0].shape[1]:
                raise DataError(f"{file.path}: has {own.shape[1]} values for each sequence, but {self.path} has "
                                f"{values[0].shape[1]}")  # fmt: skip
        return np.concatenate(values)

    @property
    def targets(self) -> tuple[str, ...]:
        K, names = self._values.shape[1], self.files[0].targets
        if names and len(names) != K:
            raise DataError(f"{self.path}: targets names {len(names)} values, but y has {K} for each sequence")
        return names or (("y",) if K == 1 else tuple(f"y{k + 1}" for k in range(K)))

    def read(self) -> RawSplits[np.ndarray]:
        splits = self.assigned(np.zeros(len(self.sequences), np.int64))
        groups = groups_of_splits(self)
        return RawSplits(*(
            RawSplit([self.sequences[i] for i in index], [groups[i] for i in index], self._values[index])
            for index in (np.flatnonzero(splits == number) for number in range(3))
        ))  # fmt: skip


class TaggedFiles(UserFiles, TaggedSequences):
    """Sequences of a user with a class for each step, or for some of the steps."""

    @cached_property
    def step_labels(self) -> list[np.ndarray]:
        """N arrays (T,) of class names."""
        return [labels for file in self.files for labels in file.step_labels()]

    @cached_property
    def classes(self) -> tuple[str, ...]:
        labels = np.concatenate(self.step_labels)
        names, _ = class_indices(labels[labels != ""], None, self.path)
        return in_order(names, self.files[0])

    @property
    def notes(self) -> tuple[str, ...]:
        return unlearnable_classes(self.info.classes, self.info.counts)

    def read(self) -> RawSplits[list[np.ndarray]]:
        splits = self.assigned(np.zeros(len(self.sequences), np.int64))
        groups, number = groups_of_splits(self), {name: i for i, name in enumerate(self.classes)} | {"": -1}
        targets = [np.array([number[name] for name in labels.tolist()], np.int64) for labels in self.step_labels]
        return RawSplits(*(
            RawSplit([self.sequences[i] for i in index], [groups[i] for i in index], [targets[i] for i in index])
            for index in (np.flatnonzero(splits == part) for part in range(3))
        ))  # fmt: skip


class MultiLabelFiles(UserFiles, MultiLabelSequences):
    """Sequences of a user with any number of labels each."""

    @cached_property
    def coded(self) -> CodedLabels:
        """The labels of all sequences."""
        found = [file.label_sets() for file in self.files]
        names = dict.fromkeys(name for _, own in found for name in own)
        return coded_labels([labels for sets, _ in found for labels in sets], [*names], self.path)

    @property
    def labels(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.coded.names

    def read(self) -> RawSplits[np.ndarray]:
        splits, groups = self.assigned(self.coded.strata), groups_of_splits(self)
        return RawSplits(*(
            RawSplit([self.sequences[i] for i in index], [groups[i] for i in index], self.coded.targets[index])
            for index in (np.flatnonzero(splits == number) for number in range(3))
        ))  # fmt: skip


Kind = type[LabelledFiles | RegressionFiles | TaggedFiles | MultiLabelFiles]
KINDS: dict[Target, Kind] = {
    "class": LabelledFiles, "value": RegressionFiles, "tag": TaggedFiles, "labels": MultiLabelFiles,
}  # fmt: skip


class UserSequences(Dataset):
    """Base of the sources of sequences of a user: their fields, which build the kind that goes with the targets."""

    reads_new_files = True

    class Config(ClassChoice):
        path: FilePath
        """The file; looked up beside the experiment's file, in the current folder, then below the folder that
        LSTM_LAB_DATA names."""
        validation_path: FilePath | None = None
        """Where the sequences of the validation split are, written as those at `path`; null: among those at `path`."""
        test_path: FilePath | None = None
        """Where the sequences of the test split are, written as those at `path`; null: among those at `path`."""
        target: Target = "class"
        """What the data have of each sequence: a class, values, a class for each step, or any number of labels."""
        validation: Fraction = DEFAULT_FRACTIONS[0]
        """Fraction of the sequences, where the data name no validation split."""
        test: TestFraction = DEFAULT_FRACTIONS[1]
        """Fraction of the sequences, where the data name no test split; 0: none."""
        missing: Missing = "error"
        """Missing values: an error, the last known value of the sequence, or zeros with one more channel for each
        channel as a mask."""

        @model_validator(mode="after")
        def _training_sequences_are_left(self) -> UserSequences.Config:
            check_fractions(self.validation, self.test)
            check_given_fractions(self.given, (self.validation, self.test))
            if self.only_classes and self.target != "class":
                raise ValueError(f"only_classes={list(self.only_classes)} would have no effect with "
                                 f"target={self.target}: leave it out")  # fmt: skip
            return self

        @property
        def given(self) -> dict[str, str]:
            """Split -> path, of those splits that have a file of their own."""
            return given_splits(self.validation_path, self.test_path)

        @property
        @abstractmethod
        def reader(self) -> SequenceReader:
            """How the files are read."""

        @property
        def dataset(self) -> Kind:
            return KINDS[self.target]

        def make(self, *info: Any, **more: Any) -> Any:
            options: UserOptions = {
                "source": self.name, "path": self.path, "given": self.given, "missing": self.missing,
                "fractions": (self.validation, self.test), "batch_size": self.batch_size, "reader": self.reader,
            }  # fmt: skip
            return self.dataset(*info, **more, **options)
