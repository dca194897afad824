"""One class for each step."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from lstm_lab.config import ConfigError
from lstm_lab.data.base import Batch, PredictionRow
from lstm_lab.data.kinds.labelled import ClassInfo
from lstm_lab.data.kinds.span_tags import mark_spans
from lstm_lab.data.kinds.tagged import TaggedSequences, TaggedSplit
from lstm_lab.kernels.lengths import length_mask
from lstm_lab.records.files import Row
from lstm_lab.tasks.base import Outputs, Task, TaskMetrics
from lstm_lab.tasks.classification import (
    MAXIMISED,
    ClassConfig,
    CrossEntropy,
    LossName,
    class_columns,
    class_rows,
    mean_of_classes,
)
from lstm_lab.tasks.classification_examples import tag_examples
from lstm_lab.tasks.soft_targets import class_distance
from lstm_lab.tasks.step_losses import Reduction, count_of, divisor
from lstm_lab.tasks.tag_metrics import step_metrics, tag_baselines


class Tag(Task[TaggedSplit], name="tag"):
    """Cross-entropy over the classes of each step; steps labelled -1 have no target."""

    accepts = TaggedSequences
    maximised = MAXIMISED | {"span_f1"}
    predicts_classes = True
    per_step = True
    soft_targets = "probabilities"

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

    def distillation_loss(self, logits: Tensor, teacher: Tensor, batch: Batch, temperature: float) -> Tensor:
        """Over all steps, those without a label too."""
        mask = length_mask(batch.lengths.to(logits.device), logits.shape[1])
        without = ~mask.unsqueeze(-1)
        losses = class_distance(logits.masked_fill(without, 0.0), teacher.masked_fill(without, 0.0), temperature)
        return losses.sum() / divisor(count_of(self.reduction, mask), losses)

    def metrics(self) -> TaskMetrics:
        return step_metrics(self.classes)

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
        return tag_baselines(self.classes, train, split)

    def examples(self, outputs: Outputs) -> Row:
        return tag_examples(self.classes, outputs)
