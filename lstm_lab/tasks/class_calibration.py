"""Calibration of predicted classes on held-out targets: temperature scaling, and sets of classes.

Temperature scaling (Guo et al. 2017) divides the logits by one number T that makes the targets most likely: the most
likely class stays the same, its probability becomes what it is right in. Sets of classes (split conformal prediction;
Sadinle, Lei & Wasserman 2019) hold every class whose probability is at least a threshold: with n targets, 1 minus the
ceil((n + 1) coverage)-th smallest of 1 - p(target). Of samples that are exchangeable with them, at least that share of
sets holds the target.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

BINS = 15
"""Of confidence, for the calibration error."""
COVERAGE = 0.9
"""Share of sets that hold the target."""
LOW, HIGH = math.log(0.05), math.log(20.0)
"""Bounds of log T."""


class ClassCalibration(BaseModel):
    """What run.json holds of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    temperature: float
    threshold: float | None


def fit_temperature(logits: Tensor, y: Tensor) -> float:
    """T that minimises the cross-entropy of logits (N, K) / T; 1 without targets.

    Targets are smoothed by 1 / (N + 2), as Platt (1999) does: N correct predictions do not show that none is wrong.

    Args:
        y: (N,) classes, below 0 where there is no target.
    """
    from scipy.optimize import minimize_scalar

    logits, y = with_target(logits.double(), y)
    if not len(y):
        return 1.0
    smoothing = 1 / (len(y) + 2)
    found = minimize_scalar(
        lambda log: float(F.cross_entropy(logits / math.exp(log), y, label_smoothing=smoothing)),
        bounds=(LOW, HIGH),
        method="bounded",
    )
    return math.exp(float(found.x))


def calibration_error(logits: Tensor, y: Tensor) -> float:
    """Expected calibration error, over 15 bins of confidence: logits (N, K), y (N,)."""
    logits, y = with_target(logits, y)
    return float(multiclass_calibration_error(logits.float().softmax(-1), y, logits.shape[-1], n_bins=BINS))


def fit_threshold(logits: Tensor, y: Tensor, coverage: float = COVERAGE) -> float:
    """Least probability of a class in a set, so that at least this share of sets holds the target."""
    logits, y = with_target(logits.double(), y)
    scores = 1 - logits.softmax(-1).gather(1, y.unsqueeze(1)).squeeze(1)
    rank = math.ceil((len(scores) + 1) * coverage - 1e-9)
    return 1 - float(scores.sort().values[rank - 1]) if 0 < rank <= len(scores) else 0.0


def in_sets(logits: Tensor, threshold: float) -> Tensor:
    """Which classes are in each set: (..., K) -> (..., K) bool. The most likely one always is."""
    p = logits.double().softmax(-1)
    # Rounding must not leave out the class that the threshold was taken from.
    return (p >= threshold - 1e-12) | (p == p.max(-1, keepdim=True).values)


def set_texts(logits: Tensor, threshold: float, classes: Sequence[str]) -> list[str]:
    """The classes of each set, the most likely first: (N, K) -> N texts."""
    inside, order = in_sets(logits, threshold), logits.argsort(-1, descending=True)
    return [" | ".join(classes[k] for k in row if inside[n, k]) for n, row in enumerate(order.tolist())]


def with_target(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (N, K) and classes (N,) of the targets that there are, from (..., K) and (...)."""
    y = y.flatten()
    known = y >= 0
    return logits.flatten(0, -2)[known], y[known]
