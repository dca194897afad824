"""Sequences of any length with one class each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from lstm_lab.config import DataError
from lstm_lab.data.base import Batch, Dataset, InfoT, NewSamples, Split
from lstm_lab.data.kinds.class_choice import ClassChoice
from lstm_lab.data.kinds.new_samples import (
    NamedSequences,
    batches_of,
    check_recorded_scale,
    new_sequences,
    on_training_scale,
    source_name,
)
from lstm_lab.data.kinds.packed import PackedSequences
from lstm_lab.data.preprocessing.scaling import check_resolution, standardization, standardized_sequences
from lstm_lab.data.preprocessing.splits import class_indices, no_test_split, unlearnable_classes
from lstm_lab.data.readers.cache import CacheEntry, cached, digest
from lstm_lab.data.readers.in_memory import NewData
from lstm_lab.data.readers.table import list_names
from lstm_lab.kernels.lengths import length_mask

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin


@runtime_checkable
class ClassInfo(Protocol):
    """What a classifier needs to know of a data set."""

    @property
    def input_size(self) -> int: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def counts(self) -> tuple[int, ...]: ...


class ClassificationSplit(Split):
    """A split of samples with one class each."""

    labels: Tensor
    """(N,) int64 class index of each sample."""

    @abstractmethod
    def features(self) -> np.ndarray | list[str]:
        """N inputs of the untrained baselines."""

    @abstractmethod
    def baselines(self) -> dict[str, ClassifierMixin]:
        """Untrained classifiers of `features()`, by name."""


class ClassificationDataset(Dataset[InfoT]):
    """Base of all data with one class for each sample."""


@dataclass(frozen=True)
class LabelledInfo:
    """What a model and a task need to know of labelled sequences."""

    input_size: int
    classes: tuple[str, ...]
    counts: tuple[int, ...] = ()
    """Targets of each class in the training split."""
    mean: tuple[float, ...] = ()
    """Of each channel over the training split; empty where channels are not standardised."""
    std: tuple[float, ...] = ()
    """Standard deviation of each channel over the training split; empty where channels are not standardised."""


class LabelledSplit(ClassificationSplit):
    """Sequences and the class of each.

    Args:
        sequences: N arrays (T, I).
        labels: (N,) class index of each.
    """

    def __init__(self, sequences: Sequence[np.ndarray], labels: np.ndarray) -> None:
        self.inputs = PackedSequences([sequence.astype(np.float32) for sequence in sequences])
        self.labels = torch.from_numpy(labels.astype(np.int64))

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Tensor) -> Batch:
        x, lengths = self.inputs.take(index)
        return Batch(x, lengths, self.labels[index])

    def features(self) -> np.ndarray:
        """Mean, standard deviation, first and last value of each channel of each sequence: (N, 4 I)."""
        return summary_features(self.take(torch.arange(len(self))))

    def baselines(self) -> dict[str, ClassifierMixin]:
        from sklearn.linear_model import LogisticRegression
        from sklearn.neighbors import NearestCentroid
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return {
            "nearest centroid": make_pipeline(StandardScaler(), NearestCentroid()),
            "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        }


def summary_features(batch: Batch) -> np.ndarray:
    """Mean, standard deviation, first and last valid value of each channel: (B, 4 I)."""
    steps = batch.lengths.unsqueeze(1).float()
    padding = ~length_mask(batch.lengths, batch.x.shape[1]).unsqueeze(-1)
    x = batch.x.masked_fill(padding, 0.0)
    mean = x.sum(1) / steps
    std = (((x - mean.unsqueeze(1)).masked_fill(padding, 0.0) ** 2).sum(1) / steps).sqrt()
    last = x[torch.arange(len(x)), batch.lengths - 1]
    return torch.cat([mean, std, x[:, 0], last], 1).numpy()


def indices_in(classes: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """(N,) int64 index of the class of each label (N,)."""
    number = {name: i for i, name in enumerate(classes)}
    return np.array([number[str(label)] for label in labels], np.int64)


LabelledArrays = tuple[list[np.ndarray], np.ndarray]
"""Sequences (T, I), and (N,) the class name of each."""


@dataclass(frozen=True)
class LabelledData:
    """Sequences as a source reads them, split in training and test as it publishes them."""

    train: LabelledArrays
    """Validation included."""
    test: LabelledArrays


class LabelledSequences(ClassificationDataset[LabelledInfo]):
    """Base of the sources of labelled sequences of numbers.

    A source writes `read`; a fifth of its training sequences are for validation. Channels are standardised by the
    training split.
    """

    class Config(ClassChoice):
        """Of any source."""

    Info = LabelledInfo
    augments = frozenset({"jitter", "scaling", "time_warp"})
    folds_by = frozenset({"samples", "classes"})

    #: What its splits are.
    split_type: ClassVar[type[LabelledSplit]] = LabelledSplit
    #: Whether missing values are zeros, and a mask of them is joined to the channels.
    masked = False
    #: Fraction of the training sequences. Fixed, so that runs with different seeds are validated on the same samples.
    validation_fraction = 0.2
    #: Classes whose samples are used; empty: all.
    classes_used: tuple[str, ...] = ()

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size

    @abstractmethod
    def read(self) -> LabelledData:
        """All sequences."""

    @cached_property
    def data(self) -> LabelledData:
        """All sequences, read once."""
        return self.read()

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        train, test = self.data.train[1], self.data.test[1]
        splits = np.repeat(["train", "test"], [len(train), len(test)])
        return class_indices(np.concatenate([train.astype(str), np.asarray(test).astype(str)]), splits, self.name)[0]

    @cached_property
    def _used(self) -> tuple[str, ...]:
        """The classes whose samples are used."""
        for name in self.classes_used:
            if name not in self._classes:
                raise DataError(f"data.only_classes: {name!r} is no class of data '{self.name}'; it has "
                                f"{list_names(self._classes)}")  # fmt: skip
        return (
            tuple(name for name in self._classes if name in self.classes_used) if self.classes_used else self._classes
        )

    @cached_property
    def info(self) -> LabelledInfo:
        labels, used = self.data.train[1], self._used
        counts = np.bincount(indices_in(used, labels[self._train_and_validation[0]]), minlength=len(used))
        mean, std = (tuple(part.tolist()) for part in self._scale)
        return LabelledInfo(len(mean) * (1 + self.masked), used, tuple(counts.tolist()), mean, std)

    @property
    def notes(self) -> tuple[str, ...]:
        return unlearnable_classes(self.info.classes, self.info.counts)

    @cached_property
    def _scale(self) -> tuple[np.ndarray, np.ndarray]:
        """(I,) mean and standard deviation of each channel over the training split."""
        train = [self.data.train[0][i] for i in self._train_and_validation[0]]
        check_resolution(np.concatenate(train), f"data '{self.name}'")
        return standardization(train)

    @cached_property
    def _train_and_validation(self) -> tuple[np.ndarray, np.ndarray]:
        """Which of `data.train` are in the training and in the validation split."""
        if not self.classes_used:
            return self._of_all_classes()
        is_used = np.isin(self.data.train[1].astype(str), self._used)
        train, validation = (index[is_used[index]] for index in self._of_all_classes())
        return train, validation

    def _of_all_classes(self) -> tuple[np.ndarray, np.ndarray]:
        """The same of all classes."""
        if self.fold is None:
            train, validation = self._own_split()
            return (np.sort(np.concatenate([train, validation])) if self.train_on_validation else train), validation
        mask = self.fold.is_validation(self._train_groups, indices_in(self._classes, self.data.train[1]),
                                       f"data '{self.name}'")  # fmt: skip
        return np.flatnonzero(~mask), np.flatnonzero(mask)

    @property
    def _train_groups(self) -> Sequence[Hashable]:
        """(N,) group of each of `data.train`: those of one group stay in one fold."""
        return [sequence.tobytes() for sequence in self.data.train[0]]

    def _own_split(self) -> tuple[np.ndarray, np.ndarray]:
        """The same without a fold: the data set's own splits."""
        labels = indices_in(self._classes, self.data.train[1])

        def split() -> CacheEntry:
            from sklearn.model_selection import train_test_split

            train, validation = train_test_split(
                np.arange(len(labels)), test_size=self.validation_fraction, stratify=labels, random_state=0
            )
            return CacheEntry({"train": np.sort(train), "validation": np.sort(validation)}, {})

        # Importing scikit-learn takes a second, in every process of a sweep.
        key = f"split-{digest(labels, self.validation_fraction, version('scikit-learn'))}"
        arrays = cached(key, split).arrays
        return arrays["train"], arrays["validation"]

    def _split(self, sequences: Sequence[np.ndarray], labels: np.ndarray) -> LabelledSplit:
        scaled = standardized_sequences(sequences, *self._scale, f"data '{self.name}'", self.masked)
        split = self.split_type(scaled, indices_in(self._used, labels))
        split.num_measured = len(self._scale[0])
        return split

    def _part_of_train(self, index: np.ndarray) -> LabelledSplit:
        sequences, labels = self.data.train
        return self._split([sequences[i] for i in index], labels[index])

    @cached_property
    def train(self) -> LabelledSplit:
        return self._part_of_train(self._train_and_validation[0])

    @cached_property
    def validation(self) -> LabelledSplit:
        return self._part_of_train(self._train_and_validation[1])

    def test_split(self) -> LabelledSplit:
        if not self.has_test_split:
            raise no_test_split(self.name)
        sequences, labels = self.data.test
        rows = np.flatnonzero(np.isin(labels.astype(str), self._used))
        return self._split([sequences[i] for i in rows], labels[rows])

    @cached_property
    def digest(self) -> str:
        (train, train_labels), (test, test_labels) = self.data.train, self.data.test
        labels = [*train_labels.tolist(), *test_labels.tolist()]
        lengths = [len(sequence) for sequence in (*train, *test)]
        return digest(np.concatenate([*train, *test]), lengths, labels, self._train_and_validation[1],
                      *(("both",) if self.train_on_validation else ()), *self.classes_used)  # fmt: skip

    def new_sequences(self, source: NewData) -> NamedSequences:
        """Sequences (T, I) without classes."""
        return new_sequences(source, self.name)

    def read_new(self, source: NewData, info: LabelledInfo) -> NewSamples:
        new = self.new_sequences(source)
        check_recorded_scale(info.mean, self.name)
        sequences = on_training_scale(new.sequences, info.input_size, info.mean, info.std, source_name(source))
        split = LabelledSplit(sequences, np.full(len(sequences), -1))
        return NewSamples(batches_of(split, self.batch_size), (new.column,), [[(id,)] for id in new.ids])
