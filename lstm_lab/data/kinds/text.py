"""Texts with one class each: tokenized, truncated, in batches of similar lengths."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, TypedDict

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor

from lstm_lab.config import Count, DataError
from lstm_lab.data.base import Dataset, NewSamples, digest
from lstm_lab.data.kinds.labelled import ClassificationDataset
from lstm_lab.data.kinds.new_samples import batches_of, plain_ids
from lstm_lab.data.kinds.text_split import Keep, TextSplit
from lstm_lab.data.preprocessing.splits import (
    DEFAULT_FRACTIONS,
    SplitFractions,
    Texts,
    assign_splits,
    class_indices,
    count_leaks,
    unlearnable_classes,
)
from lstm_lab.data.preprocessing.tokenizer import UNKNOWN, Tokenizer, Vocabulary, Word
from lstm_lab.data.readers.cache import CacheEntry, cached
from lstm_lab.data.readers.cells import texts_of
from lstm_lab.data.readers.formats import read_frame, read_rows
from lstm_lab.data.readers.in_memory import NewData, is_frame
from lstm_lab.data.readers.locate import find_file, sha256_of
from lstm_lab.data.readers.table import Table
from lstm_lab.registry import Named, OneOf


@dataclass(frozen=True)
class TextInfo:
    """What a model and a task need to know of texts; saved with a run, so that it can read new texts."""

    input_size: int
    """Size of the vocabulary, padding and the unknown token included."""
    classes: tuple[str, ...]
    tokenizer: str
    """The fitted tokenizer as JSON text."""
    counts: tuple[int, ...] = ()
    """Texts of each class in the training split."""

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.tokenizer)

    @property
    def tokens(self) -> tuple[str, ...]:
        """Name of each token."""
        return self.vocabulary.tokens


class TextOptions(TypedDict):
    """Arguments of a `TextDataset`, besides those that decide what is read."""

    tokenizer: Named
    max_length: int
    keep: Keep
    tokens_per_batch: int | None
    batch_size: int


class TextDataset(ClassificationDataset[TextInfo]):
    """Base of the sources of labelled texts. A source writes `files` and `read`.

    Vocabulary and classes are those of the training split. A split that the source does not name is drawn from the
    training split, with the same fraction of every class, and without a text that remains in it.
    """

    tokens = True
    Info = TextInfo
    augments = frozenset({"word_dropout"})
    reads_new_files = True

    #: Of the texts, for the validation and the test split. Fixed, so that runs with different seeds see the same ones.
    fractions: SplitFractions = DEFAULT_FRACTIONS
    #: Column that new texts are read from.
    column = "text"
    separator: str | None = None
    quoting = True
    #: Column that names new texts; None: they are counted.
    id: str | None = None
    #: Raised when the cached content changes for the same configuration.
    cache_version: ClassVar[int] = 1

    class Config(Dataset.Config):
        tokenizer: Annotated[Named, OneOf(Tokenizer, default="word")] = Word.Config()
        """How texts are split into tokens; fitted on the training split."""
        max_length: Count = 400
        """Tokens that are kept of a longer text."""
        keep: Keep = "tail"
        """Which tokens of a longer text are kept: its first, its last, or half of each."""
        tokens_per_batch: Count | None = None
        """Tokens in a batch at most, padding included: longer texts come in smaller batches; null: no limit."""

        @model_validator(mode="after")
        def _a_text_fits_into_a_batch(self) -> TextDataset.Config:
            if self.tokens_per_batch is not None and self.tokens_per_batch < self.max_length:
                raise ValueError(f"tokens_per_batch={self.tokens_per_batch} has no room for a text of max_length="
                                 f"{self.max_length} tokens: raise it or lower max_length")  # fmt: skip
            if self.keep == "both" and self.max_length < 2:
                raise ValueError(
                    f"keep=both needs max_length to be at least 2, got {self.max_length}: raise it or keep head or tail"
                )
            return self

    def __init__(
        self, *, tokenizer: Named, max_length: int, keep: Keep, tokens_per_batch: int | None, batch_size: int,
        **reading: object,
    ) -> None:  # fmt: skip
        self.tokenizer, self.max_length, self.keep = tokenizer, max_length, keep
        self.max_tokens, self.batch_size = tokens_per_batch, batch_size
        #: All other fields that decide what is read from the files.
        self.reading = {key: value for key, value in reading.items() if key not in TextDataset.Config.model_fields}

    @abstractmethod
    def files(self) -> list[Path]:
        """All files that `read` reads."""

    @abstractmethod
    def read(self) -> Texts:
        """All texts, those of the test split included."""

    @cached_property
    def _prepared(self) -> CacheEntry:
        from tokenizers import __version__

        files = [(path.parts[-3:], sha256_of(path)) for path in self.files()]
        tokenizer = self.tokenizer.model_dump()
        key = (files, self.name, self.reading, self.fractions, tokenizer, __version__, self.cache_version)
        return cached(f"{self.name}-{digest(*key)}", self._prepare)

    def _prepare(self) -> CacheEntry:
        found = self.read()
        classes, labels = class_indices(found.labels, found.splits, found.path)
        groups = found.texts if found.groups is None else found.groups
        splits = assign_splits(labels, groups, found.splits, self.fractions, found.path, "texts")
        fitted = self.tokenizer.build().fit(found.texts[i] for i in np.flatnonzero(splits == 0))
        tokens, lengths = Vocabulary(fitted).encode(found.texts)
        texts = hashlib.sha256()
        for text in found.texts:
            texts.update(f"{len(text)} {text}".encode())
        arrays = {"tokens": tokens, "lengths": lengths, "labels": labels, "splits": splits}
        return CacheEntry(arrays, {
            "classes": classes,
            "tokenizer": fitted,
            "digest": digest(texts.hexdigest(), [*classes], labels, splits),
            "leaks": count_leaks(found.texts, splits),
        })  # fmt: skip

    @cached_property
    def info(self) -> TextInfo:
        metadata, arrays = self._prepared.metadata, self._prepared.arrays
        size = len(Vocabulary(metadata["tokenizer"]).tokens)
        counts = np.bincount(arrays["labels"][arrays["splits"] == 0], minlength=len(metadata["classes"]))
        return TextInfo(size, tuple(metadata["classes"]), metadata["tokenizer"], tuple(counts.tolist()))

    @cached_property
    def _tokens(self) -> Tensor:
        return torch.from_numpy(self._prepared.arrays["tokens"])

    def _split(self, number: int) -> TextSplit:
        arrays = self._prepared.arrays
        rows, lengths = np.flatnonzero(arrays["splits"] == number), arrays["lengths"]

        def read() -> list[str]:
            texts = self.read().texts
            return [texts[row] for row in rows]

        return TextSplit(
            self._tokens, (lengths.cumsum() - lengths)[rows], lengths[rows], arrays["labels"][rows],
            max_length=self.max_length, keep=self.keep, max_tokens=self.max_tokens, read=read,
        )  # fmt: skip

    @cached_property
    def train(self) -> TextSplit:
        return self._split(0)

    @cached_property
    def validation(self) -> TextSplit:
        return self._split(1)

    def test_split(self) -> TextSplit:
        return self._split(2)

    @cached_property
    def digest(self) -> str:
        return str(self._prepared.metadata["digest"])

    @property
    def notes(self) -> tuple[str, ...]:
        notes = [*unlearnable_classes(self.info.classes, self.info.counts)]
        notes += [f"{count} of the {texts} {split} texts are in the training split too: they reward memorization"
                 for split, (count, texts) in self._prepared.metadata["leaks"].items() if count]  # fmt: skip
        truncated, padding = (self.train.removed > 0).float().mean(), self.train.plan(self.batch_size).padding()
        batch = self.validation.take(torch.arange(len(self.validation)))
        unknown = (batch.x[batch.x > 0] == UNKNOWN).float().mean()
        if truncated:
            longer = f"longer than max_length={self.max_length}: keep={self.keep}"
            notes.append(f"{truncated:.1%} of the training texts are {longer}")
        notes.append(f"{unknown:.1%} of validation tokens are unknown; {padding:.1%} of a training epoch is padding")
        return tuple(notes)

    def read_new(self, source: NewData, info: TextInfo) -> NewSamples:
        """Texts of a CSV, JSONL, Parquet or TXT file, of a DataFrame with the column of the texts, or of a list."""
        table = self._new_table(source)
        texts = texts_of(table, self.column)
        tokens, lengths = info.vocabulary.encode(texts)
        split = TextSplit(
            torch.from_numpy(tokens), lengths.cumsum() - lengths, lengths, np.full(len(lengths), -1),
            max_length=self.max_length, keep=self.keep,
        )  # fmt: skip
        ids = table.columns.get(self.id or "")
        names = range(1, len(texts) + 1) if ids is None else plain_ids(ids)
        column = "text" if ids is None else str(self.id)
        return NewSamples(batches_of(split, self.batch_size), (column,), [[(name,)] for name in names])

    def _new_table(self, source: NewData) -> Table:
        wanted = (self.column,) if self.id is None else (self.column, self.id)
        if isinstance(source, str | Path):
            path = find_file(str(source))
            wanted = wanted[:1] if path.suffix.lower() == ".txt" else wanted
            return read_rows(path, wanted, self.separator, quoting=self.quoting)
        if is_frame(source):
            return read_frame(source, wanted, index=self.id)
        texts = [*source]
        wrong = next((text for text in texts if not isinstance(text, str)), None)
        if wrong is not None:
            raise DataError(f"new texts: {type(wrong).__name__} is not a text: provide a list of str, a DataFrame or a "
                            "file")  # fmt: skip
        if not texts:
            raise DataError("new texts: the list is empty: provide at least one")
        return Table(
            Path("new texts"), {self.column: [str(text) for text in texts]}, [*range(1, len(texts) + 1)], "row"
        )
