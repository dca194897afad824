"""The regularizers of one training, called at their places."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from lstm_lab.config import ConfigError
from lstm_lab.data.base import Batch
from lstm_lab.models.base import Model, Output
from lstm_lab.models.sites import SITES, Place, StepKey, sites
from lstm_lab.regularizers.base import Activations, Regularizer
from lstm_lab.training_step import StepHook


class Regularizers(StepHook):
    """All regularizers of a model, as one hook of its training steps.

    Args:
        model: the one that is trained; noise is added to its sites.
        members: with the places that each acts at.

    Raises:
        ConfigError: the model has no such place.
    """

    def __init__(self, model: Model, members: Iterable[tuple[Regularizer, frozenset[Place]]]) -> None:
        self.at: dict[Place, list[Regularizer]] = {place: [] for place in Place}
        for member, places in members:
            for place in sorted(places):
                if place in SITES and not sites(model, place):
                    raise ConfigError(f"regularizers.{member.name}: model '{model.name}' has no place '{place}'")
                self.at[place].append(member)
            member.attach(model)
        self.unchanged: list[tuple[nn.Parameter, Tensor]] = []
        """Parameters that are changed for the current step, and the values that they had."""

    @property
    def adds_to_loss(self) -> bool:
        return bool(self.at[Place.LOSS] or self.at[Place.ACTIVATIONS])

    def before(self, model: Model, key: StepKey) -> None:
        self._restore_weights()  # After a batch without a step: gradients are accumulated, or an exception ended it.
        with torch.no_grad():
            for member in self.at[Place.WEIGHTS]:
                for parameter, change in member.weight_changes(model, key):
                    self.unchanged.append((parameter, parameter.detach().clone()))
                    parameter.add_(change)

    def loss(self, model: Model, output: Output, batch: Batch) -> Tensor | None:
        terms = [member.weight_penalty(model) for member in self.at[Place.LOSS]]
        if self.at[Place.ACTIVATIONS]:
            activations = Activations.of(output)
            if activations is None:
                raise ConfigError(
                    f"regularizers.{self.at[Place.ACTIVATIONS][0].name}: model '{model.name}' returns no activations"
                )
            terms += [member.activation_penalty(activations) for member in self.at[Place.ACTIVATIONS]]
        return torch.stack(terms).sum() if terms else None

    def gradient(self, model: Model, key: StepKey) -> None:
        self._restore_weights()

    @torch.no_grad()
    def clipped(self, model: Model, key: StepKey) -> None:
        for member in self.at[Place.GRADIENT]:
            member.change_gradients(model, key)

    @torch.no_grad()
    def after(self, model: Model, key: StepKey) -> None:
        for member in self.at[Place.UPDATED_WEIGHTS]:
            member.limit_weights(model)

    @torch.no_grad()
    def _restore_weights(self) -> None:
        while self.unchanged:
            parameter, value = self.unchanged.pop()
            parameter.copy_(value)
