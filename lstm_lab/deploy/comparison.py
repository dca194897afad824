"""An exported model beside the run that it was made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from lstm_lab.data.base import Batch, DataInfo
from lstm_lab.data.kinds.series import SeriesInfo
from lstm_lab.deploy.predictions import answer, forecast
from lstm_lab.tasks.forecast import Forecast
from lstm_lab.tasks.forecasting.scale import Scale
from lstm_lab.training.learner import Learner

TOLERANCE = 1e-5
"""Largest difference from torch, relative to values above 1."""


class Compared(NamedTuple):
    """How far an exported model is from its run."""

    difference: float
    """The largest, of logits and predictions; relative to values above 1."""
    batches: int
    max_batch: int
    max_length: int


def expected(learner: Learner, info: DataInfo, x: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    """Logits and predictions of torch.

    Args:
        x: as the model in torch reads it.
    """
    task, given = learner.task, torch.from_numpy(x)
    with torch.inference_mode():
        if isinstance(task, Forecast):
            assert isinstance(info, SeriesInfo)
            batch = Batch(given, torch.from_numpy(lengths), torch.empty(0))
            logits = learner.model(*task.model_inputs(batch)).logits
            mean, std = (torch.tensor(part[: len(info.targets)], dtype=torch.float64).view(1, 1, -1)
                         for part in (info.mean, info.std))  # fmt: skip
            return [logits.numpy(), forecast(task, logits, given, Scale(mean, std)).numpy()]
        logits = learner.model(given, torch.from_numpy(lengths)).logits
        return [logits.numpy(), answer(task, logits.flatten(0, -2)).unflatten(0, logits.shape[:-1]).numpy()]


def difference(found: Sequence[np.ndarray], wanted: Sequence[np.ndarray], lengths: np.ndarray, per_step: bool) -> float:
    """The largest difference of outputs from those of torch, relative to values above 1; infinite where one has a
    value that is not finite, or another shape.

    Args:
        found, wanted: logits and predictions.
        lengths: (B,) steps of each sequence; padding behind them is not compared.
        per_step: whether outputs are (B, T, ...).
    """
    worst = 0.0
    for got, right in zip(found, wanted, strict=True):
        if got.shape != right.shape:
            return math.inf
        valid = np.arange(got.shape[1]) < lengths[:, None] if per_step else np.full(len(got), True)
        if not np.isfinite(got[valid]).all():
            return math.inf
        relative = np.abs(got[valid] - right[valid]) / np.maximum(np.abs(right[valid]), 1)
        worst = max(worst, float(relative.max(initial=0.0)))
    return worst
