"""One class for each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from lstm_lab.config import ConfigError
from lstm_lab.data.base import Batch, PredictionRow
from lstm_lab.data.kinds.labelled import ClassInfo
from lstm_lab.data.kinds.span_tags import mark_spans
from lstm_lab.data.kinds.tagged import TaggedSequences, TaggedSplit
from lstm_lab.records.files import Row
from lstm_lab.tasks.base import Outputs, Task, TaskMetrics, score
from lstm_lab.tasks.classification import (
    MAXIMISED,
    ClassConfig,
    ClassificationMetrics,
    CrossEntropy,
    LossName,
    class_columns,
    class_rows,
    mean_of_classes,
)
from lstm_lab.tasks.classification_examples import tag_examples
from lstm_lab.tasks.spans import SpanF1
from lstm_lab.tasks.step_losses import Reduction, count_of, divisor

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


class Tag(Task[TaggedSplit], name="tag"):
    """Cross-entropy over the classes of each step; steps labelled -1 have no target."""

    accepts = TaggedSequences
    maximised = MAXIMISED | {"span_f1"}
    predicts_classes = True
    per_step = True

    class Config(ClassConfig):
        monitor: Literal["accuracy", "macro_f1", "auroc", "ece", "span_f1", "loss"] = "accuracy"
        """Metric that compares epochs and trials: over all steps with a target, or averaged over classes; span_f1, over
        spans, where classes mark them, as B-PER, I-PER and O."""
        reduction: Reduction = "mean"
        """Of the losses of steps: mean, over all steps of a batch; sum, over those of a sequence, whose mean over
        sequences is the loss."""

    def __init__(
        self,
        info: ClassInfo,
        monitor: str,
        class_weights: str | tuple[float, ...] = "none",
        label_smoothing: float = 0.0,
        loss: LossName = "cross_entropy",
        gamma: float = 2.0,
        reduction: Reduction = "mean",
    ) -> None:
        self.reduction: Reduction = reduction
        self.cross_entropy = CrossEntropy(info, class_weights, label_smoothing, loss, gamma)
        self.has_loss_gradient = self.cross_entropy.has_gradient
        self.classes, self.output_size, self.monitor = info.classes, self.cross_entropy.num_logits, monitor
        self.has_spans = mark_spans(info.classes)
        if monitor == "span_f1" and not self.has_spans:
            raise ConfigError("task.monitor: span_f1 needs tags of spans, as B-PER, I-PER and O: choose another metric")

    def postprocess(self, logits: Tensor, batch: Batch) -> Tensor:
        """A logit for each class, where the model predicts one for two."""
        return self.cross_entropy.class_logits(logits)

    def num_targets(self, batch: Batch) -> int | Tensor:
        return count_of(self.reduction, batch.y >= 0)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        # Logits without a target must not even reach the gradient: 0 * nan is nan.
        logits = logits.masked_fill((batch.y < 0).unsqueeze(-1), 0.0)
        losses = self.cross_entropy(logits.flatten(0, 1), batch.y.flatten())
        return losses.sum() / divisor(self.num_targets(batch), losses)

    def loss_gradient(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        if not self.has_loss_gradient:
            return super().loss_gradient(logits, batch)
        y, without = batch.y.flatten(), (batch.y < 0).unsqueeze(-1)
        z = self.postprocess(logits, batch).masked_fill(without, 0.0)
        count = divisor(self.num_targets(batch), logits)
        losses, gradient = self.cross_entropy.with_gradient(z.flatten(0, 1), y, (1 / count).expand(len(y)))
        gradient = gradient.view_as(z).masked_fill(without, 0.0)
        return losses.sum() / count, self.cross_entropy.logit_gradient(gradient)

    def metrics(self) -> TaskMetrics:
        return TagMetrics(self.classes) if self.has_spans else ClassificationMetrics(self.classes)

    def mean_logits(self, samples: Tensor) -> Tensor:
        return mean_of_classes(samples)

    @property
    def prediction_columns(self) -> tuple[str, ...]:
        return class_columns(self.classes)

    def predictions(self, logits: Tensor, batch: Batch | None = None) -> list[list[PredictionRow]]:
        """A row for each valid step."""
        lengths = [logits.shape[1]] * len(logits) if batch is None else batch.lengths.tolist()
        return [class_rows(self.classes, steps[:length]) for steps, length in zip(logits, lengths, strict=True)]

    def baselines(self, train: TaggedSplit, split: TaggedSplit) -> dict[str, dict[str, float]]:
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
        probabilities = np.zeros((len(rows), self.output_size), np.float32)
        probabilities[:, logistic.classes_] = predict_in_chunks(logistic, split, rows, reach)
        predicted = {
            "most frequent label": F.one_hot(torch.from_numpy(most_frequent), self.output_size).float(),
            f"logistic regression, {2 * reach + 1} steps": torch.from_numpy(probabilities),
        }
        # Spans end where sequences do; other metrics are those of all steps end to end, without padding.
        number = torch.repeat_interleave(torch.arange(len(split)), split.inputs.lengths)[rows]
        sizes = torch.bincount(number, minlength=len(split)).tolist() if self.has_spans else [len(rows)]
        batch = Batch(torch.empty(0), torch.tensor(sizes), pad_sequence(y.split(sizes), True, -1))
        return {name: score(self.metrics(), pad_sequence(found.log().split(sizes), True), batch)
                for name, found in predicted.items()}  # fmt: skip

    def examples(self, outputs: Outputs) -> Row:
        return tag_examples(self.classes, outputs)


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
