"""Sequences of words of a user, with a class for each word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from torch import Tensor

from lstm_lab.config import DataError
from lstm_lab.data.base import Batch, NewSamples
from lstm_lab.data.kinds.labelled import LabelledInfo
from lstm_lab.data.kinds.new_samples import NamedSequences, batches_of, numbered
from lstm_lab.data.kinds.pre_split import RawSplit
from lstm_lab.data.kinds.tagged import TaggedSplit
from lstm_lab.data.kinds.user_sequences import TaggedFiles
from lstm_lab.data.preprocessing.tokenizer import SPECIAL, UNKNOWN
from lstm_lab.data.readers.in_memory import NewData, is_frame

MIN_COUNT = 2
"""Times that a word must occur in the training split to have a number of its own. All others share that of unknown
words, which is thereby learned too."""


@dataclass(frozen=True)
class TaggedWordsInfo(LabelledInfo):
    """What a model and a task need to know of sequences of words with a class for each."""

    tokens: tuple[str, ...] = ()
    """The words; number 0 is padding, number 1 an unknown word."""


class TaggedWordsSplit(TaggedSplit):
    """Numbers of words (T,), and the classes of the words."""

    words = True

    def take(self, index: Tensor) -> Batch:
        x, lengths = self.inputs.take(index)
        return Batch(x, lengths, self.labels.take(index, padding=-1)[0].long())


class TaggedWordFiles(TaggedFiles):
    """Sequences of words of a user with a class for each word, or for some of them. The vocabulary is that of the
    training split."""

    tokens = True
    Info = TaggedWordsInfo
    augments = frozenset()
    standardized = False

    @cached_property
    def info(self) -> TaggedWordsInfo:
        labels = np.concatenate(self.raw.train.targets)
        counts = tuple(np.bincount(labels[labels >= 0], minlength=len(self.classes)).tolist())
        words = Counter(np.concatenate(self.raw.train.sequences).tolist())
        tokens = (*SPECIAL, *sorted(word for word, count in words.items() if count >= MIN_COUNT))
        return TaggedWordsInfo(len(tokens), self.classes, counts, tokens=tokens)

    @property
    def notes(self) -> tuple[str, ...]:
        unknown = (self.validation.inputs.values == UNKNOWN).float().mean()
        return (*super().notes, f"{unknown:.1%} of validation words are unknown: the vocabulary has the "
                f"{self.info.input_size - len(SPECIAL)} words that occur at least {MIN_COUNT} times in the training "
                "split")  # fmt: skip

    def make_split(self, raw: RawSplit[list[np.ndarray]]) -> TaggedWordsSplit:
        number = _numbers(self.info)
        return TaggedWordsSplit([_numbered(words, number) for words in raw.sequences], raw.targets)

    def new_sequences(self, source: NewData) -> NamedSequences:
        if isinstance(source, str | Path) or is_frame(source):
            return super().new_sequences(source)
        sequences = [np.array(words) for words in source]
        wrong = next((i for i, words in enumerate(sequences) if words.ndim != 1 or words.dtype.kind != "U"), None)
        if wrong is not None:
            raise DataError(f"X[{wrong}]: is not a list of words: provide a list of words for each sequence")
        return numbered(sequences)

    def read_new(self, source: NewData, info: LabelledInfo) -> NewSamples:
        assert isinstance(info, TaggedWordsInfo)
        new, number = self.new_sequences(source), _numbers(info)
        sequences = [_numbered(words, number) for words in new.sequences]
        split = TaggedWordsSplit(sequences, [np.full(len(words), -1, np.int8) for words in sequences])
        keys: Sequence[list[tuple[object, ...]]] = [
            [(id, step, word) for step, word in enumerate(words.tolist(), 1)]
            for id, words in zip(new.ids, new.sequences, strict=True)
        ]
        return NewSamples(batches_of(split, self.batch_size), (new.column, "step", "word"), keys)


def _numbers(info: TaggedWordsInfo) -> dict[str, int]:
    return {word: number for number, word in enumerate(info.tokens) if number >= len(SPECIAL)}


def _numbered(words: np.ndarray, number: Mapping[str, int]) -> np.ndarray:
    """(T,) number of each word."""
    return np.array([number.get(word, UNKNOWN) for word in words.tolist()], np.int64)


def check_words(words: str | None, channels: Sequence[str], target: str, missing: str) -> None:
    """Raise ValueError where a column of words does not go with the other fields of a configuration."""
    if words is None:
        return
    if channels:
        raise ValueError(f"words={words} and channels={list(channels)} exclude each other: keep one of them")
    if target != "tag":
        raise ValueError(f"words={words} needs target=tag, a class for each word; a class for a text is data.name="
                         "csv_text")  # fmt: skip
    if missing != "error":
        raise ValueError(f"missing={missing} would have no effect on words: remove it")
