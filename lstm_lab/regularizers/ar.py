"""AR."""

from __future__ import annotations

from torch import Tensor

from lstm_lab.config.registry import Named
from lstm_lab.models.sites import Place
from lstm_lab.regularizers.base import Activations, NonNegative, Regularizer


class AR(Regularizer, name="ar"):
    """Activation regularization (Merity et al. 2017): alpha mean((m * h_t)^2) over units and valid steps.

    h_t are the outputs of the top layer, m the mask of output dropout where the head reads each step.
    """

    class Config(Named):
        alpha: NonNegative = 2.0
        """Weight of the mean square of the outputs."""

    acts_at = frozenset({Place.ACTIVATIONS})

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha

    def activation_penalty(self, activations: Activations) -> Tensor:
        return self.alpha * activations.mean(activations.dropped.pow(2))
