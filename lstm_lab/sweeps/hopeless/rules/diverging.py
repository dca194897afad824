"""A training loss that rises."""

from __future__ import annotations

from lstm_lab.sweeps.hopeless.base import HopelessRule, Suspect


class Diverging(HopelessRule):
    """The training loss has risen by its own size since the first epoch, still rises, and validation is worse too."""

    name = "diverging"

    def check(self, suspect: Suspect) -> str | None:
        losses, costs = [*suspect.values(suspect.curve, "train/loss").values()], suspect.costs(suspect.curve)
        if len(losses) < 3 or len(costs) < 3 or suspect.is_warming_up:
            return None
        first, *_, before, last = losses
        monitored = [*costs.values()]
        if last - first <= abs(first) or last <= before or monitored[-1] <= monitored[0]:
            return None
        return f"the training loss rose from {first:.4g} to {last:.4g} in {suspect.epochs} epochs"
