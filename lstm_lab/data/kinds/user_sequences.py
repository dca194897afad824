"""Labelled sequences of a user, with fractions of the splits as fields of the configuration."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypedDict

import numpy as np
from pydantic import model_validator

from lstm_lab.config import ConfigError
from lstm_lab.data.base import Dataset
from lstm_lab.data.kinds.labelled import LabelledData, LabelledSequences
from lstm_lab.data.kinds.new_samples import NamedSequences
from lstm_lab.data.preprocessing.splits import (
    DEFAULT_FRACTIONS,
    Fraction,
    TestFraction,
    assign_splits,
    check_fractions,
    check_groups,
    check_named_fractions,
    class_indices,
)
from lstm_lab.data.readers.in_memory import NewData, is_frame
from lstm_lab.paths import FilePath


@dataclass(frozen=True)
class UserData:
    """Labelled sequences as a source reads them."""

    sequences: list[np.ndarray]
    """N arrays (T, C) float64."""
    labels: np.ndarray
    """(N,) class name of each."""
    splits: np.ndarray | None = None
    """(N,) names of SPLITS; a split that is not named is drawn from the training split."""
    groups: np.ndarray | None = None
    """(N,) sequences of one group stay in one split when we draw it; None: only equal sequences stay together."""


class UserSequenceOptions(TypedDict):
    """Arguments of a `UserSequences`."""

    path: str
    validation: float
    test: float
    batch_size: int


class UserSequences(LabelledSequences):
    """Base of the sources of labelled sequences of a user. A source writes `read_all`, and how it reads new ones."""

    reads_new_files = True

    class Config(Dataset.Config):
        path: FilePath
        """The file; looked up beside the experiment's file, in the current folder, then below the folder that
        LSTM_LAB_DATA names."""
        validation: Fraction = DEFAULT_FRACTIONS[0]
        """Fraction of the sequences, where the data name no validation split."""
        test: TestFraction = DEFAULT_FRACTIONS[1]
        """Fraction of the sequences, where the data name no test split; 0: none."""

        @model_validator(mode="after")
        def _training_sequences_are_left(self) -> UserSequences.Config:
            check_fractions(self.validation, self.test)
            return self

    def __init__(self, *, path: str, validation: float, test: float, batch_size: int) -> None:
        super().__init__(batch_size)
        self.path, self.fractions = path, (validation, test)

    @property
    def has_test_split(self) -> bool:
        return self.fractions[1] > 0

    @abstractmethod
    def read_all(self) -> UserData:
        """All sequences."""

    @abstractmethod
    def read_unlabelled(self, path: str) -> NamedSequences:
        """The sequences (T, C) of another file of the same format, whose classes are not read."""

    @cached_property
    def _all(self) -> tuple[UserData, np.ndarray]:
        """All sequences, and (N,) the index into SPLITS of each."""
        data = self.read_all()
        _, labels = class_indices(data.labels, data.splits, self.path)
        if data.splits is not None:
            check_named_fractions(set(data.splits.tolist()), self.fractions, self.path)
            if data.groups is not None:
                check_groups(data.groups, data.splits, self.path)
        groups = [sequence.tobytes() for sequence in data.sequences] if data.groups is None else data.groups.tolist()
        return data, assign_splits(labels, groups, data.splits, self.fractions, self.path, "sequences")

    def read(self) -> LabelledData:
        data, splits = self._all
        train, test = (
            ([data.sequences[row] for row in rows], data.labels[rows])
            for rows in (np.flatnonzero(splits < 2), np.flatnonzero(splits == 2))
        )
        return LabelledData(train, test)

    @cached_property
    def _train_and_validation(self) -> tuple[np.ndarray, np.ndarray]:
        splits = self._all[1]
        validation = splits[splits < 2] == 1
        return np.flatnonzero(~validation), np.flatnonzero(validation)

    def new_sequences(self, source: NewData) -> NamedSequences:
        if isinstance(source, str | Path):
            return self.read_unlabelled(str(source))
        if is_frame(source):
            raise ConfigError(f"data '{self.name}' takes no new samples from a DataFrame: provide a file, or arrays "
                              "(T, C)")  # fmt: skip
        return super().new_sequences(source)
