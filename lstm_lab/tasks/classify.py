"""One class for a whole sequence."""

from __future__ import annotations

import warnings
from typing import Literal

import torch
from torch import Tensor

from lstm_lab.data.base import Batch, PredictionRow
from lstm_lab.data.kinds.labelled import ClassificationDataset, ClassificationSplit, ClassInfo
from lstm_lab.records.files import Row
from lstm_lab.tasks.base import Outputs, Task, score
from lstm_lab.tasks.class_calibration import COVERAGE, ClassCalibration, fit_temperature, fit_threshold, set_texts
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
from lstm_lab.tasks.soft_targets import class_distance


class Classify(Task[ClassificationSplit], name="classify"):
    """Cross-entropy over classes."""

    accepts = ClassificationDataset
    maximised = MAXIMISED
    predicts_classes = True
    soft_targets = "probabilities"

    class Config(ClassConfig):
        monitor: Literal["accuracy", "macro_f1", "auroc", "ece", "loss"] = "accuracy"
        """Metric that compares epochs and trials; `loss` is finer where the validation split is small."""
        temperature_scaling: bool = False
        """Divide the logits by a temperature that is fitted on the validation split (Guo et al. 2017). For test scores
        and predictions."""
        conformal: bool = False
        """Give each prediction the set of classes that holds the right one with 90 %, calibrated on the validation
        split (Sadinle et al. 2019). For test scores and predictions."""

    def __init__(
        self,
        info: ClassInfo,
        monitor: str,
        class_weights: str | tuple[float, ...] = "none",
        label_smoothing: float = 0.0,
        loss: LossName = "cross_entropy",
        gamma: float = 2.0,
        temperature_scaling: bool = False,
        conformal: bool = False,
    ) -> None:
        self.cross_entropy = CrossEntropy(info, class_weights, label_smoothing, loss, gamma)
        self.classes, self.output_size, self.monitor = info.classes, self.cross_entropy.num_logits, monitor
        self.temperature_scaling, self.conformal = temperature_scaling, conformal
        self.has_loss_gradient = self.cross_entropy.has_gradient
        self.temperature: float = 1.0
        """That logits are divided by, once they are calibrated; never in training."""
        self.threshold: float | None = None
        """Least probability of a class in a set; None where no sets are predicted."""

    def postprocess(self, logits: Tensor, batch: Batch) -> Tensor:
        """A logit for each class, where the model predicts one for two, divided by the temperature."""
        return self.calibrated(self.cross_entropy.class_logits(logits))

    def calibrated(self, logits: Tensor) -> Tensor:
        """Divided by the temperature."""
        return logits if self.temperature == 1.0 else logits / self.temperature

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        return self.cross_entropy(logits, batch.y).mean()

    def loss_gradient(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        if not self.has_loss_gradient:
            return super().loss_gradient(logits, batch)
        d = logits.new_full((), 1 / len(logits)).expand(len(logits))
        losses, gradient = self.cross_entropy.with_gradient(self.postprocess(logits, batch), batch.y, d)
        return losses.mean(), self.cross_entropy.logit_gradient(gradient)

    def distillation_loss(self, logits: Tensor, teacher: Tensor, batch: Batch, temperature: float) -> Tensor:
        return class_distance(logits, teacher, temperature).mean()

    def metrics(self) -> ClassificationMetrics:
        return ClassificationMetrics(self.classes, self.threshold)

    def calibrate(self, outputs: Outputs) -> object:
        if not (self.temperature_scaling or self.conformal):
            return None
        pairs = [(logits, batch.y) for logits, batch in outputs]
        logits, y = torch.cat([each for each, _ in pairs]), torch.cat([each for _, each in pairs])
        temperature = fit_temperature(logits, y) if self.temperature_scaling else 1.0
        threshold = fit_threshold(logits / temperature, y) if self.conformal else None
        return {"temperature": temperature, "threshold": threshold}

    def load_calibration(self, calibration: object) -> None:
        known = ClassCalibration.model_validate(calibration)
        self.temperature, self.threshold = known.temperature, known.threshold

    def mean_logits(self, samples: Tensor) -> Tensor:
        return mean_of_classes(samples)

    @property
    def prediction_columns(self) -> tuple[str, ...]:
        return (*class_columns(self.classes), *self._set_columns)

    @property
    def text_columns(self) -> tuple[str, ...]:
        return (*super().text_columns, *self._set_columns)

    @property
    def _set_columns(self) -> tuple[str, ...]:
        return () if self.threshold is None else (f"set {COVERAGE:.0%}",)

    def predictions(self, logits: Tensor, batch: Batch | None = None) -> list[list[PredictionRow]]:
        rows = class_rows(self.classes, logits)
        if self.threshold is not None:
            rows = [
                [*row, text] for row, text in zip(rows, set_texts(logits, self.threshold, self.classes), strict=True)
            ]
        return [[row] for row in rows]

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
            scores[name] = score(ClassificationMetrics(self.classes), log_probabilities, batch)
        return scores

    def examples(self, outputs: Outputs) -> Row:
        return class_examples(self.classes, outputs)
