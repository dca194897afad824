"""Nothing moves."""

from __future__ import annotations

from lstm_lab.sweeps.hopeless.base import HopelessRule, Suspect

STILL = 1e-6
"""Relative change since the first epoch below which a loss has not moved."""


class Dead(HopelessRule):
    """Training loss and monitored metric are what they were after the first epoch, and another trial is better."""

    name = "dead"

    def check(self, suspect: Suspect) -> str | None:
        losses, costs = (
            [*suspect.values(suspect.curve, "train/loss").values()],
            [*suspect.costs(suspect.curve).values()],
        )
        if len(losses) < 2 or len(costs) < 2 or suspect.is_warming_up:
            return None
        moved = max(max(values) - min(values) for values in (losses, costs))
        # A network that solved its task at once does not move either.
        if moved > STILL * max(abs(losses[0]), abs(costs[0])) or min(suspect.best_of_others, default=costs[-1]) >= min(
            costs
        ):
            return None
        return f"the training loss is {losses[-1]:.6g} since the first of {suspect.epochs} epochs"
