"""Sequences of a user, from an .npz file or from arrays: with a class, with values, or with a class for each step."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.base import Dataset, InfoT
from lstm_lab.data.kinds.labelled import LabelledInfo
from lstm_lab.data.kinds.new_samples import NamedSequences, numbered
from lstm_lab.data.kinds.pre_split import PreSplit, RawSplit, RawSplits, SplitT, TargetsT
from lstm_lab.data.kinds.sequence_regression import RegressionInfo, RegressionSplit, SequenceRegression
from lstm_lab.data.kinds.tagged import TaggedSequences, TaggedSplit
from lstm_lab.data.kinds.user_sequences import UserData, UserSequenceOptions, UserSequences
from lstm_lab.data.preprocessing.splits import assign_splits, check_named_fractions, class_indices
from lstm_lab.data.readers.array_file import ArrayFile, read_array_file
from lstm_lab.data.readers.columns import Sha256
from lstm_lab.data.readers.in_memory import NewData, is_frame
from lstm_lab.paths import FilePath

Target = Literal["class", "value", "tag"]


class LabelledArrays(UserSequences):
    """Sequences with one class each.

    Args:
        file: content of the file at `path`; None: it is read when it is needed.
    """

    name = "arrays"

    def __init__(
        self, *, sha256: str | None = None, y_path: str | None = None, file: ArrayFile | None = None,
        **options: Unpack[UserSequenceOptions],
    ) -> None:  # fmt: skip
        super().__init__(**options)
        self._file, self.sha256, self.y_path = file, sha256, y_path

    @cached_property
    def file(self) -> ArrayFile:
        return self._file or read_array_file(self.path, self.sha256, self.y_path)

    def read_all(self) -> UserData:
        return UserData(self.file.sequences, self.file.labels(), self.file.splits, self.file.groups)

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        return _in_order(super()._classes, self.file)

    def read_unlabelled(self, path: str) -> NamedSequences:
        return numbered(read_array_file(path).sequences)


class PreSplitArrays(PreSplit[InfoT, TargetsT, SplitT]):
    """Base of the sequences with values, or with a class for each step.

    Args:
        file: content of the file at `path`; None: it is read when it is needed.
    """

    reads_new_files = True

    def __init__(
        self, *, path: str, validation: float, test: float, batch_size: int, sha256: str | None = None,
        y_path: str | None = None, file: ArrayFile | None = None,
    ) -> None:  # fmt: skip
        super().__init__(batch_size)
        self.path, self.fractions, self.sha256, self._file = path, (validation, test), sha256, file
        self.y_path = y_path

    @cached_property
    def file(self) -> ArrayFile:
        return self._file or read_array_file(self.path, self.sha256, self.y_path)

    @property
    def has_test_split(self) -> bool:
        return self.fractions[1] > 0

    @abstractmethod
    def targets_at(self, index: np.ndarray) -> TargetsT:
        """Targets of the sequences at `index`, as `RawSplit` has them."""

    def read(self) -> RawSplits[TargetsT]:
        file = self.file
        if file.splits is not None:
            check_named_fractions(set(file.splits.tolist()), self.fractions, self.path)
        copies = [sequence.tobytes() for sequence in file.sequences] if file.groups is None else file.groups.tolist()
        no_classes = np.zeros(len(file.sequences), np.int64)
        splits = assign_splits(no_classes, copies, file.splits, self.fractions, self.path, "sequences")
        # Splits that the file names may have equal sequences: the user decides.
        groups = copies if file.splits is None or file.groups is not None else list(range(len(copies)))
        return RawSplits(*(self._raw_split(np.flatnonzero(splits == number), groups) for number in range(3)))

    def _raw_split(self, index: np.ndarray, groups: Sequence[Hashable]) -> RawSplit[TargetsT]:
        return RawSplit([self.file.sequences[i] for i in index], [groups[i] for i in index], self.targets_at(index))

    def new_sequences(self, source: NewData) -> NamedSequences:
        if isinstance(source, str | Path):
            return numbered(read_array_file(str(source)).sequences)
        if is_frame(source):
            raise ConfigError(f"data '{self.name}' takes no new samples from a DataFrame: provide an .npz file or "
                              "arrays (T, F)")  # fmt: skip
        return super().new_sequences(source)


class RegressionArrays(PreSplitArrays[RegressionInfo, np.ndarray, RegressionSplit], SequenceRegression):
    """Sequences with values to predict for each."""

    name = "arrays"
    standardized = True

    @cached_property
    def _values(self) -> np.ndarray:
        """(N, K)"""
        return self.file.values()

    @property
    def targets(self) -> tuple[str, ...]:
        K = self._values.shape[1]
        if self.file.targets and len(self.file.targets) != K:
            raise DataError(
                f"{self.path}: targets names {len(self.file.targets)} values, but y has {K} for each sequence"
            )
        return self.file.targets or (("y",) if K == 1 else tuple(f"y{k + 1}" for k in range(K)))

    def targets_at(self, index: np.ndarray) -> np.ndarray:
        values: np.ndarray = self._values[index]
        return values


class TaggedArrays(PreSplitArrays[LabelledInfo, list[np.ndarray], TaggedSplit], TaggedSequences):
    """Sequences with a class for each step, or for some of the steps."""

    name = "arrays"

    @cached_property
    def _step_labels(self) -> list[np.ndarray]:
        """N arrays (T,) of class names."""
        return self.file.step_labels()

    @cached_property
    def classes(self) -> tuple[str, ...]:
        labels = np.concatenate(self._step_labels)
        names, _ = class_indices(labels[labels != ""], None, self.path)
        return _in_order(names, self.file)

    def targets_at(self, index: np.ndarray) -> list[np.ndarray]:
        number = {name: i for i, name in enumerate(self.classes)} | {"": -1}
        return [np.array([number[name] for name in self._step_labels[i].tolist()], np.int64) for i in index]


def _in_order(found: tuple[str, ...], file: ArrayFile) -> tuple[str, ...]:
    """Class names in the order that the file gives.

    Raises:
        DataError: the file names a class without samples to train on.
    """
    missing = next((name for name in file.classes if name not in found), None)
    if missing is not None:
        raise DataError(f"{file.path}: classes names {missing!r}, but no sequence to train on has it: remove it")
    return file.classes or found


KINDS: dict[Target, type[Dataset]] = {"class": LabelledArrays, "value": RegressionArrays, "tag": TaggedArrays}


class ArrayDataset(Dataset, name="arrays"):
    """Sequences of an .npz file, or of .npy files: arrays X (N, T, F) and y, and lengths (N,) where sequences have
    different ones; or X (sum of T, F) with the sequences one behind the other. `lab.data.arrays` writes such a file.

    y has a class for each sequence (N,), values to predict (N,) or (N, K), or a class for each step (N, T) or
    (sum of T,). The file may also have groups (N,), splits (N,), classes (the order of the class names) and targets
    (names of the values). Channels are standardised by the training split.
    """

    reads_new_files = True

    class Config(UserSequences.Config):
        target: Target = "class"
        """What y has: a class for each sequence, values for each sequence, or a class for each step."""
        y_path: FilePath | None = None
        """An .npy file of y, where `path` is an .npy file of X; null: y is in the .npz file."""
        sha256: Sha256 | None = None
        """Of the file, as hex digits, where no other content is accepted; null: not checked."""

        @property
        def dataset(self) -> type[Dataset]:
            return KINDS[self.target]

        def build(self, *info: Any, **more: Any) -> Any:
            return self.dataset(
                *info, **more, **{key: value for key, value in self.options().items() if key != "target"}
            )
