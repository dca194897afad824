"""L2."""

from __future__ import annotations

from torch import Tensor

from lstm_lab.regularizers.weight_penalty import WeightPenalty, WeightPenaltyConfig


class L2(WeightPenalty, name="l2"):
    """strength / 2 sum w^2, which adds strength w to the gradient (Krogh & Hertz 1992).

    Decay that is apart from the gradient, as Adam needs it, is `optimizer: adamw`.
    """

    class Config(WeightPenaltyConfig):
        """Strengths by group of parameters."""

    def size(self, parameter: Tensor) -> Tensor:
        return parameter.pow(2).sum() / 2
