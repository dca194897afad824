"""Others have learned, and this one hardly moves."""

from __future__ import annotations

import math

from lstm_lab.sweeps.hopeless.base import HopelessRule, Suspect

MIN_OTHERS = 4
"""Trials of other configurations below which none is accused."""
MIN_AHEAD, SHARE = 3, 1 / 3
"""How many of the others, and which share of them, have to be ahead."""
MARGIN = 0.1
"""Share of its own loss by which others have to be better: at chance, all differ by less."""


class AtChance(HopelessRule):
    """At its speed so far it would not reach in all its epochs what a third of the others have now.

    Curves flatten, so that its speed so far is more than it will be.

    Both the monitored metric and the validation loss have to say so: an accuracy may stand still while a network begins
    to learn.
    """

    name = "at chance"

    def check(self, suspect: Suspect) -> str | None:
        if len(suspect.others) < MIN_OTHERS or suspect.is_warming_up:
            return None
        metrics = {suspect.metric: suspect.sign}
        if "val/loss" in suspect.curve[suspect.epochs]:
            metrics |= {"val/loss": 1.0}
        found = [_behind(suspect, metric, sign) for metric, sign in metrics.items()]
        return None if None in found else found[0]


def _behind(suspect: Suspect, metric: str, sign: float) -> str | None:
    """How far a trial is behind by a metric; None where it may catch up."""
    costs = suspect.values(suspect.curve, metric, sign)
    bests = [min(values.values()) for curve in suspect.others if (values := suspect.values(curve, metric, sign))]
    if len(costs) < 2 or len(bests) < MIN_OTHERS:
        return None
    first, last, best = min(costs), max(costs), min(costs.values())
    ahead = sorted(bests)[max(MIN_AHEAD, math.ceil(SHARE * len(bests))) - 1]
    speed = (costs[first] - best) / (last - first)
    reach = best - speed * (suspect.max_epochs - last)
    if best - ahead <= MARGIN * abs(best) or reach <= ahead:
        return None
    return (
        f"{metric} {sign * best:.4g} after {last} epochs, {sign * costs[first]:.4g} after {first}; a third of "
        f"{len(bests)} others have {sign * ahead:.4g} or better"
    )
