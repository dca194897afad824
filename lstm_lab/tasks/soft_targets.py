"""How far a model's predictions are from those of another one, as terms of a loss (distillation, Hinton et al. 2015).

A temperature T divides the logits of both; its square multiplies the result, so that gradients keep their size.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

SoftTargets = Literal["probabilities", "values"]
"""What one model of a task can teach another: probabilities, which a temperature softens; or the values that it
predicts."""


def class_distance(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || model) of probabilities over the last dimension, in nats: (..., K), (..., K) -> (...).

    Args:
        teacher: logits that are divided by the temperature already.
    """
    log_p, log_q = teacher.log_softmax(-1), (logits / temperature).log_softmax(-1)
    return temperature**2 * (log_p.exp() * (log_p - log_q)).sum(-1)


def binary_distance(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || model) of probabilities that are each a sigmoid, in nats: (...), (...) -> (...).

    Args:
        teacher: logits that are divided by the temperature already.
    """
    z, p = logits / temperature, teacher.sigmoid()
    on = p * (F.logsigmoid(teacher) - F.logsigmoid(z))
    return temperature**2 * (on + (1 - p) * (F.logsigmoid(-teacher) - F.logsigmoid(-z)))
