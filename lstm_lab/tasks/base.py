"""The contract of a task: size of the head, loss, metrics, and which metric decides in which direction."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from lstm_lab.data.base import Batch, Dataset
from lstm_lab.registry import Registered


class Task(Registered, kind="task"):
    """Built from the facts of a data set and a person's choices.

    Every member's `Config` has a field `decides`: the metric by which epochs, trials and seeds are compared.
    """

    accepts: ClassVar[type[Dataset]]
    """Kind of data set that it can be asked of."""
    maximised: ClassVar[frozenset[str]] = frozenset()
    """Metrics of which more is better; of all others, less."""

    output_size: int
    """Numbers that the model's head gives for one sequence."""
    decides: str

    @classmethod
    def mode_of(cls, metric: str) -> Literal["min", "max"]:
        return "max" if metric in cls.maximised else "min"

    @property
    def mode(self) -> Literal["min", "max"]:
        return self.mode_of(self.decides)

    @abstractmethod
    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        """Mean loss over the batch, a scalar; `output` is (B, output_size)."""

    @abstractmethod
    def metrics(self) -> nn.Module:
        """A fresh metric of `update(output, batch)`, `compute() -> {name: value}` and `reset()`."""

    @abstractmethod
    def baselines(self, train: Any, split: Any) -> dict[str, dict[str, float]]:
        """What needs no network, fitted on `train` and scored on `split`: name -> metric -> value."""

    @abstractmethod
    def answers(self, output: Tensor) -> list[Any]:
        """Each sequence's answer as plain values a person reads."""


def better(value: float, than: float | None, mode: str) -> bool:
    """Whether a finite `value` improves on `than`; ties do not."""
    if value != value:
        return False
    return than is None or (value > than if mode == "max" else value < than)


def skill(value: float, baseline: float, mode: str) -> float | None:
    """Share of the baseline's error that is gone: 1 is perfect, 0 is no better, below 0 the baseline wins.

    The error of a metric of which more is better is its distance from 1. None where the baseline has no error.
    """
    if mode == "max":
        value, baseline = 1 - value, 1 - baseline
    return None if baseline == 0 else 1 - value / baseline


def score(metrics: Any, outputs: Tensor, batch: Batch) -> dict[str, float]:
    """Metrics of one big batch as plain numbers."""
    metrics.reset()
    with torch.no_grad():
        metrics.update(outputs, batch)
    return {name: float(value) for name, value in metrics.compute().items()}
