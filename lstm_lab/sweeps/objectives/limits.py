"""Constraints of a sweep on what its configurations reach, as `latency <= 5 ms`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lstm_lab.sweeps.objectives.measures import MEASURES
from lstm_lab.sweeps.objectives.objective import Objective

ONE = re.compile(r"\s*([A-Za-z_][\w@]*(?:/[\w@.]+)*)\s*(<=|>=)\s*([-+]?[\d.]\S*?)\s*([A-Za-z]*)\s*")
"""Name, comparison, bound, unit."""
METRIC = re.compile(rf"(?<![\w./])(?:(?:val|train|test)/\w+|{'|'.join(MEASURES)})(?![\w.])")
"""A metric, wherever it stands; keys of an experiment have a dot."""


@dataclass(frozen=True)
class Limit:
    """A bound of a metric or measure, for the mean over the seeds and folds of a configuration."""

    objective: Objective
    """What is measured; its mode says on which side of the bound it must be."""
    bound: float

    @property
    def name(self) -> str:
        """`latency`."""
        return self.objective.name

    @property
    def text(self) -> str:
        """`latency <= 5 ms`."""
        sign = "<=" if self.objective.mode == "min" else ">="
        return f"{self.name} {sign} {_number(self.bound)} {self.objective.unit}".rstrip()

    def violation(self, value: float | None) -> float | None:
        """By how much a value is beyond the bound, as a share of the bound; negative or 0 where it keeps it, None where
        there is no value."""
        if value is None:
            return None
        return (self.objective.loss(value) - self.objective.loss(self.bound)) / (abs(self.bound) or 1.0)

    def report(self, value: float | None) -> str:
        """The constraint beside what was measured: `latency <= 5 ms: 6.1 ms`."""
        found = "not measured" if value is None else f"{_number(value)} {self.objective.unit}".rstrip()
        return f"{self.text}: {found}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.4g}"


def is_limit(text: str) -> bool:
    """Whether a constraint is on a metric, not on the keys of the experiment."""
    found = ONE.fullmatch(text)
    return bool(METRIC.search(text)) or (found is not None and "." not in found[1])


def parse_limits(constraints: Iterable[str]) -> tuple[Limit, ...]:
    """Those of the constraints of a sweep that are on metrics.

    Raises:
        ValueError: in one line, for one that is no single comparison with a number.
    """
    return tuple(_parse(text) for text in constraints if is_limit(text))


def _parse(text: str) -> Limit:
    found = ONE.fullmatch(text)
    try:
        bound = float(found[3]) if found else float("nan")
    except ValueError:
        bound = float("nan")
    if found is None or not abs(bound) < float("inf"):
        raise ValueError(f"constraints: '{text}': a metric is compared with a number by <= or >=, in a constraint of "
                         "its own, as latency <= 5 ms")  # fmt: skip
    limit = Limit(Objective(found[1], "min" if found[2] == "<=" else "max"), bound)
    is_known = limit.objective.measure is not None or "/" in limit.name
    if is_known and found[4] not in ("", limit.objective.unit):
        unit = f"is in {limit.objective.unit}" if limit.objective.unit else "has no unit"
        raise ValueError(f"constraints: '{text}': {limit.name} {unit}: write {limit.text}")
    return limit
