"""The contract of a task: size of the head, loss, metrics, and which metric decides in which direction."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from lstm_lab.data.base import Batch, Dataset
from lstm_lab.registry import Named, Registered


class Task(Registered, kind="task"):
    """Built from the info of a data set and a person's choices."""

    class Config(Named):
        monitor: str
        """Metric that compares epochs, trials and seeds; each task says which it offers."""

    accepts: ClassVar[type[Dataset]]
    """Kind of data set that it can be asked of."""
    maximised: ClassVar[frozenset[str]] = frozenset()
    """Metrics of which more is better; of all others, less."""
    per_step: ClassVar[bool] = False
    """Whether it asks at every step; the model's output is then (B, T, output_size)."""
    causal: ClassVar[bool] = False
    """Whether a step's answer stands in the steps behind it, so that nothing may read backward."""

    output_size: int
    """Numbers that the model's head gives for one answer."""
    monitor: str

    @classmethod
    def mode_of(cls, metric: str) -> Literal["min", "max"]:
        """Which end of a metric of this task is the better one."""
        return "max" if metric in cls.maximised else "min"

    @property
    def mode(self) -> Literal["min", "max"]:
        """The same of the metric that decides."""
        return self.mode_of(self.monitor)

    @classmethod
    def check(cls, task: Any, data: Any) -> None:
        """Raise ValueError where the configs of the task and of the data do not go together."""

    def prepare(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the model reads of a batch: x and lengths (B,); most tasks hand it over as it is."""
        return batch.x, batch.lengths

    def complete(self, output: Tensor, batch: Batch) -> Tensor:
        """What the model's output becomes before it is scored, same shape; most tasks leave it as it is."""
        return output

    def num_targets(self, batch: Batch) -> int | Tensor:
        """Answers that a batch asks for: what its mean loss is a mean over."""
        return len(batch.y)

    def calibrate(self, answered: Iterable[tuple[Tensor, Batch]]) -> Any:
        """Plain values that a finished model's validation outputs teach, for `recall`; None where nothing is asked."""
        return None

    def load_calibration(self, calibration: Any) -> None:
        """Take what `calibrate` returned: scores and answers from now on say more."""

    @property
    def prediction_columns(self) -> tuple[str, ...]:
        """What the numbers of an answer are, where it has several."""
        return ()

    @abstractmethod
    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        """Mean loss over the answers asked for, a scalar; `output` is (B, output_size) or (B, T, output_size)."""

    @abstractmethod
    def metrics(self) -> Metric | MetricCollection:
        """A fresh metric of `update(output, batch)`, `compute() -> {name: value}` and `reset()`."""

    @abstractmethod
    def baselines(self, train: Any, split: Any) -> dict[str, dict[str, float]]:
        """What needs no network, fitted on `train` and scored on `split`: name -> metric -> value."""

    @abstractmethod
    def predictions(self, output: Tensor, batch: Any = None) -> list[Any]:
        """Each sequence's answer as plain values a person reads."""


def better(value: float, than: float | None, mode: str) -> bool:
    """Whether a finite `value` improves on `than`; ties do not."""
    if not math.isfinite(value):
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
