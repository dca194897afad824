"""What L1 and L2 share: a strength for each group of parameters."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from lstm_lab.config import ConfigError
from lstm_lab.data.base import Dataset
from lstm_lab.models.base import Model
from lstm_lab.models.groups import Group, parameter_groups
from lstm_lab.models.sites import Place
from lstm_lab.regularizers.base import NonNegative, Regularizer


class WeightPenaltyConfig(Regularizer.Config):
    """Strengths by group of parameters; `lstm_lab.models.groups` says which parameter is in which."""

    strength: NonNegative = 1e-4
    """Of recurrent, input, embedding and head matrices, where they have none of their own."""
    recurrent: NonNegative | None = None
    """Of what multiplies a cell's state; null: `strength`."""
    input: NonNegative | None = None
    """Of what multiplies a layer's input; null: `strength`."""
    embedding: NonNegative | None = None
    """Of the vectors of tokens; null: `strength`."""
    head: NonNegative | None = None
    """Of the matrix that makes the outputs; null: `strength`."""
    bias: NonNegative = 0.0
    """Of biases."""
    norm: NonNegative = 0.0
    """Of the gains of normalisation layers."""

    def check(self, model: Model.Config, data: Dataset.Config) -> None:
        if self.embedding and Place.EMBEDDING not in model.places(data):
            raise ValueError(
                f"regularizers.{self.name}.embedding={self.embedding} would do nothing: model '{model.name}' has no "
                "vectors of tokens here; leave it out"
            )


class WeightPenalty(Regularizer):
    """Base of L1 and L2."""

    acts_at = frozenset({Place.LOSS})

    def __init__(self, strength: float, **of_groups: float | None) -> None:
        super().__init__()
        self.chosen: Mapping[Group, float | None] = {Group(group): value for group, value in of_groups.items()}
        self.strengths = {group: strength if value is None else value for group, value in self.chosen.items()}
        self.parameters: list[tuple[float, list[torch.nn.Parameter]]] = []

    def attach(self, model: Model) -> None:
        groups = parameter_groups(model)
        for group, value in self.chosen.items():
            if value and not groups[group]:
                raise ConfigError(
                    f"regularizers.{self.name}.{group}={value} would do nothing: the model has no such parameters; "
                    "leave it out"
                )
        self.parameters = [
            (self.strengths[group], list(found.values())) for group, found in groups.items() if self.strengths[group]
        ]

    def weight_penalty(self, model: Model) -> Tensor:
        terms = [
            strength * torch.stack([self.size(parameter) for parameter in parameters]).sum()
            for strength, parameters in self.parameters
            if parameters
        ]
        return torch.stack(terms).sum() if terms else next(model.parameters()).new_zeros(())

    @abstractmethod
    def size(self, parameter: Tensor) -> Tensor:
        """A scalar that is penalised."""
