"""Averaged SGD, triggered by the validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from lstm_lab.config import Count
from lstm_lab.optimizers.averaging.base import Averaging


class NTASGD(Averaging, name="nt_asgd"):
    """Merity, Keskar & Socher (2018), algorithm 1: the mean over all steps since a trigger without tuning.

    It is triggered by the first validation whose metric is worse than the best of those at least `n` before it. The
    paper's optimizer is plain SGD with a constant rate.
    """

    observes = True

    class Config(Averaging.Config):
        n: Count = 5
        """Validations that are not looked at: the non-monotone interval."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n
        self.costs: list[float] = []
        """Of each validation before the trigger; less is better."""
        self.is_triggered = False

    def after_step(self, weights: Sequence[Tensor]) -> None:
        if self.is_triggered:
            self.add(weights)

    def observe(self, value: float, mode: str) -> None:
        if self.is_triggered:
            return
        cost = value if mode == "min" else -value
        self.is_triggered = len(self.costs) > self.n and cost > min(self.costs[: -self.n])
        self.costs.append(cost)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "costs": list(self.costs), "is_triggered": self.is_triggered}

    def load_state_dict(self, state: Mapping[str, Any], average: list[Tensor] | None) -> None:
        super().load_state_dict(state, average)
        self.costs, self.is_triggered = list(state["costs"]), state["is_triggered"]
