"""Pairs of texts: a source, and the target that a model writes for it, both as token numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar, TypedDict

import numpy as np
import torch
from torch import Tensor

from lstm_lab.config import Count
from lstm_lab.config.registry import Named, OneOf
from lstm_lab.data.base import Batch
from lstm_lab.data.kinds.text_split import Keep, TokenSplit
from lstm_lab.data.kinds.tokenized_texts import FittedTokenizer, TokenizedTexts
from lstm_lab.data.preprocessing.batching import LengthBuckets
from lstm_lab.data.preprocessing.label_codes import CodedLabels
from lstm_lab.data.preprocessing.splits import Texts
from lstm_lab.data.preprocessing.tokenizer import UNKNOWN, Tokenizer, Vocabulary
from lstm_lab.data.readers.cache import CacheEntry, digest
from lstm_lab.display.printable import shortened

END = 0
"""Number of the token that ends a target, and that a decoder reads before the first one; no text has it, for among the
tokens of a source it is padding."""
NO_TARGET = -1
"""Behind the end of a target."""


@dataclass(frozen=True)
class TextPairInfo(FittedTokenizer):
    """What a model and a task need to know of pairs of texts; saved with a run, so that it can read new sources."""

    input_size: int
    """Size of the sources' vocabulary, padding and the unknown token included."""
    tokenizer: str
    """The fitted tokenizer of sources as JSON text."""
    target_tokenizer: str
    """That of targets."""

    @cached_property
    def target_vocabulary(self) -> Vocabulary:
        return Vocabulary(self.target_tokenizer)


@dataclass(frozen=True)
class TargetTokens:
    """The targets of all splits."""

    tokens: Tensor
    """(sum of U,) int32, end to end."""
    starts: Tensor
    """(N,) int64 position of each in `tokens`."""
    lengths: Tensor
    """(N,) int64 tokens that are kept of each."""
    whole: Tensor
    """(N,) bool: all tokens are kept, so that `END` comes behind them."""

    @property
    def steps(self) -> Tensor:
        """(N,) int64 tokens of each, `END` included."""
        return self.lengths + self.whole

    def take(self, rows: Tensor) -> Tensor:
        """(B, U) int64 tokens, `NO_TARGET` behind the last one."""
        u = torch.arange(int(self.steps[rows].max()))
        lengths = self.lengths[rows].unsqueeze(1)
        text = u < lengths
        found = self.tokens[(self.starts[rows].unsqueeze(1) + u).where(text, 0)].long()
        behind = torch.where(self.whole[rows].unsqueeze(1) & (u == lengths), END, NO_TARGET)
        return found.where(text, behind)


class TextPairSplit(TokenSplit):
    """Pairs of one split. `targets` is (N,) int64, the row of each target in `target_tokens`; -1 of a new source."""

    target_tokens: TargetTokens
    _read_targets: Callable[[], list[str]]

    def with_targets(self, tokens: TargetTokens, read: Callable[[], list[str]]) -> TextPairSplit:
        """Itself, with the tokens of the targets, and what returns their texts, which are not kept in memory."""
        self.target_tokens, self._read_targets = tokens, read
        return self

    @property
    def target_lengths(self) -> Tensor:
        """(N,) steps of each target, `END` included."""
        return self.target_tokens.steps[self.targets]

    def plan(self, batch_size: int) -> LengthBuckets:
        return LengthBuckets(torch.maximum(self.lengths, self.target_lengths).numpy(), batch_size, self.max_tokens)

    def padding(self, batch_size: int) -> float:
        """Of sources and targets together."""
        batches = self.plan(batch_size).batches(np.random.default_rng((0, 0)))
        sides = [lengths.numpy() for lengths in (self.lengths, self.target_lengths)]
        padded = sum(len(index) * int(lengths[index].max()) for lengths in sides for index in batches)
        return 1 - int(sum(lengths.sum() for lengths in sides)) / padded

    def take(self, index: Tensor) -> Batch:
        batch = super().take(index)
        rows = batch.y
        is_new = bool((rows < 0).any())
        return batch._replace(y=rows.new_empty(len(rows), 0) if is_new else self.target_tokens.take(rows))

    def target_texts(self) -> list[str]:
        """The target of each pair as the data have it, neither truncated nor tokenized."""
        return self._read_targets()


class TextPairOptions(TypedDict):
    """Arguments of `TextPairs`, besides those that decide what is read."""

    tokenizer: Named
    target_tokenizer: Named | None
    max_length: int
    keep: Keep
    tokens_per_batch: int | None
    batch_size: int


class TextPairs(TokenizedTexts[TextPairInfo, TextPairSplit]):
    """Base of the sources of pairs of texts. A source writes `files` and `read`, whose labels are the target texts.

    Both vocabularies are those of the training split. In a batch x has the tokens of sources, and y (B, U) those of
    targets: `END` behind the last one, then `NO_TARGET`.
    """

    Info = TextPairInfo
    split_type = TextPairSplit
    column = "source"
    cache_version: ClassVar[int] = 1

    class Config(TokenizedTexts.Config):
        target_tokenizer: Annotated[Named | None, OneOf(Tokenizer, optional=True)] = None
        """How targets are split into tokens; null: as sources are, with a vocabulary of their own."""
        max_length: Count = 100
        """Tokens that are kept of a longer source, and of a longer target the first ones."""
        keep: Keep = "head"
        """Which tokens of a longer source are kept: its first, its last, or half of each."""

    def __init__(self, *, tokenizer: Named, target_tokenizer: Named | None, max_length: int, keep: Keep,
                 tokens_per_batch: int | None, batch_size: int, **reading: object) -> None:  # fmt: skip
        super().__init__(
            tokenizer=tokenizer, max_length=max_length, keep=keep, tokens_per_batch=tokens_per_batch,
            batch_size=batch_size, **reading, target_tokenizer=target_tokenizer,
        )  # fmt: skip
        self.target_tokenizer = target_tokenizer or tokenizer

    def _prepare(self) -> CacheEntry:
        arrays, metadata = super()._prepare()
        targets = self.read().labels.tolist()
        fitted = self.target_tokenizer.build().fit(targets[row] for row in self._rows(arrays["splits"], 0))
        tokens, lengths = Vocabulary(fitted).encode(targets)
        return CacheEntry({**arrays, "target_tokens": tokens, "target_lengths": lengths}, {
            **metadata, "target_tokenizer": fitted, "digest": digest(metadata["digest"], targets),
        })  # fmt: skip

    @cached_property
    def info(self) -> TextPairInfo:
        metadata = self._prepared.metadata
        return TextPairInfo(self._vocabulary_size, metadata["tokenizer"], metadata["target_tokenizer"])

    @cached_property
    def _target_tokens(self) -> TargetTokens:
        arrays = self._prepared.arrays
        lengths = arrays["target_lengths"]
        kept = torch.from_numpy(np.minimum(lengths, self.max_length))
        starts, whole = torch.from_numpy(lengths.cumsum() - lengths), torch.from_numpy(lengths <= self.max_length)
        return TargetTokens(torch.from_numpy(arrays["target_tokens"]), starts, kept, whole)

    def _split(self, number: int) -> TextPairSplit:
        rows = self._rows(self._prepared.arrays["splits"], number)

        def read() -> list[str]:
            targets = self.read().labels
            return [str(targets[row]) for row in rows]

        return super()._split(number).with_targets(self._target_tokens, read)

    def code_labels(self, found: Texts) -> CodedLabels:
        """The row of each target; splits that are drawn are not stratified."""
        count = len(found.texts)
        return CodedLabels((), np.arange(count), np.zeros(count, np.int64))

    def label_notes(self) -> tuple[str, ...]:
        targets = self._target_tokens
        truncated = float((~targets.whole[self.train.targets]).float().mean())
        tokens = targets.take(self.validation.targets)
        unknown = float((tokens[tokens > END] == UNKNOWN).float().mean())
        notes = {
            f"{truncated:.1%} of the training targets are longer than max_length={self.max_length}: their first tokens "
            "are kept": truncated,
            f"{unknown:.1%} of the tokens of validation targets are unknown": unknown,
        }
        return (*(note for note, share in notes.items() if share), *self._note_of_unwritable())

    def _note_of_unwritable(self) -> tuple[str, ...]:
        """Which validation targets no model can write as they are, because their own tokens do not give them back."""
        texts, vocabulary = self.validation.target_texts(), Vocabulary(self._prepared.metadata["target_tokenizer"])
        tokens, lengths = vocabulary.encode(texts)
        own = np.split(tokens, lengths.cumsum()[:-1])
        written = [vocabulary.decode(row.tolist()) for row in own]
        differ = [(text, other) for text, other in zip(texts, written, strict=True) if text != other]
        if not differ:
            return ()
        text, other = (shortened(repr(each), 60) for each in differ[0])
        return (
            f"{len(differ) / len(texts):.1%} of the validation targets cannot be written with their tokens: {text} "
            f"becomes {other}; so many are never an exact match: choose another data.target_tokenizer",
        )

    def no_labels(self, texts: int, info: TextPairInfo) -> np.ndarray:
        return np.full(texts, NO_TARGET)
