"""Texts of one split as token numbers, truncated, in batches of similar lengths."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from lstm_lab.data.base import Batch, Split
from lstm_lab.data.kinds.labelled import ClassificationSplit
from lstm_lab.data.kinds.multi_label import MultiLabelSplit
from lstm_lab.data.preprocessing.batching import LengthBuckets
from lstm_lab.kernels.lengths import length_mask

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin, TransformerMixin

Keep = Literal["head", "tail", "both"]


def kept_head(max_length: int, keep: Keep) -> int:
    """Tokens that are kept from the head of a text that is too long; the rest come from its tail."""
    return {"head": max_length, "tail": 0, "both": max_length // 2}[keep]


class TokenSplit(Split):
    """Texts of one split, as token numbers in one flat array that all splits share.

    Args:
        tokens: (sum of T,) int32.
        starts, lengths: (N,) position and length of each text of this split in `tokens`.
        targets: (N,) class index, or (N, K) 1 where a text has a label.
        max_length: tokens to keep of a longer text.
        keep: which of them.
        max_tokens: tokens in a batch at most, padding included.
        read: returns the texts themselves, which are not kept in memory.
    """

    target_dtype: ClassVar[type[np.generic]] = np.int64

    def __init__(
        self,
        tokens: Tensor,
        starts: np.ndarray,
        lengths: np.ndarray,
        targets: np.ndarray,
        *,
        max_length: int,
        keep: Keep,
        max_tokens: int | None = None,
        read: Callable[[], list[str]] | None = None,
    ) -> None:
        self.tokens, self.max_tokens, self._read = tokens, max_tokens, read
        self.targets = torch.from_numpy(targets.astype(self.target_dtype))
        self.lengths = torch.from_numpy(np.minimum(lengths, max_length))
        #: Tokens kept from the head of a text that is too long; the rest come from its tail.
        self.head = kept_head(max_length, keep)
        self.starts = torch.from_numpy(starts)
        self.removed = torch.from_numpy(lengths) - self.lengths
        """(N,) tokens removed from each text."""

    def __len__(self) -> int:
        return len(self.targets)

    def plan(self, batch_size: int) -> LengthBuckets:
        return LengthBuckets(self.lengths.numpy(), batch_size, self.max_tokens)

    def padding(self, batch_size: int) -> float:
        """Fraction of the steps of an epoch that is padding."""
        return self.plan(batch_size).padding()

    def take(self, index: Tensor) -> Batch:
        lengths = self.lengths[index]
        t = torch.arange(int(lengths.max()))
        source = self.starts[index].unsqueeze(1) + t + self.removed[index].unsqueeze(1) * (t >= self.head)  # (B, T)
        valid = length_mask(lengths, len(t))
        x = self.tokens[source.where(valid, 0)].long().masked_fill_(~valid, 0)
        return Batch(x, lengths, self.targets[index])

    def texts(self) -> list[str]:
        """The texts themselves, not truncated."""
        if self._read is None:
            raise ValueError("this split has only tokens: construct it with `read` to have the texts themselves")
        return self._read()

    def features(self) -> list[str]:
        return self.texts()


class TextSplit(TokenSplit, ClassificationSplit):
    """Texts and the class of each: `targets` is (N,) int64."""

    @property
    def labels(self) -> Tensor:  # type: ignore[override]
        """(N,) int64 class index of each text."""
        return self.targets

    def baselines(self) -> dict[str, ClassifierMixin]:
        """Logistic regression on TF-IDF of words and pairs of words."""
        from sklearn.pipeline import make_pipeline

        return {name: make_pipeline(*steps) for name, steps in tf_idf_regression().items()}


class MultiLabelTextSplit(TokenSplit, MultiLabelSplit):
    """Texts and the labels of each: `targets` is (N, K) float32."""

    target_dtype = np.float32

    def baselines(self) -> dict[str, tuple[TransformerMixin, ClassifierMixin]]:
        """Logistic regression on TF-IDF of words and pairs of words, one for each label."""
        return tf_idf_regression()


def tf_idf_regression() -> dict[str, tuple[TransformerMixin, ClassifierMixin]]:
    """Name -> TF-IDF of words and pairs of words, and a logistic regression on it."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    words = TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]+", dtype=np.float32, max_features=200_000
    )
    return {"TF-IDF + logistic regression": (words, LogisticRegression(C=10, max_iter=1000))}
