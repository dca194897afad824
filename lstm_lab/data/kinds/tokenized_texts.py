"""Texts with one class or several labels each: tokenized, truncated, in batches of similar lengths."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Generic, TypedDict, TypeVar

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor

from lstm_lab.config import Count, DataError
from lstm_lab.config.registry import Named, OneOf
from lstm_lab.data.base import Dataset, NewSamples
from lstm_lab.data.kinds.new_samples import batches_of, plain_ids
from lstm_lab.data.kinds.text_split import Keep, TokenSplit
from lstm_lab.data.preprocessing.label_codes import CodedLabels
from lstm_lab.data.preprocessing.splits import (
    DEFAULT_FRACTIONS,
    SplitFractions,
    Texts,
    assign_splits,
    count_leaks,
)
from lstm_lab.data.preprocessing.tokenizer import UNKNOWN, Tokenizer, Vocabulary, Word
from lstm_lab.data.readers.cache import CacheEntry, cached, digest
from lstm_lab.data.readers.cells import texts_of
from lstm_lab.data.readers.csv_format import CSVFormat
from lstm_lab.data.readers.formats import read_frame, read_rows
from lstm_lab.data.readers.in_memory import NewData, is_frame
from lstm_lab.data.readers.locate import find_file, sha256_of
from lstm_lab.data.readers.table import Table, read_text


class FittedTokenizer:
    """What texts of every kind record of the training split."""

    input_size: int
    """Size of the vocabulary, padding and the unknown token included."""
    tokenizer: str
    """The fitted tokenizer as JSON text."""

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.tokenizer)

    @property
    def tokens(self) -> tuple[str, ...]:
        """Name of each token."""
        return self.vocabulary.tokens


TextInfoT = TypeVar("TextInfoT", bound=FittedTokenizer)
TokenSplitT = TypeVar("TokenSplitT", bound=TokenSplit)


class TextOptions(TypedDict):
    """Arguments of a `TokenizedTexts`, besides those that decide what is read."""

    tokenizer: Named
    max_length: int
    keep: Keep
    tokens_per_batch: int | None
    batch_size: int


class TokenizedTexts(Dataset[TextInfoT], Generic[TextInfoT, TokenSplitT]):
    """Base of the sources of labelled texts. A source writes `files` and `read`, a kind of label writes the rest.

    The vocabulary is that of the training split. A split that the source does not name is drawn from the training
    split, with the same fraction of every class, and without a text that remains in it.
    """

    tokens = True
    split_type: type[TokenSplitT]
    augments = frozenset({"word_dropout"})
    folds_by = frozenset({"samples"})
    reads_new_files = True

    #: Of the texts, for the validation and the test split. Fixed, so that runs with different seeds see the same ones.
    fractions: SplitFractions = DEFAULT_FRACTIONS
    #: Column that new texts are read from.
    column = "text"
    #: Of a CSV; None: the ending of a file's name decides how it is read.
    format: CSVFormat | None = None
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
        def _a_text_fits_into_a_batch(self) -> TokenizedTexts.Config:
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
        self.reading = {key: value for key, value in reading.items() if key not in TokenizedTexts.Config.model_fields}

    @abstractmethod
    def files(self) -> list[Path]:
        """All files that `read` reads."""

    @abstractmethod
    def read(self) -> Texts:
        """All texts, those of the test split included."""

    @abstractmethod
    def code_labels(self, found: Texts) -> CodedLabels:
        """The labels of all texts as numbers."""

    @abstractmethod
    def label_notes(self) -> tuple[str, ...]:
        """What to know of the labels before trusting a metric, a sentence each."""

    @abstractmethod
    def no_labels(self, texts: int, info: TextInfoT) -> np.ndarray:
        """Targets of new texts, which have none."""

    @cached_property
    def _prepared(self) -> CacheEntry:
        from tokenizers import __version__

        files = [(path.parts[-3:], sha256_of(path)) for path in self.files()]
        tokenizer = self.tokenizer.model_dump()
        fold = () if self.fold is None else (self.fold.model_dump(),)
        key = (
            files,
            self.name,
            self.reading,
            self.fractions,
            tokenizer,
            __version__,
            self.cache_version,
            *fold,
            *self._both,
        )
        return cached(f"{self.name}-{digest(*key)}", self._prepare)

    def _prepare(self) -> CacheEntry:
        found = self.read()
        classes, labels, strata = self.code_labels(found)
        groups = found.texts if found.groups is None else found.groups
        splits = assign_splits(strata, groups, found.splits, self.fractions, found.path, "texts")
        if self.fold is not None:
            rows = np.flatnonzero(splits < 2)
            splits[rows] = self.fold.is_validation([groups[row] for row in rows], strata[rows], found.path)
        fitted = self.tokenizer.build().fit(found.texts[i] for i in self._rows(splits, 0))
        tokens, lengths = Vocabulary(fitted).encode(found.texts)
        texts = hashlib.sha256()
        for text in found.texts:
            texts.update(f"{len(text)} {text}".encode())
        arrays = {"tokens": tokens, "lengths": lengths, "labels": labels, "splits": splits}
        return CacheEntry(arrays, {
            "classes": classes,
            "tokenizer": fitted,
            "digest": digest(texts.hexdigest(), [*classes], labels, splits, *self._both),
            "leaks": count_leaks(found.texts, splits),
        })  # fmt: skip

    @property
    def _both(self) -> tuple[str, ...]:
        """What distinguishes data whose training split has the validation split."""
        return ("both",) if self.train_on_validation else ()

    def _rows(self, splits: np.ndarray, number: int) -> np.ndarray:
        """Which texts are in a split.

        Args:
            splits: (N,) number of the split of each text.
        """
        return np.flatnonzero(splits < 2 if number == 0 and self.train_on_validation else splits == number)

    @property
    def _vocabulary_size(self) -> int:
        return len(Vocabulary(self._prepared.metadata["tokenizer"]).tokens)

    @property
    def _train_labels(self) -> np.ndarray:
        """Targets of the training split."""
        arrays = self._prepared.arrays
        train: np.ndarray = arrays["labels"][self._rows(arrays["splits"], 0)]
        return train

    @cached_property
    def _tokens(self) -> Tensor:
        return torch.from_numpy(self._prepared.arrays["tokens"])

    def _split(self, number: int) -> TokenSplitT:
        arrays = self._prepared.arrays
        rows, lengths = self._rows(arrays["splits"], number), arrays["lengths"]

        def read() -> list[str]:
            texts = self.read().texts
            return [texts[row] for row in rows]

        return self.split_type(
            self._tokens, (lengths.cumsum() - lengths)[rows], lengths[rows], arrays["labels"][rows],
            max_length=self.max_length, keep=self.keep, max_tokens=self.max_tokens, read=read,
        )  # fmt: skip

    @cached_property
    def train(self) -> TokenSplitT:
        return self._split(0)

    @cached_property
    def validation(self) -> TokenSplitT:
        return self._split(1)

    def test_split(self) -> TokenSplitT:
        return self._split(2)

    @cached_property
    def digest(self) -> str:
        return str(self._prepared.metadata["digest"])

    @property
    def notes(self) -> tuple[str, ...]:
        notes = [*self.label_notes()]
        notes += [f"{count} of the {texts} {split} texts are in the training split too: they reward memorization"
                 for split, (count, texts) in self._prepared.metadata["leaks"].items() if count]  # fmt: skip
        truncated, padding = (self.train.removed > 0).float().mean(), self.train.padding(self.batch_size)
        batch = self.validation.take(torch.arange(len(self.validation)))
        unknown = (batch.x[batch.x > 0] == UNKNOWN).float().mean()
        if truncated:
            longer = f"longer than max_length={self.max_length}: keep={self.keep}"
            notes.append(f"{truncated:.1%} of the training texts are {longer}")
        notes.append(f"{unknown:.1%} of validation tokens are unknown; {padding:.1%} of a training epoch is padding")
        return tuple(notes)

    def read_new(self, source: NewData, info: TextInfoT) -> NewSamples:
        """Texts of a CSV, JSONL, Parquet or TXT file, of a DataFrame with the column of the texts, or of a list."""
        table = self._new_table(source)
        texts = texts_of(table, self.column)
        tokens, lengths = info.vocabulary.encode(texts)
        split = self.split_type(
            torch.from_numpy(tokens), lengths.cumsum() - lengths, lengths, self.no_labels(len(lengths), info),
            max_length=self.max_length, keep=self.keep,
        )  # fmt: skip
        column, names = self._names(table)
        return NewSamples(batches_of(split, self.batch_size), (column,), [[(name,)] for name in names])

    def _names(self, table: Table) -> tuple[str, Sequence[str | int]]:
        """What names new texts: what it is called, and that of each."""
        ids = table.columns.get(self.id or "")
        return ("text", range(1, len(table.lines) + 1)) if ids is None else (str(self.id), plain_ids(ids))

    def _new_table(self, source: NewData) -> Table:
        wanted = (self.column,) if self.id is None else (self.column, self.id)
        if isinstance(source, str | Path):
            path = find_file(str(source))
            if path.suffix.lower() == ".txt" and not self._is_csv(path):
                return read_rows(path, wanted[:1])
            return read_rows(path, wanted, self.format)
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

    def _is_csv(self, path: Path) -> bool:
        """Whether a file of texts is written as the CSV that was trained on, and not with a text on each line."""
        if self.format is None:
            return False
        separator = self.format.separator
        lines = [line for line in read_text(path, "text", "one text on each line").splitlines() if line.strip()]
        return 2 * sum(separator in line for line in lines) > len(lines)
