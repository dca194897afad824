"""The contract of an average of weights.

Training goes on with the weights themselves. Once there is an average, validation, the best checkpoint and what is made
of it use that. Checkpoints hold both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from lstm_lab.config.registry import Named, Registered


class Averaging(Registered, kind="averaging"):
    """Weights of a model at steps or epochs -> their average.

    A new one defines `after_step` or `after_epoch`, which call `add`; one with a state of its own also extends
    `state_dict` and `load_state_dict`.
    """

    class Config(Named):
        """Base of every averaging's Config."""

        owner: ClassVar[type[Averaging]]

    is_used: ClassVar[bool] = True
    """Whether there ever is an average."""
    needs_max_epochs: ClassVar[bool] = False
    """Whether it depends on how many epochs there are."""
    observes: ClassVar[bool] = False
    """Whether it depends on the monitored metric of the validation split."""

    def __init__(self) -> None:
        self.average: list[Tensor] | None = None
        """Of each parameter, in the order of the model; None before the first."""
        self.count = 0
        """Weights that it is an average of."""

    def begin(self, optimizer: torch.optim.Optimizer) -> None:
        """Called before the first step, of a resumed run too, with the torch optimizer that takes the steps."""

    def after_step(self, weights: Sequence[Tensor]) -> None:
        """Called after each step of the optimizer with the parameters, in the order of the model."""

    def after_epoch(self, weights: Sequence[Tensor], progress: float) -> None:
        """Called after each epoch, before validation.

        Args:
            progress: share of all epochs that are trained.
        """

    def observe(self, value: float, mode: str) -> None:
        """Called after each validation with the monitored metric; `mode` says whether "min" or "max" is better."""

    def add(self, weights: Sequence[Tensor], share: float | None = None) -> None:
        """Take weights into the average.

        Args:
            share: theirs in the new average; None: the same for all that were added. The first are the average.
        """
        with torch.no_grad():
            if self.average is None:
                self.average = [weight.detach().clone() for weight in weights]
            else:
                share = 1 / (self.count + 1) if share is None else share
                for average, weight in zip(self.average, weights, strict=True):
                    average.lerp_(weight.detach(), share)
        self.count += 1

    def to(self, device: torch.device) -> None:
        """Move the average to a device."""
        if self.average is not None:
            self.average = [average.to(device) for average in self.average]

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to resume, without the average itself."""
        return {"count": self.count}

    def load_state_dict(self, state: Mapping[str, Any], average: list[Tensor] | None) -> None:
        """Restore what `state_dict` returned, and the average."""
        self.count, self.average = state["count"], average
