"""Recurrent dropout."""

from __future__ import annotations

from pydantic import model_validator

from lstm_lab.data.base import Dataset
from lstm_lab.kernels.noise import Kind
from lstm_lab.models.base import Model
from lstm_lab.models.recurrence import recurrences
from lstm_lab.models.sites import Place
from lstm_lab.regularizers.base import Regularizer, Share, check_recurrence


class RecurrentDropout(Regularizer, name="recurrent_dropout"):
    """Dropout inside the recurrence: of the state as weights read it, or of the candidate that is added to it.

    `state` is Gal & Ghahramani (2016): h_{t-1} is multiplied by a mask in the products with U, the same at all steps of
    a sample. `update` is Semeniuta et al. (2016): the candidate, g of an LSTM or n of a GRU, is multiplied by a mask.
    """

    class Config(Regularizer.Config):
        state: Share = 0.0
        """Share of the units of h that the recurrent weights do not read."""
        update: Share = 0.0
        """Share of the candidate's units that are not added to the state."""
        update_locked: bool = False
        """Whether a sample has one mask of the candidate for all steps, instead of one for each."""

        @model_validator(mode="after")
        def _acts(self) -> RecurrentDropout.Config:
            if not self.model_fields_set & {"state", "update"}:
                raise ValueError("sets no share: give at least one of state, update")
            if self.update_locked and "update" not in self.model_fields_set:
                raise ValueError("update_locked would do nothing without update: set update, or leave it out")
            return self

        def places(self) -> frozenset[Place]:
            return RecurrentDropout.acts_at if self.state or self.update else frozenset()

        def check(self, model: Model.Config, data: Dataset.Config) -> None:
            fields: dict[str, tuple[Kind, float]] = {
                "state": ("state_dropout", self.state),
                "update": ("update_dropout", self.update),
            }
            check_recurrence(self.name, model, fields)

    acts_at = frozenset({Place.RECURRENCE})

    def __init__(self, state: float, update: float, update_locked: bool) -> None:
        super().__init__()
        self.rates = {"state_dropout": state, "update_dropout": update, "update_locked": update_locked}

    def attach(self, model: Model) -> None:
        for recurrence in recurrences(model):
            recurrence.add(**self.rates)
