"""Return to the best epoch with a lower learning rate."""

from __future__ import annotations

from lstm_lab.optimizers.schedules.plateau import Plateau
from lstm_lab.records.run_record import Select


class Backtracking(Plateau, name="backtracking"):
    """After `patience` epochs without improvement, weights and optimizer return to the best epoch, at a lower rate.

    The row of the record says `rolled_back_to`: the epoch whose weights are there after it.
    """

    may_roll_back = True

    class Config(Plateau.Config):
        """Plateau's fields."""

        def check_select(self, select: Select) -> None:
            if select != "best":
                raise ValueError(
                    f"trainer.select={select}: schedule 'backtracking' returns to the best epoch, whose weights would "
                    "not be kept; set it to best, or choose schedule=plateau"
                )

    def __init__(self, warmup_fraction: float = 0.0, patience: int = 5, factor: float = 0.5) -> None:
        super().__init__(warmup_fraction, patience, factor)
        self._rolls_back = False

    @property
    def rolls_back(self) -> bool:
        return self._rolls_back

    def observe(self, improved: bool) -> None:
        super().observe(improved)
        self._rolls_back = not improved and self.waited == 0
