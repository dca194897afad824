"""Sequences with a label at each step that is asked about."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property

import numpy as np
from torch import Tensor

from lstm_lab.config import DataError
from lstm_lab.data.base import Batch, Split
from lstm_lab.data.kinds.labelled import LabelledInfo
from lstm_lab.data.kinds.pre_split import PackedSequences, PreSplit, RawSplit


class TaggedSplit(Split):
    """Sequences and their labels, end to end.

    Args:
        sequences: each (T, I).
        labels: class index of each step (T,), -1 where it is not asked.
    """

    def __init__(self, sequences: list[np.ndarray], labels: list[np.ndarray]) -> None:
        self.inputs, self.labels = PackedSequences(sequences), PackedSequences(labels)

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, index: Tensor) -> Batch:
        x, lengths = self.inputs.take(index, 0)
        return Batch(x.float(), lengths, self.labels.take(index, -1)[0].long())


class TaggedSequences(PreSplit):
    """Base of the sources of sequences with a label for each step. Part.targets are class indices, -1 not asked."""

    augments = frozenset({"jitter", "scaling"})
    scaled = True
    """Whether channels are standardised by the training part; what is one of many stays as it is."""

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Names of the labels, in the order of their indices."""

    @cached_property
    def info(self) -> LabelledInfo:
        for name, part in (("training", self.parts.train), ("test", self.parts.test)):
            found = np.unique(np.concatenate(part.targets))
            if found[0] < -1 or found[-1] >= len(self.classes):
                raise DataError(f"{self.name}: label {found[-1]} in the {name} part, but {len(self.classes)} classes")
        labels = np.concatenate(self.parts.train.targets)
        counts = np.bincount(labels[labels >= 0], minlength=len(self.classes))
        size = self.parts.train.sequences[0].shape[1]
        return LabelledInfo(size, self.classes, tuple(counts.tolist()))

    @cached_property
    def _scale(self) -> tuple[np.ndarray, np.ndarray]:
        values = np.concatenate(self.parts.train.sequences)
        return values.mean(0, dtype=np.float64), np.maximum(values.std(0, dtype=np.float64), 1e-8)

    def split(self, part: RawSplit) -> TaggedSplit:
        sequences = list(part.sequences)
        if self.scaled:
            mean, std = self._scale
            sequences = [((sequence - mean) / std).astype(np.float32) for sequence in sequences]
        return TaggedSplit(sequences, part.targets)
