"""The contract of a model: a padded batch of sequences in, the numbers that a task asks for out."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Protocol

from torch import Tensor, nn

from lstm_lab.registry import Registered


class DataInfo(Protocol):
    """What a model must know of the data."""

    @property
    def input_size(self) -> int:
        """Channels of each step, I; or tokens that there are."""


class TaskInfo(Protocol):
    """What a model must know of the task."""

    per_step: Any
    """Whether it asks for an answer at every step, or for one of the whole sequence."""
    output_size: int
    """Numbers in one answer."""


class Model(Registered, nn.Module, kind="model"):
    """Built from the info of a data set, a task, and a person's choices."""

    @classmethod
    def check(cls, model: Any, task: Any, data: Any) -> None:
        """Raise ValueError where the configs of model, task and data do not go together, or a choice would be dead."""

    def load_pretrained(self, info: Any) -> dict[str, Any]:
        """Called once, before the first step of training, never on going on: take what was learnt elsewhere.

        Returns what the run is to remember of it.
        """
        return {}

    @abstractmethod
    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """One answer for each sequence, or for each step.

        Args:
            x: (B, T, I), or token numbers (B, T).
            lengths: (B,) valid steps.

        Returns:
            (B, output_size), or (B, T, output_size).
        """
