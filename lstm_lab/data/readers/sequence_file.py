"""Sequences and their targets, whatever they were read from, and the checks of the targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.readers.table import LARGEST, list_names


@dataclass(frozen=True)
class SequenceFile:
    """N sequences with F channels and their targets, as a reader finds them in a file or a folder."""

    path: Path
    sequences: list[np.ndarray]
    """N arrays (T, F) float64, or (T,) of words."""
    y: np.ndarray | None = None
    """Targets: (N,) classes, (N, K) or (N,) values, (sum of T,) or (N, T) classes of the steps, or of labels (N,)
    tuples of names, or (N, K), 1 where a sequence has one."""
    groups: np.ndarray | None = None
    """(N,) sequences of one group stay in one split."""
    splits: np.ndarray | None = None
    """(N,) names of SPLITS."""
    classes: tuple[str, ...] = ()
    """Class names in the order of their indices; empty: sorted."""
    targets: tuple[str, ...] = ()
    """Names of the K values."""
    ids: Sequence[str | int] = ()
    """Of each sequence; empty: they are counted."""
    id_column: str = "sequence"
    """What ids are called in predictions."""
    channels: tuple[str, ...] = ()
    """Names of the F channels; empty: they have none."""

    @property
    def lengths(self) -> np.ndarray:
        """(N,) steps of each sequence."""
        return np.array([len(sequence) for sequence in self.sequences])

    def values(self) -> np.ndarray:
        """(N, K) float64 values to predict.

        Raises:
            DataError: no y, of another shape, or not finite.
        """
        y = self._targets()
        if y.dtype.kind not in "fiub" or y.ndim not in (1, 2) or len(y) != len(self.sequences):
            raise DataError(f"{self.path}: y has shape {y.shape} and type {y.dtype}, but values to predict are "
                            f"{len(self.sequences)} numbers, or rows of numbers, one for each sequence")  # fmt: skip
        values = y.astype(np.float64).reshape(len(y), -1)
        wrong = np.argwhere(~(np.abs(values) <= LARGEST))
        if len(wrong):
            raise DataError(f"{self.path}: y[{wrong[0, 0]}]: is {values[tuple(wrong[0])]}: remove the sequence")
        return values

    def labels(self) -> np.ndarray:
        """(N,) class name of each sequence.

        Raises:
            DataError: no y, or of another shape or type.
        """
        y = self._targets()
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        elif is_one_hot(y):
            y = y.argmax(1)
        if y.shape != (len(self.sequences),):
            raise DataError(f"{self.path}: y has shape {y.shape}, but {len(self.sequences)} sequences need one class "
                            "each")  # fmt: skip
        return self._names(y.astype(np.int64) if are_whole(y) else y)

    def label_sets(self) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
        """Labels of each sequence, and all of them in the order of their indices, empty: those that occur, sorted.

        Raises:
            DataError: no y, or of another shape or type.
        """
        y = self._targets()
        if y.dtype == object:
            return [*y.tolist()], self.classes
        if y.ndim != 2 or len(y) != len(self.sequences) or not np.isin(y, (0, 1)).all():
            raise DataError(f"{self.path}: y has shape {y.shape} and type {y.dtype}, but labels are rows of 0 and 1, "
                            f"one for each of {len(self.sequences)} sequences")  # fmt: skip
        names = self.classes or tuple(f"y{k + 1}" for k in range(y.shape[1]))
        if len(names) != y.shape[1]:
            raise DataError(f"{self.path}: classes names {len(names)} labels, but y has {y.shape[1]} columns")
        return [tuple(name for name, has in zip(names, row, strict=True) if has) for row in y.tolist()], names

    def step_labels(self) -> list[np.ndarray]:
        """N arrays (T,) of class names, "" at steps without a target: those that are "" or negative in y.

        Raises:
            DataError: no y, or of another shape or type.
        """
        y, lengths = self._targets(), self.lengths
        if y.ndim == 2 and len(y) == len(lengths) and y.shape[1] >= lengths.max():
            y = np.concatenate([row[:length] for row, length in zip(y, lengths, strict=True)])
        if y.shape != (lengths.sum(),):
            raise DataError(f"{self.path}: y has shape {y.shape}, but {lengths.sum()} steps need one class each")
        names = np.where(y < 0, "", self._names(np.maximum(y, 0))) if y.dtype.kind == "i" else self._names(y)
        return np.split(names, lengths.cumsum()[:-1])

    def _targets(self) -> np.ndarray:
        if self.y is None:
            raise DataError(f"{self.path}: has no array y: write the targets of the sequences under this name")
        return self.y

    def _names(self, y: np.ndarray) -> np.ndarray:
        """Class names: y itself, or `classes` at the integers of y."""
        if y.dtype.kind not in "iubU":
            raise DataError(f"{self.path}: y has type {y.dtype}, but classes are integers or strings: convert them, or "
                            "set data.target=value to predict numbers")  # fmt: skip
        names = y.astype(str)
        if not self.classes or set(names.tolist()) - {""} <= set(self.classes):
            return names
        if y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= len(self.classes):
            wrong = next(name for name in names.tolist() if name not in self.classes)
            raise DataError(f"{self.path}: y has class {wrong!r}, which is neither in classes "
                            f"({list_names(self.classes)}) nor an index of it")  # fmt: skip
        indexed: np.ndarray = np.array(self.classes)[y]
        return indexed


def is_one_hot(y: np.ndarray) -> bool:
    """Whether each row has a single 1 among zeros, as Keras writes classes."""
    is_table = y.ndim == 2 and y.shape[1] > 1 and y.dtype.kind in "fiub"
    return is_table and bool(np.isin(y, (0, 1)).all() and (y.sum(1) == 1).all())


def are_whole(y: np.ndarray) -> bool:
    """Whether numbers of a floating point type are whole."""
    return y.dtype.kind == "f" and bool((np.abs(y) < 2**31).all() and (y % 1 == 0).all())
