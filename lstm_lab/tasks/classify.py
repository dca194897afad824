"""One label for a whole sequence."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from lstm_lab.data.base import Batch
from lstm_lab.data.labelled import Labelled, LabelledFacts, LabelledSplit
from lstm_lab.tasks.base import Task, score


class ClassificationMetrics(MetricCollection):
    """Accuracy over all answers, and F1 averaged over classes; y is -1 where nothing is asked."""

    def __init__(self, classes: int) -> None:
        super().__init__(
            {
                "accuracy": MulticlassAccuracy(classes, average="micro", ignore_index=-1, validate_args=False),
                "macro_f1": MulticlassF1Score(classes, average="macro", ignore_index=-1, validate_args=False),
            }
        )

    def update(self, output: Tensor, batch: Batch) -> None:  # type: ignore[override]
        super().update(output.flatten(0, -2), batch.y.flatten())


class Classify(Task, name="classify"):
    """Cross-entropy over classes."""

    accepts = Labelled
    maximised = frozenset({"accuracy", "macro_f1"})

    class Config(Task.Config):
        decides: Literal["accuracy", "macro_f1", "loss"] = "accuracy"
        """Metric that compares epochs and trials; `loss` is finer where the validation part is small."""

    Facts: ClassVar = LabelledFacts

    def __init__(self, facts: LabelledFacts, decides: str) -> None:
        self.classes, self.output_size, self.decides = facts.classes, len(facts.classes), decides

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(output, batch.y)

    def metrics(self) -> ClassificationMetrics:
        return ClassificationMetrics(self.output_size)

    def answers(self, output: Tensor) -> list[Any]:
        return [self.classes[i] for i in output.argmax(1).tolist()]

    def baselines(self, train: LabelledSplit, split: LabelledSplit) -> dict[str, dict[str, float]]:
        """Largest class; nearest centroid and logistic regression over each sequence's mean, deviation, first, last."""
        from sklearn.dummy import DummyClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.neighbors import NearestCentroid
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        seen, asked = train.take(torch.arange(len(train))), split.take(torch.arange(len(split)))
        models = {
            "majority class": DummyClassifier(strategy="most_frequent"),
            "nearest centroid": make_pipeline(StandardScaler(), NearestCentroid()),
            "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        }
        scores = {}
        for name, model in models.items():
            model.fit(summary(seen), seen.y.numpy())
            predicted = F.one_hot(torch.from_numpy(model.predict(summary(asked))), self.output_size).float()
            scores[name] = score(self.metrics(), predicted, asked)
        return scores


def summary(batch: Batch) -> Any:
    """Mean, deviation, first and last valid step of each channel: (B, 4 I)."""
    steps = batch.lengths.unsqueeze(1).float()
    valid = (torch.arange(batch.x.shape[1]) < batch.lengths.unsqueeze(1)).unsqueeze(-1)
    x = batch.x.masked_fill(~valid, 0.0)
    mean = x.sum(1) / steps
    deviation = (((x - mean.unsqueeze(1)).masked_fill(~valid, 0.0) ** 2).sum(1) / steps).sqrt()
    last = x[torch.arange(len(x)), batch.lengths - 1]
    return torch.cat([mean, deviation, x[:, 0], last], 1).numpy()
