"""How many symbols and words of a text are wrong."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from lstm_lab.data.base import Batch
from lstm_lab.data.kinds.transcripts import TranscriptInfo
from lstm_lab.tasks.base import TaskMetrics
from lstm_lab.tasks.transcription.alignments import best_path


def edit_distance(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """Fewest insertions, deletions and substitutions that make b of a (Levenshtein 1966).

    >>> edit_distance("kitten", "sitting")
    3
    """
    number = {symbol: i for i, symbol in enumerate({*a, *b})}
    target = np.array([number[symbol] for symbol in b])
    at = np.arange(len(b) + 1)
    row = at.copy()
    for i, symbol in enumerate(a, 1):
        changed = np.minimum(row[1:] + 1, row[:-1] + (target != number[symbol]))
        row = np.concatenate([[i], changed])
        row = np.minimum.accumulate(row - at) + at  # Insertions, one behind the other.
    return int(row[-1])


def error_rates(counts: Tensor) -> dict[str, Tensor]:
    """The metrics of the sums of `counts_of`."""
    edits, symbols, word_edits, words, exact, texts = counts
    return {"token_error_rate": edits / symbols, "word_error_rate": word_edits / words, "exact_match": exact / texts}


def counts_of(info: TranscriptInfo, written: Sequence[list[int]], true: Sequence[list[int]]) -> Tensor:
    """(6,) float64 of texts of symbol numbers: edits and symbols, edits and number of words, texts without an error and
    texts."""
    counts = torch.zeros(6, dtype=torch.float64)
    for ours, theirs in zip(written, true, strict=True):
        words = [info.text(text).split() for text in (ours, theirs)]
        edits, word_edits = edit_distance(ours, theirs), edit_distance(*words)
        counts += torch.tensor([edits, len(theirs), word_edits, len(words[1]), ours == theirs, 1])
    return counts


def scores_of(info: TranscriptInfo, written: Sequence[list[int]], true: Sequence[list[int]]) -> dict[str, float]:
    """The metrics of texts of symbol numbers, as plain numbers."""
    return {name: float(value) for name, value in error_rates(counts_of(info, written, true)).items()}


class ErrorRates(Metric, TaskMetrics):
    """Over all texts: `token_error_rate`, edits between written and true symbols over true symbols; `word_error_rate`,
    the same of the words between spaces; `exact_match`, the share of texts without an error.

    The written text is that of the most probable alignment.
    """

    counts: Tensor

    def __init__(self, info: TranscriptInfo) -> None:
        super().__init__()
        self.info = info
        self.add_state("counts", torch.zeros(6, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, logits: Tensor, batch: Batch) -> None:
        """Add logits (B, T, K) of a batch."""
        found = counts_of(self.info, best_path(logits, batch.lengths), true_texts(batch.y))
        self.counts += found.to(self.counts.device)

    def compute(self) -> dict[str, Tensor]:
        return error_rates(self.counts)


def true_texts(y: Tensor) -> list[list[int]]:
    """Symbol numbers of each row (B, U), without the padding of -1."""
    return [[number for number in row if number >= 0] for row in y.tolist()]
