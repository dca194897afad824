"""Sequences with numbers to tell of each."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from lstm_lab.data.base import Batch, Split
from lstm_lab.data.kinds.pre_split import PackedSequences, PreSplit, RawSplit


@dataclass(frozen=True)
class RegressionInfo:
    """What a model and a task must know of sequences with numbers to tell."""

    input_size: int
    targets: tuple[str, ...]


class RegressionSplit(Split):
    """Sequences (T, I) and the numbers (N, K) of each."""

    def __init__(self, sequences: list[np.ndarray], targets: np.ndarray) -> None:
        self.inputs, self.targets = PackedSequences(sequences), torch.from_numpy(targets.astype(np.float32))

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, index: Tensor) -> Batch:
        x, lengths = self.inputs.take(index, 0)
        return Batch(x.float(), lengths, self.targets[index])


class SequenceRegression(PreSplit):
    """Base of the sources of sequences with numbers to tell: Part.targets is (N, K)."""

    @property
    @abstractmethod
    def targets(self) -> tuple[str, ...]:
        """Names of the numbers."""

    @cached_property
    def info(self) -> RegressionInfo:
        return RegressionInfo(self.parts.train.sequences[0].shape[1], self.targets)

    def split(self, part: RawSplit) -> RegressionSplit:
        return RegressionSplit(list(part.sequences), part.targets)
