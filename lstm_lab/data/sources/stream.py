"""One long text, read on and on: what is asked is how it goes on."""

from __future__ import annotations

import os
from abc import abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from lstm_lab.config import DataError
from lstm_lab.data.base import Batch, Dataset, Split
from lstm_lab.data.kinds.pre_split import PackedSequences, RawSplit, RawSplits
from lstm_lab.data.kinds.sequences import NextStepSequences
from lstm_lab.data.kinds.series import Fraction, check_fractions
from lstm_lab.data.preprocessing.batching import BatchPlan, EqualBatches
from lstm_lab.data.preprocessing.tokenizer import Character, Tokenizer, Vocabulary
from lstm_lab.data.readers.table import find_file, read_text
from lstm_lab.registry import Choice, Named


class StreamSplit(Split):
    """Chunks of equal length, the last one what is left.

    Args:
        stream: (N,) token numbers, N at least 2.
        carry: whether batches follow one another in the stream, so that a state can be carried.
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
        t = torch.arange(int(lengths.max()))
        valid = t < lengths.unsqueeze(1)  # (B, T)
        x = stream[(starts.unsqueeze(1) + t).where(valid, 0)].long().masked_fill_(~valid, 0)
        previous = stream[(starts - 1).clamp(min=0)].long().masked_fill(starts == 0, 0)
        y = x.masked_fill(~valid, -1)
        return Batch(x, lengths, y, previous=previous, starts=starts if self.stateful else None)


class StreamLanes:
    """The stream is cut into `batch_size` lanes; a batch is the next chunk of each, whatever the epoch.

    Lanes differ by one chunk at most, the longer ones first: the last batch may lack the shorter ones.
    """

    def __init__(self, samples: int, batch_size: int) -> None:
        self.lanes = np.array_split(np.arange(samples), min(batch_size, samples))

    def __len__(self) -> int:
        return len(self.lanes[0])

    def batches(self, shuffle: np.random.Generator | None) -> list[np.ndarray]:
        return [np.array([lane[k] for lane in self.lanes if k < len(lane)]) for k in range(len(self))]


class TextStream(NextStepSequences):
    """Base of the sources of one long text. A source writes `text`. The first share of it trains, the last tests.

    Runs of white space are one space; the vocabulary is fitted on the training part alone.
    """

    tokens = True

    class Config(Dataset.Config):
        tokenizer: Annotated[Named, Choice(Tokenizer, default="character")] = Character.Config()  # type: ignore[call-arg]
        """How the text is taken apart; fitted on the training part."""
        chunk_length: Annotated[int, Field(ge=2, lt=2**31)] = 64
        """Tokens that are read, and through which gradients flow, in one step of training."""
        stateful: bool = True
        """Whether a chunk begins with the state that the one before it left, without its gradient (truncated
        back-propagation, Williams & Peng 1990); else every chunk begins anew, in any order."""
        validation: Fraction = 0.1
        """Share of the text, before the test part."""
        test: Fraction = 0.1
        """Share of the text, at the end."""

        @model_validator(mode="after")
        def _leave_something_to_train_on(self) -> TextStream.Config:
            check_fractions(self.validation, self.test)
            return self

    def __init__(self, **choices: Any) -> None:
        super().__init__(choices["batch_size"])
        self.tokenizer: Named = choices["tokenizer"]
        self.chunk_length: int = choices["chunk_length"]
        self.stateful: bool = choices["stateful"]
        self.fractions: tuple[float, float] = (choices["validation"], choices["test"])

    @abstractmethod
    def text(self) -> tuple[str, str]:
        """The whole text, and where it came from."""

    @cached_property
    def _encoded(self) -> tuple[list[np.ndarray], tuple[str, ...]]:
        text, place = self.text()
        validation, test = self.fractions
        borders = [int(len(text) * (1 - validation - test) + 1e-9), int(len(text) * (1 - test) + 1e-9)]
        pieces = [text[: borders[0]], text[borders[0] : borders[1]], text[borders[1] :]]
        vocabulary = Vocabulary(self.tokenizer.build().fit([pieces[0]]))
        streams = [vocabulary.encode([piece])[0] for piece in pieces]
        for name, stream in zip(("training", "validation", "test"), streams, strict=True):
            if len(stream) < 2:
                raise DataError(f"{place}: {len(text)} characters leave {len(stream)} tokens to the {name} part: bring "
                                "a longer text")  # fmt: skip
        return streams, vocabulary.tokens

    @property
    def names(self) -> tuple[str, ...]:
        return self._encoded[1]

    def read(self) -> RawSplits:
        return RawSplits(*(RawSplit([stream], [number]) for number, stream in enumerate(self._encoded[0])))

    def split(self, part: RawSplit) -> StreamSplit:  # type: ignore[override]
        return StreamSplit(part.sequences[0], self.chunk_length, self.stateful)


class TextFileStream(TextStream, name="text_stream"):
    """A .txt file, or all .txt files below a folder in the order of their names, as one long text."""

    class Config(TextStream.Config):
        path: Annotated[str, Field(min_length=1)]
        """Looked up from the current folder, then below the folder that LSTM_LAB_DATA names."""

    def __init__(self, **choices: Any) -> None:
        super().__init__(**choices)
        self.path: str = choices["path"]

    def text(self) -> tuple[str, str]:
        root = os.environ.get("LSTM_LAB_DATA")
        places = [Path(self.path), *([Path(root, self.path)] if root else [])]
        folder = next((place for place in places if place.is_dir()), None)
        if folder is None:
            place = find_file(self.path)
            return read_text(place, "text", "a text to read on and on"), str(place)
        files = sorted(folder.rglob("*.txt"))
        if not files:
            raise DataError(f"{folder}: holds no .txt file: put the text there, or name the file")
        return "\n".join(read_text(file, "text", "the text") for file in files), str(folder)


class PythonDocs(TextStream, name="python_docs"):
    """Python's own language reference, 465,000 characters in version 3.11, as every Python ships it for help().

    Python Software Foundation License. Another version of Python has another text: compare runs of one.
    """

    def text(self) -> tuple[str, str]:
        from pydoc_data.topics import topics

        return "\n".join(topics[name] for name in sorted(topics)), "pydoc_data.topics"
