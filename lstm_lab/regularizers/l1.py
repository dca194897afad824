"""L1."""

from __future__ import annotations

from torch import Tensor

from lstm_lab.regularizers.weight_penalty import WeightPenalty, WeightPenaltyConfig


class L1(WeightPenalty, name="l1"):
    """strength sum |w| (Tibshirani 1996): small weights become zero."""

    class Config(WeightPenaltyConfig):
        """Strengths by group of parameters."""

    def size(self, parameter: Tensor) -> Tensor:
        return parameter.abs().sum()
