"""One long text for language modelling: read in chunks, each token predicted from those before it."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Annotated, TypedDict

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from lstm_lab.config import DataError
from lstm_lab.config.registry import Named, OneOf
from lstm_lab.data.base import Batch, Dataset
from lstm_lab.data.kinds.next_step import FrameInfo, NextStepSequences, NextStepSplit, TokenInfo
from lstm_lab.data.kinds.packed import PackedSequences
from lstm_lab.data.kinds.pre_split import RawSplit, RawSplits
from lstm_lab.data.kinds.step_text import StepText, TokenizedText
from lstm_lab.data.preprocessing.batching import BatchPlan, EqualBatches, StreamLanes
from lstm_lab.data.preprocessing.splits import Fraction, check_fractions
from lstm_lab.data.preprocessing.tokenizer import UNKNOWN, Character, Tokenizer, Vocabulary
from lstm_lab.kernels.lengths import length_mask


class StreamSplit(NextStepSplit):
    """Chunks of equal length of one stream of tokens; the last one may be shorter.

    Args:
        stream: (N,) token numbers, N at least 2.
        chunk_length: tokens in a chunk.
        stateful: whether batches follow each other in the stream, so that a state can be carried.
    """

    tokens = True

    def __init__(self, stream: np.ndarray, chunk_length: int, stateful: bool) -> None:
        self.inputs, self.chunk_length, self.stateful = PackedSequences([stream]), chunk_length, stateful

    def __len__(self) -> int:
        return -(-len(self.inputs.values) // self.chunk_length)

    def plan(self, batch_size: int) -> BatchPlan:
        return StreamLanes(len(self), batch_size) if self.stateful else EqualBatches(len(self), batch_size)

    def take(self, index: Tensor) -> Batch:
        stream, starts = self.inputs.values, index * self.chunk_length
        lengths = (len(stream) - starts).clamp(max=self.chunk_length)
        steps = int(lengths.max())
        valid = length_mask(lengths, steps)
        x = stream[(starts.unsqueeze(1) + torch.arange(steps)).where(valid, 0)].long().masked_fill_(~valid, 0)
        previous = stream[(starts - 1).clamp(min=0)].long().masked_fill(starts == 0, 0)
        y = x.masked_fill(~valid, -1)
        return Batch(x, lengths, y, previous=previous, starts=starts if self.stateful else None)


STREAM_FRACTIONS = (0.1, 0.1)
"""Of a text, for validation and test, unless a field says otherwise."""


def cut(text: str, validation: float, test: float) -> tuple[str, str, str]:
    """A text in three: the last part, a fraction `test` of it, behind one of `validation`, behind the rest."""
    train_end, validation_end = (int(len(text) * share + 1e-9) for share in (1 - validation - test, 1 - test))
    return text[:train_end], text[train_end:validation_end], text[validation_end:]


class StreamOptions(TypedDict):
    """Arguments of a `TextStream`."""

    tokenizer: Named
    chunk_length: int
    stateful: bool
    validation: float
    test: float
    batch_size: int


class TextStream(NextStepSequences):
    """Base of the sources of one long text. A source writes `text`. Its first part is for training, its last for test.

    Runs of white space count as one space. The vocabulary is that of the training split.
    """

    tokens = True
    folds_by = frozenset()  # Its splits are the beginning, the middle and the end of one text.

    class Config(Dataset.Config):
        tokenizer: Annotated[Named, OneOf(Tokenizer, default="character")] = Character.Config()
        """How the text is split into tokens; fitted on the training split."""
        chunk_length: Annotated[int, Field(ge=2, lt=2**31)] = 64
        """Tokens that are read in one training step, through which gradients flow."""
        stateful: bool = True
        """Whether a chunk starts with the final state of the chunk before it, without its gradient (truncated
        back-propagation through time, Williams & Peng 1990); if not, every chunk starts with the initial state, and
        chunks come in random order."""
        validation: Fraction = STREAM_FRACTIONS[0]
        """Fraction of the text, before the test split."""
        test: Fraction = STREAM_FRACTIONS[1]
        """Fraction of the text, at the end."""

        @model_validator(mode="after")
        def _training_text_is_left(self) -> TextStream.Config:
            check_fractions(self.validation, self.test)
            return self

    def __init__(
        self,
        *,
        tokenizer: Named,
        chunk_length: int,
        stateful: bool,
        validation: float,
        test: float,
        batch_size: int,
    ) -> None:
        super().__init__(batch_size)
        self.tokenizer, self.chunk_length, self.stateful = tokenizer, chunk_length, stateful
        self.fractions = (validation, test)

    @abstractmethod
    def text(self) -> tuple[str, str]:
        """The whole text, and where it came from, for messages."""

    def split_texts(self) -> tuple[tuple[str, str, str], str]:
        """The text of the training, the validation and the test split, and where they came from, for messages."""
        text, path = self.text()
        return cut(text, *self.fractions), path

    @cached_property
    def _encoded(self) -> tuple[list[np.ndarray], Vocabulary]:
        """Tokens (N,) of each split, and the vocabulary."""
        pieces, path = self.split_texts()
        vocabulary = Vocabulary(self.tokenizer.build().fit([pieces[0]]))
        streams = [vocabulary.encode([piece])[0] for piece in pieces]
        for name, stream in zip(("training", "validation", "test"), streams, strict=True):
            if len(stream) < 2:
                length = sum(map(len, pieces))
                raise DataError(f"{path}: {length} characters leave {len(stream)} tokens for the {name} split: "
                                "provide a longer text")  # fmt: skip
        return streams, vocabulary

    @property
    def notes(self) -> tuple[str, ...]:
        unknown = float((self._encoded[0][1] == UNKNOWN).mean())
        if not unknown:
            return ()
        return (f"{unknown:.1%} of validation tokens are unknown: the vocabulary of {len(self.names):,} is that of the "
                "training text, and perplexity counts all others as one token",)  # fmt: skip

    @property
    def names(self) -> tuple[str, ...]:
        return self._encoded[1].tokens

    @cached_property
    def info(self) -> TokenInfo:
        return TokenInfo(len(self.names), self.names, self._encoded[1].fitted)

    def step_text(self, info: FrameInfo | TokenInfo) -> StepText:
        # Older runs have not recorded the tokenizer: it is fitted again.
        assert isinstance(info, TokenInfo)
        vocabulary = self._encoded[1] if info.tokenizer is None else Vocabulary(info.tokenizer)
        if vocabulary.tokens != info.tokens:
            raise DataError(f"data '{self.name}': the text has other tokens than the one that the run was trained on: "
                            "restore that text")  # fmt: skip
        return TokenizedText(vocabulary)

    def read(self) -> RawSplits[None]:
        return RawSplits(*(RawSplit([stream], [number], None) for number, stream in enumerate(self._encoded[0])))

    def make_split(self, raw: RawSplit[None]) -> StreamSplit:
        return StreamSplit(raw.sequences[0], self.chunk_length, self.stateful)
