"""Sequences with values to predict for each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from lstm_lab.data.base import Batch, NewSamples, Split
from lstm_lab.data.kinds.new_samples import batches_of, on_training_scale, source_name
from lstm_lab.data.kinds.packed import PackedSequences
from lstm_lab.data.kinds.pre_split import PreSplit, RawSplit
from lstm_lab.data.preprocessing.scaling import check_resolution, standardization, standardized_sequences
from lstm_lab.data.readers.in_memory import NewData


@dataclass(frozen=True)
class RegressionInfo:
    """What a model and a task need to know of sequences with values to predict."""

    input_size: int
    targets: tuple[str, ...]
    """Names of the values."""
    mean: tuple[float, ...] = ()
    """Of each channel over the training split; empty where channels are not standardised."""
    std: tuple[float, ...] = ()
    """Standard deviation of each channel over the training split; empty where channels are not standardised."""
    target_mean: tuple[float, ...] = ()
    """Of each value over the training split, for a model that predicts standardised values; empty: it does not."""
    target_std: tuple[float, ...] = ()
    """Standard deviation of each value over the training split; empty where values are not standardised."""


class RegressionSplit(Split):
    """Sequences and the values of each.

    Args:
        sequences: N arrays (T, I).
        targets: (N, K), which keep their dtype.
    """

    def __init__(self, sequences: Sequence[np.ndarray], targets: np.ndarray) -> None:
        self.inputs, self.targets = PackedSequences(sequences), torch.from_numpy(targets)

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, index: Tensor) -> Batch:
        x, lengths = self.inputs.take(index)
        return Batch(x.float(), lengths, self.targets[index])


class SequenceRegression(PreSplit[RegressionInfo, np.ndarray, RegressionSplit]):
    """Base of the sources of sequences with values to predict: RawSplit.targets is (N, K)."""

    Info = RegressionInfo
    standardized = False
    """Whether channels are standardised by the training split, and values for the model that predicts them."""

    masked = False
    """Whether missing values are zeros, and a mask of them is joined to the channels."""

    @property
    @abstractmethod
    def targets(self) -> tuple[str, ...]:
        """Names of the K values."""

    @cached_property
    def info(self) -> RegressionInfo:
        size = self.raw.train.sequences[0].shape[1] * (1 + self.masked)
        if not self.standardized:
            return RegressionInfo(size, self.targets)
        y = self.raw.train.targets
        target_scale = y.mean(0), np.where(np.ptp(y, axis=0) > 0, y.std(0), 1.0)
        mean, std, target_mean, target_std = (tuple(part.tolist()) for part in (*self._scale, *target_scale))
        return RegressionInfo(size, self.targets, mean, std, target_mean, target_std)

    @cached_property
    def _scale(self) -> tuple[np.ndarray, np.ndarray]:
        """(I,) mean and standard deviation of each channel over the training split."""
        train = self.raw.train.sequences
        check_resolution(np.concatenate(train), f"data '{self.name}'")
        return standardization(train, np.float64)

    def make_split(self, raw: RawSplit[np.ndarray]) -> RegressionSplit:
        if not self.standardized:
            return RegressionSplit(raw.sequences, raw.targets.astype(np.float32))
        sequences = standardized_sequences(raw.sequences, *self._scale, f"data '{self.name}'", self.masked)
        return RegressionSplit(sequences, raw.targets.astype(np.float64))

    def read_new(self, source: NewData, info: RegressionInfo) -> NewSamples:
        new = self.new_sequences(source)
        sequences = on_training_scale(new.sequences, info.input_size, info.mean, info.std, source_name(source))
        split = RegressionSplit(sequences, np.zeros((len(sequences), len(info.targets))))
        return NewSamples(batches_of(split, self.batch_size), (new.column,), [[(id,)] for id in new.ids])
