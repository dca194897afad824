"""Spans that tags mark, as names in a sentence, and how many of them are found: the rules of conlleval and seqeval."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from lstm_lab.data.base import Batch
from lstm_lab.data.kinds.span_tags import OUTSIDE, TAG

Span = tuple[int, int, str]
"""First and last step, and type."""


def spans_of(tags: Sequence[str]) -> set[Span]:
    """The spans of one sequence.

    A span begins at B and S, at I and E that follow no span or one of another type, and ends at E and S, before B and
    S, and where the type changes (Nakayama 2018, seqeval, not its strict mode).

    >>> sorted(spans_of(["B-PER", "I-PER", "O", "I-LOC", "B-LOC"]))
    [(0, 1, 'PER'), (3, 3, 'LOC'), (4, 4, 'LOC')]
    """
    found: set[Span] = set()
    start, before, kind = 0, OUTSIDE, ""
    for step, tag in enumerate([*tags, OUTSIDE]):
        match = TAG.fullmatch(tag)
        prefix, new_kind = (match[1], match[2]) if match else (OUTSIDE, "")
        begins = prefix != OUTSIDE and (prefix in "BS" or before in "OES" or new_kind != kind)
        if before != OUTSIDE and (begins or prefix == OUTSIDE or before in "ES"):
            found.add((start, step - 1, kind))
        if begins:
            start = step
        before, kind = prefix, new_kind
    return found


class SpanF1(Metric):
    """2 c / (p + t): c spans are predicted with both ends and their type, of p predicted and t true ones of all types
    (micro average); 0 where there is none of either. Steps without a target are left out.

    Args:
        classes: names of the tags, in the order of their indices.
    """

    correct: Tensor
    spans: Tensor

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__()
        self.classes = tuple(classes)
        for name in ("correct", "spans"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, logits: Tensor, batch: Batch) -> None:
        """Add logits (B, T, K) of a batch whose y (B, T) is below 0 where there is no target."""
        for best, y in zip(logits.argmax(-1).cpu(), batch.y.cpu(), strict=True):
            predicted, true = (spans_of([self.classes[index] for index in tags[y >= 0].tolist()]) for tags in (best, y))
            self.correct += len(predicted & true)
            self.spans += len(predicted) + len(true)

    def compute(self) -> Tensor:
        return 2 * self.correct / self.spans.clamp(min=1)
