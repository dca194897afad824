"""One label for a whole sequence."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from lstm_lab.data.base import Batch
from lstm_lab.data.kinds.labelled import ClassificationDataset, LabelledInfo
from lstm_lab.tasks.base import Task, score
from lstm_lab.tasks.classification import (
    MAXIMISED,
    ClassConfig,
    ClassificationMetrics,
    CrossEntropy,
    log_probabilities,
    probabilities,
)


class Classify(Task, name="classify"):
    """Cross-entropy over classes."""

    accepts = ClassificationDataset
    maximised = MAXIMISED

    class Config(ClassConfig):
        monitor: Literal["accuracy", "macro_f1", "auroc", "calibration", "loss"] = "accuracy"
        """Metric that compares epochs and trials; `loss` is finer where the validation part is small."""

    Info: ClassVar = LabelledInfo

    def __init__(
        self,
        info: LabelledInfo,
        monitor: str,
        class_weights: str | tuple[float, ...] = "none",
        label_smoothing: float = 0.0,
    ) -> None:
        self.classes, self.output_size, self.monitor = info.classes, len(info.classes), monitor
        self.cross_entropy = CrossEntropy(info, class_weights, label_smoothing)

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return self.cross_entropy(output, batch.y).mean()

    def metrics(self) -> ClassificationMetrics:
        return ClassificationMetrics(self.classes)

    def predictions(self, output: Tensor, batch: Any = None) -> list[Any]:
        return [self.classes[i] for i in output.argmax(1).tolist()]

    def baselines(self, train: Any, split: Any) -> dict[str, dict[str, float]]:
        """The largest class, and what the data's own rivals learn from the features of each sequence."""
        from sklearn.dummy import DummyClassifier

        seen, asked = train.features(), split.features()
        batch = Batch(torch.empty(0), torch.empty(0), split.labels)
        scores = {}
        for name, model in {"majority class": DummyClassifier(strategy="most_frequent"), **train.baselines()}.items():
            model.fit(seen, train.labels.numpy())
            scores[name] = score(
                self.metrics(), log_probabilities(probabilities(model, asked, self.output_size)), batch
            )
        return scores
