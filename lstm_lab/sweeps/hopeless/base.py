"""The contract of a rule, and what it is told."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from lstm_lab.sweeps.ordering import Report

PREFIX = "stop_sick: "
"""Of the reason of a trial that was ended so."""

Curve = Mapping[int, Report]
"""Epochs -> the row after so many, at the checks that a trial has come to, in their order."""


@dataclass(frozen=True)
class Suspect:
    """A trial at a check, and those that come before it on the clock, up to as many epochs."""

    curve: Curve
    others: Sequence[Curve]
    """Of other configurations."""
    max_epochs: int
    """That it would be trained for."""
    metric: str
    mode: str

    @property
    def epochs(self) -> int:
        """That it has trained."""
        return max(self.curve)

    def costs(self, curve: Curve) -> dict[int, float]:
        """Epochs -> monitored metric, negative where more of it is better; without what is not finite."""
        return self.values(curve, self.metric, self.sign)

    @property
    def sign(self) -> float:
        """That makes less of the monitored metric better."""
        return -1.0 if self.mode == "max" else 1.0

    def values(self, curve: Curve, metric: str, sign: float = 1.0) -> dict[int, float]:
        """Epochs -> a metric times a sign, where it is a finite number."""
        found = {epochs: row.get(metric) for epochs, row in curve.items()}
        return {n: sign * v for n, v in found.items() if isinstance(v, int | float) and math.isfinite(v)}

    @property
    def best_of_others(self) -> list[float]:
        """The least cost of each of the others so far."""
        return [min(costs.values()) for curve in self.others if (costs := self.costs(curve))]

    @property
    def is_warming_up(self) -> bool:
        """Whether its learning rate still rises: what it does now says little."""
        rates = [*self.values(self.curve, "lr").values()]
        return len(rates) > 1 and rates[-1] > rates[-2]


class HopelessRule(ABC):
    """A way in which a trial is hopeless.

    A new rule is a subclass in a file of `lstm_lab/sweeps/hopeless/rules/`:

        class Worst(HopelessRule):
            name = "worst"

            def check(self, suspect):
                own = min(suspect.costs(suspect.curve).values())
                return "all others are better" if own > max(suspect.best_of_others, default=own) else None
    """

    name: ClassVar[str]
    registered: ClassVar[dict[str, type[HopelessRule]]] = {}
    """Name -> rule, filled by defining it."""

    def __init_subclass__(cls) -> None:
        HopelessRule.registered[cls.name] = cls

    @abstractmethod
    def check(self, suspect: Suspect) -> str | None:
        """What was measured, where the trial is hopeless; else None."""
