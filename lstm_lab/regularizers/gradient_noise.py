"""Gradient noise."""

from __future__ import annotations

from lstm_lab.config.registry import Named
from lstm_lab.models.base import Model
from lstm_lab.models.sites import Place, StepKey
from lstm_lab.regularizers.base import NonNegative, Regularizer, normal_like


class GradientNoise(Regularizer, name="gradient_noise"):
    """g + N(0, eta / (1 + t)^gamma) at step t, after clipping (Neelakantan et al. 2015)."""

    class Config(Named):
        eta: NonNegative = 0.01
        """Variance at the first step; the paper takes 0.01, 0.3 or 1."""
        gamma: NonNegative = 0.55
        """How fast the variance decays."""

    acts_at = frozenset({Place.GRADIENT})

    def __init__(self, eta: float, gamma: float) -> None:
        super().__init__()
        self.eta, self.gamma = eta, gamma

    def change_gradients(self, model: Model, key: StepKey) -> None:
        std = (self.eta / (1 + key.step) ** self.gamma) ** 0.5
        for name, parameter in model.named_parameters() if std else ():
            if parameter.grad is not None:
                parameter.grad.add_(normal_like(parameter, key, f"{self.name}.{name}"), alpha=std)
