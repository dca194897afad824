"""One class for each step, where classes that follow each other depend on each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from lstm_lab.config import ConfigError
from lstm_lab.data.base import Batch, PredictionRow
from lstm_lab.data.kinds.labelled import ClassInfo
from lstm_lab.data.kinds.span_tags import mark_spans
from lstm_lab.data.kinds.tagged import TaggedSequences, TaggedSplit
from lstm_lab.kernels.lengths import length_mask
from lstm_lab.records.files import Row
from lstm_lab.tasks.base import Outputs, Task, TaskMetrics
from lstm_lab.tasks.chains import log_likelihood, log_marginals, viterbi
from lstm_lab.tasks.classification import MAXIMISED, ClassificationMetrics, class_columns
from lstm_lab.tasks.classification_examples import tag_examples
from lstm_lab.tasks.spans import SpanF1
from lstm_lab.tasks.step_losses import Reduction, count_of, divisor
from lstm_lab.tasks.tag_metrics import tag_baselines


class ChainMetrics(nn.Module, TaskMetrics):
    """Metrics of the probability of each class at each step; span_f1 of the most probable sequence."""

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__()
        self.num_classes = len(classes)
        self.of_classes = ClassificationMetrics(classes)
        self.of_spans = SpanF1(classes) if mark_spans(classes) else None

    def update(self, logits: Tensor, batch: Batch) -> None:
        """Add logits (B, T, K + K^2) of a batch."""
        scores = (*parts_of(logits.float(), self.num_classes), batch.lengths.to(logits.device))
        self.of_classes.update(log_marginals(*scores), batch)
        if self.of_spans is not None:
            self.of_spans.update(F.one_hot(viterbi(*scores), self.num_classes), batch)

    def compute(self) -> dict[str, Tensor]:
        found = dict(self.of_classes.compute())
        return found if self.of_spans is None else {**found, "span_f1": self.of_spans.compute()}

    def reset(self) -> None:
        self.of_classes.reset()
        if self.of_spans is not None:
            self.of_spans.reset()

    def details(self) -> dict[str, object]:
        return self.of_classes.details()

    def notes(self) -> list[str]:
        return self.of_classes.notes()


def parts_of(logits: Tensor, K: int) -> tuple[Tensor, Tensor]:
    """Scores of the classes (B, T, K), and of each class after each (B, T, K, K), of logits (B, T, K + K^2)."""
    return logits[..., :K], logits[..., K:].unflatten(-1, (K, K))


class TagCRF(Task[TaggedSplit], name="tag_crf"):
    """A conditional random field over the classes of a sequence (Huang, Xu & Yu 2015), as of tags that mark names.

    At each step the head gives a score to each class, and one to each class after each: their biases are the matrix of
    transitions of a field without inputs, and the features add to it. The loss is the negative log-probability of the
    classes of a sequence, in nats per step; at a step labelled -1 any class will do. A prediction is the most probable
    sequence (Viterbi), beside the probability of each class at each step.
    """

    accepts = TaggedSequences
    maximised = MAXIMISED | {"span_f1"}
    predicts_classes = True
    per_step = True

    class Config(Task.Config):
        monitor: Literal["accuracy", "macro_f1", "auroc", "ece", "span_f1", "loss"] = "accuracy"
        """Metric that compares epochs and trials: of the probabilities of classes over all steps with a target, or
        averaged over classes; span_f1, over spans of the most probable sequence, where classes mark them."""
        reduction: Reduction = "mean"
        """Of the losses of sequences: mean, over all steps of a batch with a target; sum, over sequences."""

    def __init__(self, info: ClassInfo, monitor: str, reduction: Reduction = "mean") -> None:
        self.classes, self.monitor = info.classes, monitor
        self.reduction: Reduction = reduction
        self.output_size = len(info.classes) * (len(info.classes) + 1)
        if monitor == "span_f1" and not mark_spans(info.classes):
            raise ConfigError("task.monitor: span_f1 needs tags of spans, as B-PER, I-PER and O: choose another metric")

    def num_targets(self, batch: Batch) -> int | Tensor:
        return count_of(self.reduction, batch.y >= 0)

    def scores(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Of the classes, of each class after each, and the lengths; 0 on padding."""
        lengths = batch.lengths.to(logits.device)
        # Logits of padding must not even reach the gradient: 0 * nan is nan.
        valid = length_mask(lengths, logits.shape[1]).unsqueeze(-1)
        return *parts_of(logits.masked_fill(~valid, 0.0), len(self.classes)), lengths

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        nats = -log_likelihood(*self.scores(logits, batch), batch.y)
        return nats.sum() / divisor(self.num_targets(batch), nats)

    def metrics(self) -> ChainMetrics:
        return ChainMetrics(self.classes)

    @property
    def logits_form(self) -> object:
        return ("chain", *self.prediction_columns)

    @property
    def prediction_columns(self) -> tuple[str, ...]:
        return class_columns(self.classes)

    def predictions(self, logits: Tensor, batch: Batch | None = None) -> list[list[PredictionRow]]:
        """A row for each valid step."""
        lengths = logits.new_full((len(logits),), logits.shape[1]).long() if batch is None else batch.lengths
        scores = (*parts_of(logits.double(), len(self.classes)), lengths.to(logits.device))
        tags, probabilities = viterbi(*scores).tolist(), log_marginals(*scores).exp().tolist()
        return [
            [[self.classes[tag], *row] for tag, row in zip(path[:length], rows[:length], strict=True)]
            for path, rows, length in zip(tags, probabilities, lengths.tolist(), strict=True)
        ]

    def baselines(self, train: TaggedSplit, split: TaggedSplit) -> dict[str, dict[str, float]]:
        """The most frequent label, and a logistic regression over each step and its neighbours."""
        return tag_baselines(self.classes, train, split)

    def examples(self, outputs: Outputs) -> Row:
        """Of the probabilities of each class at each step."""
        return tag_examples(
            self.classes, ((log_marginals(*self.scores(logits, batch)), batch) for logits, batch in outputs)
        )
