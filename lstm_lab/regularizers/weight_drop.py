"""Weight drop."""

from __future__ import annotations

from lstm_lab.cells import Cell
from lstm_lab.config import ConfigError
from lstm_lab.models.base import Model
from lstm_lab.models.recurrence import recurrences, recurrent_matrices
from lstm_lab.models.sites import Place
from lstm_lab.regularizers.base import Regularizer, Share


class WeightDrop(Regularizer, name="weight_drop"):
    """Merity et al. (2018): DropConnect of the recurrent matrices U, with one mask for all steps of a batch.

    The optimizer updates, and checkpoints hold, the whole matrices; evaluation uses them.
    """

    class Config(Regularizer.Config):
        p: Share = 0.5
        """Share of the elements of each recurrent matrix that are 0 for a batch; the others are divided by 1 - p."""

    acts_at = frozenset({Place.RECURRENT_WEIGHTS})

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def attach(self, model: Model) -> None:
        if not any(True for cell in model.modules() if isinstance(cell, Cell) for _ in recurrent_matrices(cell)):
            raise ConfigError("regularizers.weight_drop would do nothing: no matrix of this cell multiplies its state; "
                              "leave it out, or choose another cell")  # fmt: skip
        for recurrence in recurrences(model):
            recurrence.weight_drop = self.p
