"""The base of the domains between two bounds."""

from __future__ import annotations

import math
from typing import Any, ClassVar, TypeGuard

import numpy as np

from lstm_lab.sweeps.space.domains.base import Domain


class Range(Domain):
    """Base of the domains between two bounds."""

    arguments: list[float]
    log: ClassVar[bool] = False
    """Whether the values lie on a logarithmic scale."""
    integer: ClassVar[bool] = False
    """Whether the values are whole numbers."""
    syntax: ClassVar[str] = "[low, high]"
    """The arguments as a sweep file writes them."""

    def check(self) -> None:
        given, count = self.arguments, self.syntax.count(",") + 1
        if not isinstance(given, list) or len(given) != count or not all(map(self._is_number, given)):
            raise ValueError(f"must be {self.syntax} of {'whole ' if self.integer else ''}numbers, got {given!r}")
        self.check_arguments(*given)

    def check_arguments(self, *arguments: float) -> None:
        """Raise ValueError for numbers that span no range."""
        low, high = arguments
        if low >= high:
            raise ValueError(f"low must be below high, got {[low, high]!r}")
        if self.log and low <= 0:
            raise ValueError(f"low must be above 0 on a log scale, got {low}")

    def _is_number(self, value: object) -> TypeGuard[float]:
        kinds = int if self.integer else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest value of the domain."""
        return self.arguments[0], self.arguments[1]

    def corner_values(self) -> list[float]:
        return list(self.bounds)

    def contains(self, value: object) -> bool:
        low, high = self.bounds
        return self._is_number(value) and low <= value <= high

    def joined(self, other: Domain) -> Domain:
        assert isinstance(other, Range)
        bounds = (*self.bounds, *other.bounds)
        return type(self)([min(bounds), max(bounds), *other.arguments[2:]])

    def perturb(self, value: Any, rng: np.random.Generator) -> float:
        """Times 1.25 or 0.8 on a log scale, else up or down by a tenth of the range, by at least 1 if whole."""
        low, high = self.bounds
        up = bool(rng.integers(2))
        step = max((high - low) / 10, 1 if self.integer else 0)
        moved = value * (1.25 if up else 0.8) if self.log else value + (step if up else -step)
        return min(max(round(moved) if self.integer else float(moved), low), high)
