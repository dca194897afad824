"""Sequences with a class at each step, or at some of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np
from torch import Tensor

from lstm_lab.config import DataError
from lstm_lab.data.base import Batch, NewSamples, Split
from lstm_lab.data.kinds.labelled import LabelledInfo
from lstm_lab.data.kinds.new_samples import (
    batches_of,
    check_recorded_scale,
    on_training_scale,
    source_name,
)
from lstm_lab.data.kinds.packed import PackedSequences
from lstm_lab.data.kinds.pre_split import PreSplit, RawSplit
from lstm_lab.data.preprocessing.scaling import check_resolution, standardization, standardized_sequences
from lstm_lab.data.readers.in_memory import NewData


class TaggedSplit(Split):
    """Sequences and the classes of their steps.

    Args:
        sequences: N arrays (T, I).
        labels: N arrays (T,) of class indices, -1 at steps without a target.
    """

    words: ClassVar[bool] = False
    """Whether steps are numbers of words, not channels."""

    def __init__(self, sequences: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> None:
        self.inputs, self.labels = PackedSequences(sequences), PackedSequences(labels)

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def has_targets(self) -> bool:
        return bool((self.labels.values >= 0).any())

    def take(self, index: Tensor) -> Batch:
        x, lengths = self.inputs.take(index)
        return Batch(x.float(), lengths, self.labels.take(index, padding=-1)[0].long())


class TaggedSequences(PreSplit[LabelledInfo, list[np.ndarray], TaggedSplit]):
    """Base of the sources of sequences with a class for each step.

    RawSplit.targets are class indices of the steps, -1 where a step has no target.
    """

    Info = LabelledInfo
    augments = frozenset({"jitter", "scaling"})
    standardized = True
    """Whether channels are standardised by the training split; one-hot channels are not."""
    masked = False
    """Whether missing values are zeros, and a mask of them is joined to the channels."""

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their indices."""

    @cached_property
    def info(self) -> LabelledInfo:
        for name, split in (("training", self.raw.train), ("test", self.raw.test)):
            found = np.concatenate([np.empty(0, np.int64), *split.targets])
            wrong = found[(found < -1) | (found >= len(self.classes))]
            if len(wrong):
                raise DataError(f"{self.name}: class index {wrong[0]} in the {name} split, but there are "
                                f"{len(self.classes)} classes")  # fmt: skip
        labels = np.concatenate(self.raw.train.targets)
        counts = np.bincount(labels[labels >= 0], minlength=len(self.classes))
        mean, std = (tuple(part.tolist()) for part in self._scale) if self.standardized else ((), ())
        size = self.raw.train.sequences[0].shape[1] * (1 + self.masked)
        return LabelledInfo(size, self.classes, tuple(counts.tolist()), mean, std)

    @cached_property
    def _scale(self) -> tuple[np.ndarray, np.ndarray]:
        """(I,) mean and standard deviation of each channel over the training split."""
        train = self.raw.train.sequences
        check_resolution(np.concatenate(train), f"data '{self.name}'")
        return standardization(train, np.float64)

    def make_split(self, raw: RawSplit[list[np.ndarray]]) -> TaggedSplit:
        sequences = raw.sequences
        if self.standardized:
            sequences = standardized_sequences(sequences, *self._scale, f"data '{self.name}'", self.masked)
        split = TaggedSplit(sequences, raw.targets)
        split.num_measured = raw.sequences[0].shape[1] if len(raw) else None
        return split

    def read_new(self, source: NewData, info: LabelledInfo) -> NewSamples:
        new = self.new_sequences(source)
        if self.standardized:
            check_recorded_scale(info.mean, self.name)
        sequences = on_training_scale(new.sequences, info.input_size, info.mean, info.std, source_name(source))
        no_targets = [np.full(len(sequence), -1, np.int8) for sequence in sequences]
        keys = [[(id, step) for step in range(1, len(x) + 1)] for id, x in zip(new.ids, sequences, strict=True)]
        return NewSamples(batches_of(TaggedSplit(sequences, no_targets), self.batch_size), (new.column, "step"), keys)
