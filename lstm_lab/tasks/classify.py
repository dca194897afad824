"""One label for a whole sequence."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from lstm_lab.data.base import Batch
from lstm_lab.data.labelled import Classified, LabelledFacts
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

    accepts = Classified
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

    def answers(self, output: Tensor, batch: Any = None) -> list[Any]:
        return [self.classes[i] for i in output.argmax(1).tolist()]

    def baselines(self, train: Any, split: Any) -> dict[str, dict[str, float]]:
        """The largest class, and what the data's own rivals learn from the features of each sequence."""
        from sklearn.dummy import DummyClassifier

        seen, asked = train.features(), split.features()
        batch = Batch(torch.empty(0), torch.empty(0), split.labels)
        scores = {}
        for name, model in {"majority class": DummyClassifier(strategy="most_frequent"), **train.rivals()}.items():
            model.fit(seen, train.labels.numpy())
            predicted = F.one_hot(torch.from_numpy(model.predict(asked)), self.output_size).float()
            scores[name] = score(self.metrics(), predicted, batch)
        return scores
