"""Sequences without targets of their own: the target is the next step."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.base import Batch, NewSamples, Split
from lstm_lab.data.kinds.packed import PackedSequences
from lstm_lab.data.kinds.pre_split import PreSplit, RawSplit
from lstm_lab.data.kinds.step_text import NamedChannels, NamedTokens, StepText, TokenizedText
from lstm_lab.data.preprocessing.tokenizer import Vocabulary
from lstm_lab.data.readers.in_memory import NewData


@dataclass(frozen=True)
class FrameInfo:
    """What a model and a task need to know of sequences of binary frames."""

    input_size: int
    channels: tuple[str, ...]
    """Name of each channel, which is on (1) or off (0) in a frame."""


@dataclass(frozen=True)
class TokenInfo:
    """What a model and a task need to know of sequences of tokens."""

    input_size: int
    """Size of the vocabulary, padding included."""
    tokens: tuple[str, ...]
    """Name of each token; number 0 is padding."""
    tokenizer: str | None = None
    """The fitted tokenizer as JSON text, where the tokens are those of a text."""


class NextStepSplit(Split):
    """Base of the splits whose batches have the input as target, padded with -1 for tokens and 0 for frames."""

    inputs: PackedSequences
    tokens: bool
    """Whether the inputs are token numbers (T,), not binary frames (T, I)."""

    def __len__(self) -> int:
        return len(self.inputs)


class SequenceSplit(NextStepSplit):
    """Independent sequences.

    Args:
        sequences: N arrays of binary frames (T, I), or of token numbers (T,).
        tokens: which of the two.
    """

    def __init__(self, sequences: Sequence[np.ndarray], tokens: bool) -> None:
        self.inputs, self.tokens = PackedSequences(sequences), tokens

    def take(self, index: Tensor) -> Batch:
        x, lengths = self.inputs.take(index)
        if self.tokens:
            x = x.long()
            return Batch(x, lengths, x.masked_fill(x == 0, -1))
        x = x.float()
        return Batch(x, lengths, x)


class NextStepSequences(PreSplit[FrameInfo | TokenInfo, None, NextStepSplit]):
    """Base of the sources of sequences whose next step is predicted: of tokens, or of binary frames."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Of the channels, or of the tokens starting with number 0, padding."""

    @classmethod
    def restore_info(cls, plain: Mapping[str, object]) -> FrameInfo | TokenInfo:
        kind: type[Any] = TokenInfo if cls.tokens else FrameInfo
        info: FrameInfo | TokenInfo = kind(
            **{key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()}
        )
        return info

    def read_new(self, source: NewData, info: FrameInfo | TokenInfo) -> NewSamples:
        raise ConfigError(f"data '{self.name}' takes no new samples: its model predicts what follows a beginning, "
                          "given as --prompt; in Python, run.generate(prompt)")  # fmt: skip

    def step_text(self, info: FrameInfo | TokenInfo) -> StepText:
        """How the steps of these sequences are written as text.

        Args:
            info: of the data that a model was trained on.
        """
        if isinstance(info, FrameInfo):
            return NamedChannels(info.channels)
        return NamedTokens(info.tokens) if info.tokenizer is None else TokenizedText(Vocabulary(info.tokenizer))

    @cached_property
    def info(self) -> FrameInfo | TokenInfo:
        sequences = self.raw.train.sequences
        size = max(int(sequence.max()) for sequence in sequences) + 1 if self.tokens else sequences[0].shape[1]
        if size > len(self.names):
            what = "tokens" if self.tokens else "channels"
            raise DataError(f"{self.name}: {size} {what}, but names of {len(self.names)}")
        return TokenInfo(len(self.names), self.names) if self.tokens else FrameInfo(len(self.names), self.names)

    def make_split(self, raw: RawSplit[None]) -> NextStepSplit:
        return SequenceSplit(raw.sequences, self.tokens)
