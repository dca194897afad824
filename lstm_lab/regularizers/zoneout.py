"""Zoneout."""

from __future__ import annotations

from pydantic import model_validator

from lstm_lab.data.base import Dataset
from lstm_lab.kernels.noise import Kind
from lstm_lab.models.base import Model
from lstm_lab.models.recurrence import recurrences
from lstm_lab.models.sites import Place
from lstm_lab.regularizers.base import Regularizer, Share, check_recurrence


class Zoneout(Regularizer, name="zoneout"):
    """Krueger et al. (2017): at each step each unit keeps its old value with this probability.

    In evaluation a state is the mean of the old and the new value, weighted by the probability.
    """

    class Config(Regularizer.Config):
        h: Share = 0.0
        """Probability that a unit of h keeps its old value; the paper takes 0.05 for language."""
        c: Share = 0.0
        """Probability that a unit of c does; the paper takes 0.5."""

        @model_validator(mode="after")
        def _acts(self) -> Zoneout.Config:
            if not self.model_fields_set & {"h", "c"}:
                raise ValueError("sets no probability: give at least one of h, c")
            return self

        def places(self) -> frozenset[Place]:
            return Zoneout.acts_at if self.h or self.c else frozenset()

        def check(self, model: Model.Config, data: Dataset.Config) -> None:
            fields: dict[str, tuple[Kind, float]] = {"h": ("zoneout_h", self.h), "c": ("zoneout_c", self.c)}
            check_recurrence(self.name, model, fields)

    acts_at = frozenset({Place.RECURRENCE})

    def __init__(self, h: float, c: float) -> None:
        super().__init__()
        self.h, self.c = h, c

    def attach(self, model: Model) -> None:
        for recurrence in recurrences(model):
            recurrence.add(zoneout_h=self.h, zoneout_c=self.c)
