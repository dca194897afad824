"""Elastic weight consolidation: weights that earlier stages rest on stay near their values."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pytorch_lightning as pl
import torch
from pydantic import Field
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from lstm_lab.config import Count
from lstm_lab.config.registry import Named
from lstm_lab.continual.base import Method, Stage
from lstm_lab.training.learner import Learner


class EWC(Method, name="ewc"):
    """alpha / 2 sum_s F_s (w - a_s)^2 is added to the loss, over the stages before (Kirkpatrick et al. 2017).

    a_s are the weights after stage s, and F_s is the diagonal of its empirical Fisher information: the mean over
    samples of the squared gradient of the loss of one. It is kept as sum F_s and sum F_s a_s, whose gradient is the
    same.
    """

    class Config(Named):
        alpha: Annotated[float, Field(gt=0.0)] = 1000.0
        """Weight of the penalty."""
        samples: Count = 200
        """Training samples of a stage that its Fisher information is computed of."""

    def __init__(self, alpha: float, samples: int) -> None:
        self.alpha, self.samples = alpha, samples
        self.fisher: dict[str, Tensor] = {}
        self.pull: dict[str, Tensor] = {}
        """Name of a parameter -> sum F_s a_s."""

    def callbacks(self) -> list[Callback]:
        return [_Penalty(self)] if self.fisher else []

    def remember(self, stage: Stage, learner: Learner) -> None:
        found = fisher_of(learner, stage, self.samples)
        for name, weight in learner.model.named_parameters():
            a, F = weight.detach().clone(), found[name]
            self.fisher[name] = self.fisher.get(name, torch.zeros_like(F)) + F
            self.pull[name] = self.pull.get(name, torch.zeros_like(F)) + F * a

    def gradient(self, name: str, weight: Tensor) -> Tensor:
        """Of the penalty in a parameter."""
        F, pull = self.fisher[name].to(weight.device), self.pull[name].to(weight.device)
        return self.alpha * (F * weight - pull)


class _Penalty(Callback):
    """Adds the gradient of the penalty to that of the loss, before it is clipped."""

    def __init__(self, method: EWC) -> None:
        self.method = method

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        assert isinstance(pl_module, Learner)
        with torch.no_grad():
            for name, weight in pl_module.model.named_parameters():
                if weight.grad is not None:
                    weight.grad += self.method.gradient(name, weight)


def fisher_of(learner: Learner, stage: Stage, samples: int) -> dict[str, Tensor]:
    """Name of a parameter -> mean of the squared gradient of the loss of one sample, over some of a stage."""
    split, model = stage.dataset.train, learner.model
    found = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
    index = torch.from_numpy(np.unique(np.linspace(0, len(split) - 1, min(samples, len(split))).astype(np.int64)))
    for one in index.split(1):
        batch = split.take(one)
        model.zero_grad(set_to_none=True)
        learner.task.loss(learner(batch).logits, batch).backward()
        for name, weight in model.named_parameters():
            if weight.grad is not None:
                found[name] += weight.grad.square() / len(index)
    model.zero_grad(set_to_none=True)
    return found
