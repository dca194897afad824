"""TAR."""

from __future__ import annotations

from torch import Tensor

from lstm_lab.config.registry import Named
from lstm_lab.kernels.lengths import length_mask
from lstm_lab.models.sites import Place
from lstm_lab.regularizers.base import Activations, NonNegative, Regularizer


class TAR(Regularizer, name="tar"):
    """Temporal activation regularization (Merity et al. 2017): beta mean((h_t - h_{t-1})^2) over units and valid steps.

    h_t are the outputs of the top layer, before dropout; the difference of a first step is 0.
    """

    class Config(Named):
        beta: NonNegative = 1.0
        """Weight of the mean square of the differences between successive outputs."""

    acts_at = frozenset({Place.ACTIVATIONS})

    def __init__(self, beta: float) -> None:
        super().__init__()
        self.beta = beta

    def activation_penalty(self, activations: Activations) -> Tensor:
        h = activations.raw
        valid = length_mask(activations.lengths, h.shape[1])[:, 1:].unsqueeze(-1)  # (B, T - 1, 1)
        differences = (h[:, 1:] - h[:, :-1]).masked_fill(~valid, 0.0)
        return self.beta * activations.mean(differences.pow(2))
