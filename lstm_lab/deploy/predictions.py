"""From the logits of a model to predictions: probabilities, or values in the units of the data."""

from __future__ import annotations

from functools import singledispatch

import torch
from torch import Tensor

from lstm_lab.config import ConfigError
from lstm_lab.data.base import Batch
from lstm_lab.tasks.base import Task
from lstm_lab.tasks.classify import Classify
from lstm_lab.tasks.forecast import Forecast
from lstm_lab.tasks.forecasting.scale import Scale
from lstm_lab.tasks.multi_label import MultiLabel
from lstm_lab.tasks.next_step import NextStep, Tokens
from lstm_lab.tasks.regress import Regress
from lstm_lab.tasks.tag import Tag


@singledispatch
def answer(task: Task, logits: Tensor) -> Tensor:
    """Predictions for rows of logits (N, output_size).

    Raises:
        ConfigError: the task has no such form.
    """
    raise ConfigError(f"export: task '{task.name}' is not written as ONNX: use --to folder")


@answer.register
def _(task: Classify, logits: Tensor) -> Tensor:
    return (task.cross_entropy.class_logits(logits) / task.temperature).softmax(-1)


@answer.register
def _(task: Tag, logits: Tensor) -> Tensor:
    return task.cross_entropy.class_logits(logits).softmax(-1)


@answer.register
def _(task: MultiLabel, logits: Tensor) -> Tensor:
    return logits.sigmoid()


@answer.register
def _(task: NextStep, logits: Tensor) -> Tensor:
    return logits.softmax(-1) if task.form is Tokens else logits.sigmoid()


@answer.register
def _(task: Regress, logits: Tensor) -> Tensor:
    return logits if task.scale is None else logits.double() * task.scale[1] + task.scale[0]


def forecast(task: Forecast, logits: Tensor, x: Tensor, scale: Scale) -> Tensor:
    """(B, horizon, K * numbers) as `prediction_columns` names them, in the units of the data.

    Args:
        logits: of the model.
        x: (B, T, I) as the data are standardised.
        scale: (B or 1, 1, K)
    """
    found = task.postprocess(logits, Batch(x, torch.empty(0), torch.empty(0)))
    return task.values(found, scale).flatten(2)


@singledispatch
def names(task: Task) -> list[str]:
    """Of the predictions in each row of `answer` and `forecast`."""
    return [name for name in task.prediction_columns if name not in task.text_columns]


@names.register
def _(task: NextStep) -> list[str]:
    return list(task.names)
