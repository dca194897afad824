"""Sequences with nothing beside them: what is asked is how they go on."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from lstm_lab.config import DataError
from lstm_lab.data.base import Batch, Split
from lstm_lab.data.kinds.pre_split import PackedSequences, PreSplit, RawSplit


@dataclass(frozen=True)
class FrameInfo:
    """What a model and a task must know of frames."""

    input_size: int
    channels: tuple[str, ...]
    """Name of each channel, which is on (1) or off (0) in a frame."""


@dataclass(frozen=True)
class TokenInfo:
    """What a model and a task must know of sequences of tokens."""

    input_size: int
    """Tokens that there are, padding included."""
    tokens: tuple[str, ...]
    """Name of each, number 0 for padding."""


class SequenceSplit(Split):
    """Frames (T, I) of zeros and ones, or token numbers (T,); y holds the same, and -1 where there is no token."""

    def __init__(self, sequences: list[np.ndarray], tokens: bool) -> None:
        self.inputs, self.tokens = PackedSequences(sequences), tokens

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, index: Tensor) -> Batch:
        x, lengths = self.inputs.take(index, 0)
        if self.tokens:
            x = x.long()
            return Batch(x, lengths, x.masked_fill(x == 0, -1))
        x = x.float()
        return Batch(x, lengths, x)


class NextStepSequences(PreSplit):
    """Base of the sources of sequences to go on with. `tokens` says whether they hold frames or token numbers."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Of the channels, or of the tokens from number 0, padding, on."""

    @cached_property
    def info(self) -> FrameInfo | TokenInfo:
        sequences = self.parts.train.sequences
        found = max(int(sequence.max()) for sequence in sequences) + 1 if self.tokens else sequences[0].shape[1]
        if found > len(self.names):
            what = "tokens" if self.tokens else "channels"
            raise DataError(f"{self.name}: {found} {what}, but names for {len(self.names)}")
        return (TokenInfo if self.tokens else FrameInfo)(len(self.names), self.names)

    def split(self, part: RawSplit) -> SequenceSplit:
        return SequenceSplit(list(part.sequences), self.tokens)
