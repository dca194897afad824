"""What `classify` and `tag` share: the loss over classes, and its metrics."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassAUROC,
    MulticlassCalibrationError,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
)

from lstm_lab.config import ConfigError
from lstm_lab.data.base import Batch, PredictionRow
from lstm_lab.data.kinds.labelled import ClassInfo
from lstm_lab.tasks.base import Task, TaskMetrics
from lstm_lab.tasks.class_calibration import BINS, COVERAGE, in_sets

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

MAXIMISED = frozenset({"accuracy", "macro_f1", "auroc"})

LossName = Literal["cross_entropy", "binary_cross_entropy", "focal"]
ClassWeights = Annotated[tuple[Annotated[float, Field(gt=0.0, strict=False)], ...], Field(strict=False)]


class ClassConfig(Task.Config):
    """Fields of every task whose targets are classes."""

    class_weights: Literal["none", "balanced"] | ClassWeights = "none"
    """Weight of each class in the loss: none, all the same; balanced, N / (K n_c), so that each class has the same
    weight in training; or a number for each class, in the order of their names."""
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of the target spread evenly over all classes (Szegedy et al. 2016)."""
    loss: LossName = "cross_entropy"
    """Of a target: cross-entropy over the classes; binary cross-entropy of two classes with one logit, as behind
    Dense(1, sigmoid); or focal, (1 - p)^gamma times the cross-entropy, p the probability of the right class (Lin et al.
    2017)."""
    gamma: Annotated[float, Field(gt=0.0, le=100.0)] = 2.0
    """Of the focal loss: how little a target counts that is predicted well."""

    @model_validator(mode="after")
    def _check_fields_of_the_loss(self) -> ClassConfig:
        if self.loss != "focal" and self.gamma != 2.0:
            raise ValueError(
                f"gamma={self.gamma:g} would do nothing: loss is {self.loss}; leave it out, or choose focal"
            )
        if self.loss == "focal" and self.label_smoothing:
            raise ValueError(
                f"label_smoothing={self.label_smoothing:g}: the focal loss is of one right class; leave one of them out"
            )
        return self


class CrossEntropy:
    """Cross-entropy of each target, weighted by its class: logits (N, K), y (N,) -> (N,); 0 where y is -1.

    Not divided by the weights of a batch, so that the mean over many targets is the same in batches of any size.

    Args:
        loss: `focal` is (1 - p)^gamma times it; `binary_cross_entropy` the same of one logit.

    Raises:
        ConfigError: not one weight for each class, or one logit for more than two classes.
    """

    def __init__(
        self, info: ClassInfo, class_weights: str | tuple[float, ...], label_smoothing: float,
        loss: LossName = "cross_entropy", gamma: float = 2.0,
    ) -> None:  # fmt: skip
        self.label_smoothing = label_smoothing
        self.gamma = gamma if loss == "focal" else None
        self.weights: Tensor | None = None
        K, counts = len(info.classes), info.counts
        self.binary = loss == "binary_cross_entropy"
        self.num_logits = 1 if self.binary else K
        """That a model predicts for a target."""
        if self.binary and K != 2:
            raise ConfigError(f"task.loss: binary_cross_entropy is for two classes, and there are {K}: choose another")
        if isinstance(class_weights, tuple):
            if len(class_weights) != K:
                raise ConfigError(f"task.class_weights has {len(class_weights)} numbers, but there are {K} classes: "
                                  f"{', '.join(info.classes[:12])}")  # fmt: skip
            self.weights = torch.tensor(class_weights)
        elif class_weights == "balanced" and counts:  # A run that only predicts may not know the counts.
            n = torch.tensor(counts, dtype=torch.float32)
            self.weights = n.sum() / (K * n.clamp(min=1))

    def class_logits(self, logits: Tensor) -> Tensor:
        """(..., num_logits) to (..., K): one logit z becomes (0, z), whose softmax is (1 - sigmoid(z), sigmoid(z))."""
        return torch.cat([torch.zeros_like(logits), logits], -1) if self.binary else logits

    def __call__(self, logits: Tensor, y: Tensor) -> Tensor:
        weights = None if self.weights is None else self.weights.to(logits)
        smoothing = self.label_smoothing
        loss = F.cross_entropy(logits, y, weights, ignore_index=-1, reduction="none", label_smoothing=smoothing)
        if self.gamma is None:
            return loss
        p = logits.softmax(-1).gather(-1, y.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        # Rounding may leave p above 1, and at p = 1 the derivative of a power below 1 is infinite.
        return (1 - p).clamp(min=torch.finfo(p.dtype).tiny) ** self.gamma * loss

    @property
    def has_gradient(self) -> bool:
        """Whether `with_gradient` is known: for all but the focal loss."""
        return self.gamma is None

    def with_gradient(self, logits: Tensor, y: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        """The losses (N,), and the gradient (N, K) in the logits, by the operations that autograd calls.

        Args:
            d: (N,) gradient of each loss.
        """
        weights = None if self.weights is None else self.weights.to(logits)
        s, aten = self.label_smoothing, torch.ops.aten
        p = logits.log_softmax(1)
        losses, total = aten.nll_loss_forward.default(p, y, weights, 0, -1)
        if s == 0:
            dp = aten.nll_loss_backward.default(d, p, y, weights, 0, -1, total)
        else:
            part, has_target = s / p.shape[1], y != -1
            spread = -(p if weights is None else p * weights).sum(1) * has_target
            losses = (1 - s) * losses + spread * part
            each = -(d * part * has_target).unsqueeze(1)
            dp = aten.nll_loss_backward.default(d * (1 - s), p, y, weights, 0, -1, total)
            dp = dp + (each if weights is None else each * weights)
        return losses, aten._log_softmax_backward_data.default(dp, p, 1, logits.dtype)

    def logit_gradient(self, gradient: Tensor) -> Tensor:
        """The gradient in what the model predicts, of that in `class_logits`."""
        return gradient[..., 1:].contiguous() if self.binary else gradient


def class_columns(classes: Sequence[str]) -> tuple[str, ...]:
    """Names of the values in a row of `class_rows`."""
    return ("label", *(f"probability {name}" for name in classes))


def class_rows(classes: Sequence[str], logits: Tensor) -> list[PredictionRow]:
    """The most likely class, and the probability of each: logits (N, K) -> N rows."""
    probabilities, best = logits.double().softmax(-1).tolist(), logits.argmax(-1).tolist()
    return [[classes[i], *row] for i, row in zip(best, probabilities, strict=True)]


def mean_of_classes(samples: Tensor) -> Tensor:
    """Logarithms of the mean probabilities of several logits: (S, ..., K) -> (..., K)."""
    return samples.log_softmax(-1).logsumexp(0) - math.log(len(samples))


def mean_of_binary(samples: Tensor) -> Tensor:
    """Logits of the mean of several probabilities, each a sigmoid of its own: (S, ...) -> (...)."""
    return F.logsigmoid(samples).logsumexp(0) - F.logsigmoid(-samples).logsumexp(0)


class ClassificationMetrics(MetricCollection, TaskMetrics):
    """Over all targets, y = -1 being none:

    `accuracy`; `macro_f1`, averaged over classes; `auroc`, of each class against the others, averaged over those that
    occur; `ece`, the expected calibration error (Naeini et al. 2015): the distance of confidence from accuracy,
    over 15 bins of confidence. `details` has the confusion matrix.

    Args:
        threshold: least probability of a class in a set, whose coverage `notes` then says; None: there are no sets.
    """

    def __init__(self, classes: Sequence[str], threshold: float | None = None) -> None:
        K: Any = len(classes)
        super().__init__(
            {
                "accuracy": MulticlassAccuracy(K, average="micro", validate_args=False),
                "macro_f1": MulticlassF1Score(K, average="macro", validate_args=False),
                "auroc": MulticlassAUROC(K, average="none", validate_args=False),
                "ece": MulticlassCalibrationError(K, n_bins=BINS, validate_args=False),
                "confusion": MulticlassConfusionMatrix(K, validate_args=False),
            }
        )
        self.classes, self.threshold = tuple(classes), threshold
        self.num_targets = self.num_inside = self.num_listed = 0

    def update(self, logits: Tensor, batch: Batch) -> None:  # type: ignore[override]
        """Add logits (B, ..., K) of a batch whose y (B, ...) is below 0 where there is no target."""
        logits, y = logits.flatten(0, -2), batch.y.flatten()
        mask = y >= 0
        if mask.any():
            super().update(logits[mask].float().softmax(-1), y[mask])
        if self.threshold is not None and mask.any():
            inside = in_sets(logits[mask], self.threshold)
            self.num_targets += int(mask.sum())
            self.num_inside += int(inside.gather(1, y[mask].unsqueeze(1)).sum())
            self.num_listed += int(inside.sum())

    def compute(self) -> dict[str, Any]:
        """Metric -> its value; auroc is the mean over the classes that occur."""
        with warnings.catch_warnings():
            # Of a class that does not occur; it is left out below.
            warnings.filterwarnings("ignore", message="No (positive|negative) samples in targets")
            warnings.filterwarnings("ignore", message=".*one or more classes was `nan`")
            found = super().compute()
        true = found.pop("confusion").sum(1)
        occurs = (true > 0) & (true < true.sum())
        return {**found, "auroc": found["auroc"][occurs].mean()}

    def details(self) -> dict[str, object]:
        """The confusion matrix: rows are true classes, columns predicted ones."""
        return {"confusion": {"classes": list(self.classes), "counts": self._confusion.tolist()}}

    def notes(self) -> list[str]:
        """Classes that a metric leaves out, and the coverage of the sets of classes."""
        count, absent = len(self.classes), int((self._confusion.sum(1) == 0).sum())
        if absent == count - 1:
            found = ["auroc is not defined: one class alone occurs in this split"]
        elif absent:
            found = [f"auroc leaves out {absent} of {count} classes, which do not occur in this split"]
        else:
            found = []
        if self.num_targets:
            share, size = self.num_inside / self.num_targets, self.num_listed / self.num_targets
            found.append(
                f"{100 * share:.1f} % of the sets of classes hold the target (nominal: {100 * COVERAGE:.0f} %), with "
                f"{size:.2f} classes on average"
            )
        return found

    @property
    def _confusion(self) -> Tensor:
        found: Any = self["confusion"]
        counts: Tensor = found.compute()
        return counts


def class_probabilities(model: ClassifierMixin, inputs: np.ndarray | list[str], K: int) -> Tensor:
    """(N, K) of a fitted scikit-learn classifier; of one without probabilities, 1 for the predicted class."""
    found = np.zeros((len(inputs), K), np.float32)
    try:
        found[:, model.classes_] = model.predict_proba(inputs)
    except AttributeError:
        found[np.arange(len(inputs)), model.predict(inputs)] = 1.0
    return torch.from_numpy(found)
