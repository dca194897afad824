"""Metrics of tasks with a class for each step, and their untrained baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from lstm_lab.data.base import Batch
from lstm_lab.data.kinds.span_tags import mark_spans
from lstm_lab.data.kinds.tagged import TaggedSplit
from lstm_lab.tasks.base import TaskMetrics, score
from lstm_lab.tasks.classification import ClassificationMetrics
from lstm_lab.tasks.spans import SpanF1

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

REACH = 5
"""Steps on either side that the logistic regression reads."""
WORDS_REACH = 1
"""Words on either side that it reads: each is a channel of its own."""
MAX_ROWS = 20_000
"""Steps that it is fitted on at most, drawn at random: more change its score little and its time a lot."""


class TagMetrics(nn.Module, TaskMetrics):
    """The metrics of the classes, and `span_f1` of the spans that they mark."""

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__()
        self.of_classes, self.of_spans = ClassificationMetrics(classes), SpanF1(classes)

    def update(self, logits: Tensor, batch: Batch) -> None:
        self.of_classes.update(logits, batch)
        self.of_spans.update(logits, batch)

    def compute(self) -> dict[str, Tensor]:
        return {**self.of_classes.compute(), "span_f1": self.of_spans.compute()}

    def reset(self) -> None:
        self.of_classes.reset()
        self.of_spans.reset()

    def details(self) -> dict[str, object]:
        return self.of_classes.details()

    def notes(self) -> list[str]:
        return self.of_classes.notes()


def step_metrics(classes: Sequence[str]) -> TaskMetrics:
    """Of logits (B, T, K); with span_f1 where the classes mark spans."""
    return TagMetrics(classes) if mark_spans(classes) else ClassificationMetrics(classes)


def tag_baselines(classes: Sequence[str], train: TaggedSplit, split: TaggedSplit) -> dict[str, dict[str, float]]:
    """The most frequent label, and a logistic regression over each step and its neighbours."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    labelled = torch.nonzero(train.labels.values >= 0).squeeze(1).numpy()
    drawn = np.random.default_rng(0).permutation(labelled)[:MAX_ROWS]
    reach = WORDS_REACH if train.words else REACH
    inputs, labels = neighbours(train, drawn, reach), train.labels.values.numpy()[drawn]
    rows = torch.nonzero(split.labels.values >= 0).squeeze(1).numpy()
    y = split.labels.values[torch.from_numpy(rows)].long()
    scaled = OneHotEncoder(handle_unknown="ignore") if train.words else StandardScaler()
    logistic = make_pipeline(scaled, LogisticRegression(max_iter=200, tol=1e-3))
    logistic.fit(inputs, labels)
    most_frequent = np.full(len(rows), np.bincount(train.labels.values[labelled]).argmax())
    probabilities = np.zeros((len(rows), len(classes)), np.float32)
    probabilities[:, logistic.classes_] = predict_in_chunks(logistic, split, rows, reach)
    predicted = {
        "most frequent label": F.one_hot(torch.from_numpy(most_frequent), len(classes)).float(),
        f"logistic regression, {2 * reach + 1} steps": torch.from_numpy(probabilities),
    }
    # Spans end where sequences do; other metrics are those of all steps end to end, without padding.
    number = torch.repeat_interleave(torch.arange(len(split)), split.inputs.lengths)[rows]
    sizes = torch.bincount(number, minlength=len(split)).tolist() if mark_spans(classes) else [len(rows)]
    batch = Batch(torch.empty(0), torch.tensor(sizes), pad_sequence(y.split(sizes), True, -1))
    return {name: score(step_metrics(classes), pad_sequence(found.log().split(sizes), True), batch)
            for name, found in predicted.items()}  # fmt: skip


def neighbours(split: TaggedSplit, rows: np.ndarray, reach: int = REACH) -> np.ndarray:
    """The values at `rows` (N,) of all steps end to end and at `reach` steps on either side: (N, (2 reach + 1) I).

    Beyond the ends of a sequence they are 0.
    """
    values = split.inputs.values.reshape(len(split.inputs.values), -1)
    first = torch.repeat_interleave(split.inputs.starts, split.inputs.lengths)[rows]
    last = torch.repeat_interleave(split.inputs.starts + split.inputs.lengths, split.inputs.lengths)[rows]
    at = torch.from_numpy(rows).unsqueeze(1) + torch.arange(-reach, reach + 1)  # (N, 2 reach + 1)
    inside = (at >= first.unsqueeze(1)) & (at < last.unsqueeze(1))
    found = values[at.clamp(0, len(values) - 1)].float().masked_fill(~inside.unsqueeze(-1), 0.0)
    return found.flatten(1).numpy()


def predict_in_chunks(model: ClassifierMixin, split: TaggedSplit, rows: np.ndarray, reach: int = REACH) -> np.ndarray:
    """Probabilities (N, its classes) of a fitted model at many rows, without all neighbours in memory at once."""
    chunks = np.array_split(rows, max(1, len(rows) // MAX_ROWS))
    return np.concatenate([model.predict_proba(neighbours(split, chunk, reach)) for chunk in chunks])
