"""Texts of one split as token numbers, truncated, in batches of similar lengths."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from lstm_lab.data.base import Batch
from lstm_lab.data.kinds.labelled import ClassificationSplit
from lstm_lab.data.preprocessing.batching import LengthBuckets
from lstm_lab.kernels.lengths import length_mask

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

Keep = Literal["head", "tail", "both"]


class TextSplit(ClassificationSplit):
    """Texts of one split, as token numbers in one flat array that all splits share.

    Args:
        tokens: (sum of T,) int32.
        starts, lengths: (N,) position and length of each text of this split in `tokens`.
        labels: (N,) class index.
        max_length: tokens to keep of a longer text.
        keep: which of them.
        max_tokens: tokens in a batch at most, padding included.
        read: returns the texts themselves, which are not kept in memory.
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
        max_tokens: int | None = None,
        read: Callable[[], list[str]] | None = None,
    ) -> None:
        self.tokens, self.max_tokens, self._read = tokens, max_tokens, read
        self.labels = torch.from_numpy(labels.astype(np.int64))
        self.lengths = torch.from_numpy(np.minimum(lengths, max_length))
        #: Tokens kept from the head of a text that is too long; the rest come from its tail.
        self.head = {"head": max_length, "tail": 0, "both": max_length // 2}[keep]
        self.starts = torch.from_numpy(starts)
        self.removed = torch.from_numpy(lengths) - self.lengths
        """(N,) tokens removed from each text."""

    def __len__(self) -> int:
        return len(self.labels)

    def plan(self, batch_size: int) -> LengthBuckets:
        return LengthBuckets(self.lengths.numpy(), batch_size, self.max_tokens)

    def take(self, index: Tensor) -> Batch:
        lengths = self.lengths[index]
        t = torch.arange(int(lengths.max()))
        source = self.starts[index].unsqueeze(1) + t + self.removed[index].unsqueeze(1) * (t >= self.head)  # (B, T)
        valid = length_mask(lengths, len(t))
        x = self.tokens[source.where(valid, 0)].long().masked_fill_(~valid, 0)
        return Batch(x, lengths, self.labels[index])

    def texts(self) -> list[str]:
        """The texts themselves, not truncated."""
        if self._read is None:
            raise ValueError("this split has only tokens: construct it with `read` to have the texts themselves")
        return self._read()

    def features(self) -> list[str]:
        return self.texts()

    def baselines(self) -> dict[str, ClassifierMixin]:
        """Logistic regression on TF-IDF of words and pairs of words."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        words = TfidfVectorizer(
            ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]+", dtype=np.float32, max_features=200_000
        )
        return {"TF-IDF + logistic regression": make_pipeline(words, LogisticRegression(C=10, max_iter=1000))}
