"""Sequences of any length with one label each."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lstm_lab.config import DataError
from lstm_lab.data.base import Batch, Dataset, Split, digest
from lstm_lab.data.readers.cache import CacheEntry, cached


class ClassificationDataset(Dataset):
    """Base of whatever has one label for each sequence. `info.classes` names the classes; each split has `labels` (N,)
    int64, `features()`, a sample each, and `rivals()`, untrained classifiers of them by name."""


@dataclass(frozen=True)
class LabelledInfo:
    """What a model and a task must know of labelled sequences."""

    input_size: int
    classes: tuple[str, ...]
    counts: tuple[int, ...] = ()
    """How many answers of each class the training part holds."""


class LabelledSplit(Split):
    """Ragged sequences, end to end in one tensor.

    Args:
        sequences: each (T, I).
        labels: class index of each.
    """

    def __init__(self, sequences: list[np.ndarray], labels: np.ndarray) -> None:
        self.lengths = torch.tensor([len(sequence) for sequence in sequences], dtype=torch.int64)
        self.starts = self.lengths.cumsum(0) - self.lengths
        self.values = torch.from_numpy(np.concatenate(sequences).astype(np.float32))  # (sum of T, I)
        self.labels = torch.from_numpy(labels.astype(np.int64))

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Tensor) -> Batch:
        lengths = self.lengths[index]
        t = torch.arange(int(lengths.max()))
        valid = t < lengths.unsqueeze(1)  # (B, T)
        x = self.values[(self.starts[index].unsqueeze(1) + t).where(valid, torch.zeros_like(t))]
        return Batch(x.masked_fill_(~valid.unsqueeze(-1), 0.0), lengths, self.labels[index])

    def features(self) -> np.ndarray:
        """Each sequence's mean, deviation, first and last: (N, 4 I)."""
        return summary(self.take(torch.arange(len(self))))

    def baselines(self) -> dict[str, Any]:
        from sklearn.linear_model import LogisticRegression
        from sklearn.neighbors import NearestCentroid
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return {
            "nearest centroid": make_pipeline(StandardScaler(), NearestCentroid()),
            "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        }


def summary(batch: Batch) -> np.ndarray:
    """Mean, deviation, first and last valid step of each channel: (B, 4 I)."""
    steps = batch.lengths.unsqueeze(1).float()
    valid = (torch.arange(batch.x.shape[1]) < batch.lengths.unsqueeze(1)).unsqueeze(-1)
    x = batch.x.masked_fill(~valid, 0.0)
    mean = x.sum(1) / steps
    std = (((x - mean.unsqueeze(1)).masked_fill(~valid, 0.0) ** 2).sum(1) / steps).sqrt()
    last = x[torch.arange(len(x)), batch.lengths - 1]
    return torch.cat([mean, std, x[:, 0], last], 1).numpy()


@dataclass(frozen=True)
class LabelledData:
    """What a source reads: sequences (T, I) and the name of each one's class."""

    train: tuple[list[np.ndarray], np.ndarray]
    test: tuple[list[np.ndarray], np.ndarray]


class LabelledSequences(ClassificationDataset):
    """Base of the sources of labelled sequences of numbers. A source writes `read`; a fifth of the training part
    validates."""

    Info = LabelledInfo
    augments = frozenset({"jitter", "scaling", "time_warp"})

    #: Fixed, so that runs with different seeds are judged on the same samples.
    held_out = 0.2

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size

    @abstractmethod
    def read(self) -> LabelledData:
        """All sequences, split in train and test as the source publishes them."""

    @cached_property
    def _parts(self) -> LabelledData:
        return self.read()

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        _, labels = self._parts.train
        classes = tuple(sorted({str(label) for label in labels}))
        unknown = sorted({str(label) for label in self._parts.test[1]} - set(classes))
        if unknown:
            raise DataError(f"{self.name}: class {unknown[0]!r} stands in the test part only: nothing can learn it")
        return classes

    @cached_property
    def info(self) -> LabelledInfo:
        sequences, labels = self._parts.train
        counts = np.bincount(self._indices(labels[self._held_out[0]]), minlength=len(self._classes))
        return LabelledInfo(sequences[0].shape[1], self._classes, tuple(counts.tolist()))

    def _indices(self, labels: np.ndarray) -> np.ndarray:
        return np.searchsorted(np.array(self._classes), labels.astype(str))

    @cached_property
    def _scale(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of each channel over the training part."""
        train, _ = self._held_out
        values = np.concatenate([self._parts.train[0][i] for i in train])
        return values.mean(0), np.maximum(values.std(0), 1e-8)

    @cached_property
    def _held_out(self) -> tuple[np.ndarray, np.ndarray]:
        labels = self._indices(self._parts.train[1])

        def split() -> CacheEntry:
            from sklearn.model_selection import train_test_split

            train, validation = train_test_split(
                np.arange(len(labels)), test_size=self.held_out, stratify=labels, random_state=0
            )
            return CacheEntry({"train": np.sort(train), "validation": np.sort(validation)}, {})

        # To import scikit-learn takes a second, in every process of a sweep.
        found = cached(f"split-{digest(labels, self.held_out, version('scikit-learn'))}", split).arrays
        return found["train"], found["validation"]

    def _split(self, sequences: list[np.ndarray], labels: np.ndarray) -> LabelledSplit:
        mean, std = self._scale
        return LabelledSplit([(sequence - mean) / std for sequence in sequences], self._indices(labels))

    def _part(self, index: np.ndarray) -> LabelledSplit:
        sequences, labels = self._parts.train
        return self._split([sequences[i] for i in index], labels[index])

    @cached_property
    def train(self) -> LabelledSplit:
        return self._part(self._held_out[0])

    @cached_property
    def validation(self) -> LabelledSplit:
        return self._part(self._held_out[1])

    def test_split(self) -> LabelledSplit:
        return self._split(*self._parts.test)

    @cached_property
    def digest(self) -> str:
        (train, train_labels), (test, test_labels) = self._parts.train, self._parts.test
        labels = [*train_labels.tolist(), *test_labels.tolist()]
        return digest(np.concatenate([*train, *test]), [len(s) for s in (*train, *test)], labels, self._held_out[1])
