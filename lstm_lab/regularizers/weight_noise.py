"""Weight noise."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from lstm_lab.config.registry import Named
from lstm_lab.models.base import Model
from lstm_lab.models.groups import Group, parameter_groups
from lstm_lab.models.sites import Place, StepKey
from lstm_lab.regularizers.base import NonNegative, Regularizer, normal_like


class WeightNoise(Regularizer, name="weight_noise"):
    """w + std N(0, 1) in the forward and backward pass of each step (Graves 2013, section 2.2).

    Of recurrent, input and head matrices; the optimizer changes w itself, which is what is saved.
    """

    class Config(Named):
        std: NonNegative = 0.075
        """Standard deviation."""

    acts_at = frozenset({Place.WEIGHTS})

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std
        self.parameters: dict[str, nn.Parameter] = {}

    def attach(self, model: Model) -> None:
        groups = parameter_groups(model)
        self.parameters = groups[Group.RECURRENT] | groups[Group.INPUT] | groups[Group.HEAD]

    def weight_changes(self, model: Model, key: StepKey) -> Iterator[tuple[nn.Parameter, Tensor]]:
        if self.std:
            for name, parameter in self.parameters.items():
                yield parameter, self.std * normal_like(parameter, key, f"{self.name}.{name}")
