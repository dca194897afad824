"""Texts with one label each: taken apart, numbered, cut to length, in batches of near-equal lengths."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor

from lstm_lab.config import Count
from lstm_lab.data.base import Batch, Dataset, Split, digest
from lstm_lab.data.kinds.labelled import ClassificationDataset
from lstm_lab.data.preprocessing.batching import LengthBuckets
from lstm_lab.data.preprocessing.splits import Texts, leaks, sort_out
from lstm_lab.data.preprocessing.tokenizer import UNKNOWN, Tokenizer, Vocabulary, Word
from lstm_lab.data.readers.cache import CacheEntry, cached
from lstm_lab.data.readers.locate import sha256_of
from lstm_lab.data.readers.table import find_file
from lstm_lab.data.readers.text_files import read_rows, texts_of
from lstm_lab.registry import Choice, Named

Keep = Literal["head", "tail", "both"]


@dataclass(frozen=True)
class TextInfo:
    """Saved with the run, so that it reads new texts without the old ones."""

    input_size: int
    """Tokens in the vocabulary, padding and unknown among them."""
    classes: tuple[str, ...]
    tokenizer: str
    """As JSON text."""
    counts: tuple[int, ...] = ()
    """How many texts of each class the training part holds."""

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.tokenizer)

    @property
    def tokens(self) -> tuple[str, ...]:
        """The name of each token."""
        return self.vocabulary.tokens


class TextSplit(Split):
    """Texts of one part, as numbers in one flat array that all parts share.

    Args:
        tokens: (sum of T,) int32.
        starts, lengths: (N,) where each text of this part lies there.
        labels: (N,) class index.
        longest: tokens that are kept of a text: its `keep`.
        budget: tokens in a batch at most, padding included.
        read: gives the texts themselves, which are not kept in memory.
    """

    def __init__(
        self,
        tokens: Tensor,
        starts: np.ndarray,
        lengths: np.ndarray,
        labels: np.ndarray,
        *,
        max_length: int,
        keep: Keep,
        budget: int | None = None,
        read: Callable[[], list[str]] | None = None,
    ) -> None:
        self.tokens, self.budget, self._read = tokens, budget, read
        self.labels = torch.from_numpy(labels.astype(np.int64))
        self.lengths = torch.from_numpy(np.minimum(lengths, max_length))
        #: Tokens kept of the head of a text that is too long; the others come from its tail.
        self.head = {"head": max_length, "tail": 0, "both": max_length // 2}[keep]
        self.starts = torch.from_numpy(starts)
        self.skipped = torch.from_numpy(lengths) - self.lengths

    def __len__(self) -> int:
        return len(self.labels)

    def plan(self, batch_size: int) -> LengthBuckets:
        return LengthBuckets(self.lengths.numpy(), batch_size, self.budget)

    def take(self, index: Tensor) -> Batch:
        lengths = self.lengths[index]
        t = torch.arange(int(lengths.max()))
        source = self.starts[index].unsqueeze(1) + t + self.skipped[index].unsqueeze(1) * (t >= self.head)  # (B, T)
        valid = t < lengths.unsqueeze(1)
        x = self.tokens[source.where(valid, torch.zeros_like(t))].long().masked_fill_(~valid, 0)
        return Batch(x, lengths, self.labels[index])

    def features(self) -> list[str]:
        """The texts themselves, whole."""
        if self._read is None:
            raise ValueError("these texts were given as tokens alone: give `read` to have the texts themselves")
        return self._read()

    def baselines(self) -> dict[str, Any]:
        """Logistic regression on how often words and pairs of words occur, rare ones weighing more."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        words = TfidfVectorizer(
            ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]+", dtype=np.float32, max_features=200_000
        )
        return {"TF-IDF + logistic regression": make_pipeline(words, LogisticRegression(C=10, max_iter=1000))}


class Text(ClassificationDataset):
    """Base of the sources of labelled texts. A source writes `files` and `read`.

    Only the training part is looked at for the vocabulary and the classes. What is cut from it for validation, and for
    a test where the source names none, holds the same share of every class, and no text that stays in it too.
    """

    tokens = True
    Info = TextInfo
    augments = frozenset({"word_dropout"})

    #: Of the texts for validation and for test. Fixed, so that runs with different seeds are judged on the same ones.
    fractions: tuple[float, float] = (0.1, 0.2)
    #: Column that new texts are read from.
    column = "text"
    separator: str | None = None
    #: Raised when what is kept under the same choices changes.
    edition: ClassVar[int] = 1

    class Config(Dataset.Config):
        tokenizer: Annotated[Named, Choice(Tokenizer, default="word")] = Word.Config()  # type: ignore[call-arg]
        """How texts are taken apart; fitted on the training part."""
        max_length: Count = 400
        """Tokens that are kept of a longer text."""
        keep: Keep = "tail"
        """Which: its first ones, its last ones, or half of each."""
        tokens_per_batch: Count | None = None
        """Tokens in a batch at most, padding included: longer texts come in smaller batches; null: no such bound."""

        @model_validator(mode="after")
        def _a_text_fits_a_batch(self) -> Text.Config:
            if self.tokens_per_batch is not None and self.tokens_per_batch < self.max_length:
                raise ValueError(f"tokens_per_batch={self.tokens_per_batch} has no room for a text of max_length="
                                 f"{self.max_length} tokens: raise it or lower max_length")  # fmt: skip
            if self.keep == "both" and self.max_length < 2:
                raise ValueError(
                    f"keep=both needs max_length to be at least 2, got {self.max_length}: raise it or keep head or tail"
                )
            return self

    def __init__(self, **choices: Any) -> None:
        self.tokenizer: Named = choices["tokenizer"]
        self.max_length: int = choices["max_length"]
        self.keep: Keep = choices["keep"]
        self.budget: int | None = choices["tokens_per_batch"]
        self.batch_size: int = choices["batch_size"]
        #: What else decides what is read from the files.
        self.reading: dict[str, Any] = {
            key: value for key, value in choices.items() if key not in Text.Config.model_fields
        }

    @abstractmethod
    def files(self) -> list[Path]:
        """All that `read` reads."""

    @abstractmethod
    def read(self) -> Texts:
        """All texts, the test part too."""

    @cached_property
    def _prepared(self) -> CacheEntry:
        from tokenizers import __version__

        files = [(place.parts[-3:], sha256_of(place)) for place in self.files()]
        asked = (files, self.name, self.reading, self.fractions, self.tokenizer.model_dump(), __version__, self.edition)
        return cached(f"{self.name}-{digest(*asked)}", self._prepare)

    def _prepare(self) -> CacheEntry:
        found = self.read()
        names, labels, parts = sort_out(found, self.fractions)
        train = np.flatnonzero(parts == 0)
        fitted = self.tokenizer.build().fit(found.texts[i] for i in train)
        tokens, lengths = Vocabulary(fitted).encode(found.texts)
        texts = hashlib.sha256()
        for text in found.texts:
            texts.update(f"{len(text)} {text}".encode())
        arrays = {"tokens": tokens, "lengths": lengths, "labels": labels, "parts": parts}
        return CacheEntry(arrays, {
            "classes": names,
            "tokenizer": fitted,
            "digest": digest(texts.hexdigest(), names, labels, parts),
            "leaks": leaks(found.texts, parts),
        })  # fmt: skip

    @cached_property
    def info(self) -> TextInfo:
        plain = self._prepared.plain
        size = len(Vocabulary(plain["tokenizer"]).tokens)
        arrays = self._prepared.arrays
        counts = np.bincount(arrays["labels"][arrays["parts"] == 0], minlength=len(plain["classes"]))
        return TextInfo(size, tuple(plain["classes"]), plain["tokenizer"], tuple(counts.tolist()))

    @cached_property
    def _tokens(self) -> Tensor:
        return torch.from_numpy(self._prepared.arrays["tokens"])

    def _part(self, number: int) -> TextSplit:
        arrays = self._prepared.arrays
        rows, lengths = np.flatnonzero(arrays["parts"] == number), arrays["lengths"]

        def read() -> list[str]:
            texts = self.read().texts
            return [texts[row] for row in rows]

        return TextSplit(
            self._tokens, (lengths.cumsum() - lengths)[rows], lengths[rows], arrays["labels"][rows],
            max_length=self.max_length, keep=self.keep, budget=self.budget, read=read,
        )  # fmt: skip

    @cached_property
    def train(self) -> TextSplit:
        return self._part(0)

    @cached_property
    def validation(self) -> TextSplit:
        return self._part(1)

    def test_split(self) -> TextSplit:
        return self._part(2)

    @cached_property
    def digest(self) -> str:
        return self._prepared.plain["digest"]

    @property
    def notes(self) -> tuple[str, ...]:
        said = [f"{count} of the {texts} {part} texts stand in the training part too: they reward learning by heart"
                for part, (count, texts) in self._prepared.plain["leaks"].items() if count]  # fmt: skip
        cut, padding = (self.train.skipped > 0).float().mean(), self.train.plan(self.batch_size).padding()
        unknown = (self._seen == UNKNOWN).float().mean()
        if cut:
            said.append(
                f"{cut:.1%} of the training texts are longer than max_length={self.max_length}: keep={self.keep}"
            )
        said.append(f"{unknown:.1%} of the validation tokens are unknown; {padding:.1%} of a training epoch is padding")
        return tuple(said)

    @property
    def _seen(self) -> Tensor:
        batch = self.validation.take(torch.arange(len(self.validation)))
        return batch.x[batch.x > 0]

    def read_new(self, path: str, info: TextInfo) -> Iterator[Batch]:
        """Texts of a CSV, JSONL, Parquet or TXT file, in its order."""
        texts = texts_of(read_rows(find_file(path), (self.column,), self.separator), self.column)
        tokens, lengths = info.vocabulary.encode(texts)
        split = TextSplit(
            torch.from_numpy(tokens), lengths.cumsum() - lengths, lengths, np.full(len(lengths), -1),
            max_length=self.max_length, keep=self.keep,
        )  # fmt: skip
        return map(split.take, torch.arange(len(split)).split(self.batch_size))

    def prediction_table(
        self, answers: Sequence[Any], info: TextInfo, columns: Sequence[str]
    ) -> tuple[list[str], list[list[Any]]]:
        return ["text", "label"], [[number, answer] for number, answer in enumerate(answers, 1)]
