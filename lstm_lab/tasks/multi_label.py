"""Any number of labels for a whole sequence."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from lstm_lab.config import ConfigError
from lstm_lab.data.base import Batch, PredictionRow
from lstm_lab.data.kinds.multi_label import MultiLabelDataset, MultiLabelInfo, MultiLabelSplit
from lstm_lab.records.files import Row
from lstm_lab.tasks.base import Outputs, Task, score
from lstm_lab.tasks.classification import mean_of_binary
from lstm_lab.tasks.multi_label_metrics import METRICS, MultiLabelMetrics, label_examples
from lstm_lab.tasks.soft_targets import binary_distance

MARKS = ";|,/"
"""Between the chosen labels of a prediction: the first that no label has."""

PosWeights = Annotated[tuple[Annotated[float, Field(gt=0.0, strict=False)], ...], Field(strict=False)]


class MultiLabel(Task[MultiLabelSplit], name="multi_label"):
    """Binary cross-entropy of each label, whose probabilities are independent of each other."""

    accepts = MultiLabelDataset
    data_hint = ", or set data.labels where a sample has several"
    maximised = frozenset(METRICS)
    soft_targets = "probabilities"
    has_loss_gradient = True

    class Config(Task.Config):
        monitor: Literal["mean_average_precision", "micro_f1", "macro_f1", "auroc", "subset_accuracy", "loss"] = (
            "mean_average_precision"
        )
        """Metric that compares epochs and trials: averaged over labels without a threshold, or of the labels that are
        chosen; `loss` is finer where the validation split is small."""
        threshold: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
        """Probability above which a label is chosen, for F1, subset accuracy and predictions."""
        pos_weight: Literal["none", "balanced"] | PosWeights = "none"
        """Weight of the samples with a label against those without it: none, 1; balanced, their ratio in the training
        split, so that both have the same weight; or a number for each label, in the order of their names."""

    def __init__(
        self,
        info: MultiLabelInfo,
        monitor: str,
        threshold: float = 0.5,
        pos_weight: str | tuple[float, ...] = "none",
    ) -> None:
        self.labels, self.output_size = info.labels, len(info.labels)
        self.monitor, self.threshold = monitor, threshold
        self.pos_weight: Tensor | None = None
        if isinstance(pos_weight, tuple):
            if len(pos_weight) != len(info.labels):
                raise ConfigError(f"task.pos_weight has {len(pos_weight)} numbers, but there are {len(info.labels)} "
                                  f"labels: {', '.join(info.labels[:12])}")  # fmt: skip
            self.pos_weight = torch.tensor(pos_weight)
        elif pos_weight == "balanced" and info.num_samples:
            n = torch.tensor(info.counts, dtype=torch.float32).clamp(min=1)
            self.pos_weight = (info.num_samples - n).clamp(min=1) / n

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        weight = None if self.pos_weight is None else self.pos_weight.to(logits)
        return F.binary_cross_entropy_with_logits(logits, batch.y, pos_weight=weight)

    def loss_gradient(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        y, p = batch.y, logits.sigmoid()
        if self.pos_weight is None:
            gradient = p - y
        else:
            weighted = self.pos_weight.to(logits) * y
            gradient = (weighted + 1 - y) * p - weighted
        return self.loss(logits, batch), gradient / y.numel()

    def distillation_loss(self, logits: Tensor, teacher: Tensor, batch: Batch, temperature: float) -> Tensor:
        return binary_distance(logits, teacher, temperature).mean()

    def metrics(self) -> MultiLabelMetrics:
        return MultiLabelMetrics(self.labels, self.threshold)

    @property
    def prediction_columns(self) -> tuple[str, ...]:
        return ("labels", *(f"probability {name}" for name in self.labels))

    @property
    def text_columns(self) -> tuple[str, ...]:
        return ("labels",)

    @property
    def mark(self) -> str:
        """Between the labels that are chosen."""
        return next((mark for mark in MARKS if not any(mark in name for name in self.labels)), MARKS[0])

    def mean_logits(self, samples: Tensor) -> Tensor:
        return mean_of_binary(samples)

    def predictions(self, logits: Tensor, batch: Batch | None = None) -> list[list[PredictionRow]]:
        """The labels that are chosen, joined by a mark, and the probability of each label."""
        rows = logits.double().sigmoid().tolist()
        chosen = (self.mark.join(name for name, p in zip(self.labels, row, strict=True) if p > self.threshold)
                  for row in rows)  # fmt: skip
        return [[[labels, *row]] for labels, row in zip(chosen, rows, strict=True)]

    def baselines(self, train: MultiLabelSplit, split: MultiLabelSplit) -> dict[str, dict[str, float]]:
        """The share of training samples that have each label, and the classifiers that the data offer."""
        from sklearn.base import clone

        y = train.targets.numpy()
        batch = Batch(torch.empty(0), torch.empty(0), split.targets)
        prior = np.tile(y.mean(0, dtype=np.float64), (len(split), 1))
        found = {"prior rate": prior}
        inputs, new_inputs = train.features(), split.features()
        for name, (features, classifier) in train.baselines().items():
            rows, new_rows = features.fit_transform(inputs), features.transform(new_inputs)
            found[name] = prior.copy()
            for k in np.flatnonzero(y.min(0) < y.max(0)):  # Others have the prior rate, 0 or 1.
                found[name][:, k] = clone(classifier).fit(rows, y[:, k]).predict_proba(new_rows)[:, 1]
        return {
            name: score(self.metrics(), torch.from_numpy(probabilities).clamp(1e-12, 1 - 1e-12).logit().float(), batch)
            for name, probabilities in found.items()
        }

    def examples(self, outputs: Outputs) -> Row:
        return label_examples(self.labels, self.threshold, outputs)
