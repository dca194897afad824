"""Group lasso over hidden units."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lstm_lab.config import ConfigError
from lstm_lab.models.base import Model
from lstm_lab.models.sites import Place
from lstm_lab.models.units import Block, obstacle, unit_blocks, unit_norms
from lstm_lab.regularizers.base import NonNegative, Regularizer


class GroupLasso(Regularizer, name="group_lasso"):
    """strength sum over units of the norm of all weights of the unit: its rows and its columns, in its cell, the next
    layer and the head (Wen et al. 2018, equation 4). Units that are not needed become small as a whole, so that
    `lstm-lab prune` can take them away."""

    class Config(Regularizer.Config):
        strength: NonNegative = 1e-3
        """Weight of the sum of the norms."""

    acts_at = frozenset({Place.LOSS})

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength
        self.groups: list[list[Block]] = []
        self.weights: dict[str, nn.Parameter] = {}
        self.units = 0

    def attach(self, model: Model) -> None:
        reason = obstacle(model)
        if reason is not None:
            raise ConfigError(f"regularizers.group_lasso: the weights of a unit are not known: {reason}")
        self.groups = [blocks for directions in unit_blocks(model) for blocks in directions]
        self.weights, self.units = dict(model.named_parameters()), model.hidden_size or 0

    def weight_penalty(self, model: Model) -> Tensor:
        norms = torch.stack([unit_norms(self.weights, blocks, self.units) for blocks in self.groups])  # (cells, H)
        return self.strength * norms.sum()
