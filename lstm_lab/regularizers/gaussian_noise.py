"""Gaussian noise on activations."""

from __future__ import annotations

from pydantic import model_validator
from torch import Tensor

from lstm_lab.kernels import draws
from lstm_lab.models.base import Model
from lstm_lab.models.sites import Noise, Place, sites
from lstm_lab.regularizers.base import NonNegative, Regularizer


class Gaussian(Noise):
    """Adds noise of a standard deviation to every value."""

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def noisy(self, x: Tensor) -> Tensor:
        steps = x.shape[1] if x.dim() == 3 else 1
        return x + self.std * draws.normal(self.noise_key(len(x), x.device), steps, x.shape[-1], x.dtype).view(x.shape)


class GaussianNoise(Regularizer, name="gaussian_noise"):
    """x + std N(0, 1), new at every step and unit (Jim et al. 1996; at the input: Bishop 1995).

    Noise on the standardised columns of the data alone is `data.augment.jitter`.
    """

    class Config(Regularizer.Config):
        input: NonNegative = 0.0
        """Standard deviation on what the first layer reads: of tokens, on their vectors."""
        between: NonNegative = 0.0
        """Standard deviation on what passes from one layer to the next."""
        output: NonNegative = 0.0
        """Standard deviation on what the head reads."""

        @model_validator(mode="after")
        def _has_a_place(self) -> GaussianNoise.Config:
            if not self.model_fields_set - {"name"}:
                raise ValueError("adds no noise: give at least one of input, between, output")
            return self

        def places(self) -> frozenset[Place]:
            stds = {Place.INPUT: self.input, Place.BETWEEN: self.between, Place.OUTPUT: self.output}
            return frozenset(place for place, std in stds.items() if std)

    acts_at = frozenset({Place.INPUT, Place.BETWEEN, Place.OUTPUT})

    def __init__(self, input: float, between: float, output: float) -> None:
        super().__init__()
        self.stds = {Place.INPUT: input, Place.BETWEEN: between, Place.OUTPUT: output}

    def attach(self, model: Model) -> None:
        for place, std in self.stds.items():
            for site in sites(model, place) if std else ():
                site.add(Gaussian(std))
