"""Locked dropout."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator
from torch import Tensor

from lstm_lab.kernels import draws
from lstm_lab.models.base import Model
from lstm_lab.models.sites import MaskNoise, Place, rescaled, sites
from lstm_lab.regularizers.base import Regularizer, Share


class LockedNoise(MaskNoise):
    """Zeroes a share p of the units, the same at every step of a sample, and divides the others by 1 - p."""

    is_dropout: ClassVar[bool] = True

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def factor(self, x: Tensor) -> Tensor:
        kept = draws.keep(self.noise_key(len(x), x.device, same=True), self.p, 1, x.shape[-1])  # (B, 1, D)
        return rescaled(kept if x.dim() == 3 else kept.squeeze(1), self.p, x)


class LockedDropout(Regularizer, name="locked_dropout"):
    """Variational dropout (Gal & Ghahramani 2016): one mask for all steps of a sample, new for each batch."""

    class Config(Regularizer.Config):
        input: Share = 0.0
        """Share of the units that the first layer reads."""
        between: Share = 0.0
        """Share of the units that pass from one layer to the next."""
        output: Share = 0.0
        """Share of the units before the head."""

        @model_validator(mode="after")
        def _has_a_place(self) -> LockedDropout.Config:
            if not self.model_fields_set - {"name"}:
                raise ValueError("sets no share: give at least one of input, between, output")
            return self

        def places(self) -> frozenset[Place]:
            return frozenset(place for place in LockedDropout.acts_at if self.share(place))

        def share(self, place: Place) -> float:
            """Of the units at a place."""
            return {Place.INPUT: self.input, Place.BETWEEN: self.between, Place.OUTPUT: self.output}[place]

    acts_at = frozenset({Place.INPUT, Place.BETWEEN, Place.OUTPUT})

    def __init__(self, input: float, between: float, output: float) -> None:
        super().__init__()
        self.shares = {Place.INPUT: input, Place.BETWEEN: between, Place.OUTPUT: output}

    def attach(self, model: Model) -> None:
        for place, share in self.shares.items():
            for site in sites(model, place) if share else ():
                site.add(LockedNoise(share))
