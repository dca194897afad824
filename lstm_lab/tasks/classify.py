"""One class for a whole sequence."""

from __future__ import annotations

import warnings
from typing import Literal

import torch
from torch import Tensor

from lstm_lab.data.base import Batch, PredictionRow
from lstm_lab.data.kinds.labelled import ClassificationDataset, ClassificationSplit, ClassInfo
from lstm_lab.files import Row
from lstm_lab.tasks.base import Outputs, Task, score
from lstm_lab.tasks.classification import (
    MAXIMISED,
    ClassConfig,
    ClassificationMetrics,
    CrossEntropy,
    LossName,
    class_columns,
    class_probabilities,
    class_rows,
    mean_of_classes,
)
from lstm_lab.tasks.classification_examples import class_examples


class Classify(Task[ClassificationSplit], name="classify"):
    """Cross-entropy over classes."""

    accepts = ClassificationDataset
    maximised = MAXIMISED
    predicts_classes = True

    class Config(ClassConfig):
        monitor: Literal["accuracy", "macro_f1", "auroc", "ece", "loss"] = "accuracy"
        """Metric that compares epochs and trials; `loss` is finer where the validation split is small."""

    def __init__(
        self,
        info: ClassInfo,
        monitor: str,
        class_weights: str | tuple[float, ...] = "none",
        label_smoothing: float = 0.0,
        loss: LossName = "cross_entropy",
        gamma: float = 2.0,
    ) -> None:
        self.cross_entropy = CrossEntropy(info, class_weights, label_smoothing, loss, gamma)
        self.classes, self.output_size, self.monitor = info.classes, self.cross_entropy.num_logits, monitor

    def postprocess(self, logits: Tensor, batch: Batch) -> Tensor:
        """A logit for each class, where the model predicts one for two."""
        return self.cross_entropy.class_logits(logits)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        return self.cross_entropy(logits, batch.y).mean()

    def metrics(self) -> ClassificationMetrics:
        return ClassificationMetrics(self.classes)

    def mean_logits(self, samples: Tensor) -> Tensor:
        return mean_of_classes(samples)

    @property
    def prediction_columns(self) -> tuple[str, ...]:
        return class_columns(self.classes)

    def predictions(self, logits: Tensor, batch: Batch | None = None) -> list[list[PredictionRow]]:
        return [[row] for row in class_rows(self.classes, logits)]

    def baselines(self, train: ClassificationSplit, split: ClassificationSplit) -> dict[str, dict[str, float]]:
        """The largest class, and the classifiers that the data offer, over the features of each sequence."""
        from sklearn.dummy import DummyClassifier

        inputs, test_inputs = train.features(), split.features()
        batch = Batch(torch.empty(0), torch.empty(0), split.labels)
        scores = {}
        for name, model in {"majority class": DummyClassifier(strategy="most_frequent"), **train.baselines()}.items():
            with warnings.catch_warnings():
                # A feature that is constant within each class, as of a mask without missing values, says nothing wrong.
                warnings.filterwarnings("ignore", "self.within_class_std_dev_", UserWarning)
                model.fit(inputs, train.labels.numpy())
            log_probabilities = class_probabilities(model, test_inputs, len(self.classes)).log()
            scores[name] = score(self.metrics(), log_probabilities, batch)
        return scores

    def examples(self, outputs: Outputs) -> Row:
        return class_examples(self.classes, outputs)
