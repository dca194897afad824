"""The average of a model's weights beside the weights themselves: when it is updated, used, stored and restored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lstm_lab.models import Model
from lstm_lab.models.sites import StepKey
from lstm_lab.optimizers.averaging import Averaging
from lstm_lab.training_step import StepHook


class AveragedWeights(StepHook):
    """Keeps the average of the model that a learner trains.

    Args:
        averaging: how weights are averaged.
        model: whose weights.
    """

    def __init__(self, averaging: Averaging, model: Model) -> None:
        self.averaging, self.model = averaging, model
        self._trained: list[Tensor] | None = None
        """The weights that training goes on with, while the model has the average."""

    def after(self, model: Model, key: StepKey) -> None:
        self.averaging.after_step(list(model.parameters()))

    def after_epoch(self, progress: float) -> None:
        """Before validation; `progress` is the share of all epochs that are trained."""
        self.averaging.after_epoch(list(self.model.parameters()), progress)

    def use_average(self) -> None:
        """Give the model the average, if there is one; until `use_trained`."""
        average = self.averaging.average
        if average is not None and self._trained is None:
            self._trained = [parameter.detach().clone() for parameter in self.model.parameters()]
            self._set(average)

    def use_trained(self) -> None:
        """Give the model its own weights again."""
        if self._trained is not None:
            self._set(self._trained)
            self._trained = None

    def _set(self, weights: list[Tensor]) -> None:
        with torch.no_grad():
            for parameter, weight in zip(self.model.parameters(), weights, strict=True):
                parameter.copy_(weight)

    def store(self, weights: dict[str, Tensor]) -> dict[str, Any] | None:
        """Put the average into the weights of a checkpoint.

        Args:
            weights: of the model by name, in place.

        Returns:
            What `restore` needs besides, the trained weights among it; None without an average.
        """
        average = self.averaging.average
        if average is None:
            return {"trained": None, "averaging": self.averaging.state_dict()}
        trained, places = {}, {parameter: i for i, parameter in enumerate(self.model.parameters())}
        for name, parameter in self.model.state_dict(keep_vars=True, prefix="model.").items():
            if parameter in places:
                trained[name], weights[name] = weights[name], average[places[parameter]].clone()
        return {"trained": trained, "averaging": self.averaging.state_dict()}

    def restore(self, weights: dict[str, Tensor], stored: Mapping[str, Any]) -> None:
        """Take the average out of the weights of a checkpoint, and put the trained ones there, in place."""
        average: list[Tensor] | None = None
        if stored["trained"] is not None:
            by_name = self.model.state_dict(keep_vars=True, prefix="model.")
            names = {parameter: name for name, parameter in by_name.items()}
            average = [weights[names[parameter]].clone() for parameter in self.model.parameters()]
            weights.update(stored["trained"])
        self.averaging.load_state_dict(stored["averaging"], average)
