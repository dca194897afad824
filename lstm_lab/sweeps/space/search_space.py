"""The points of a sweep: domains, the conditions of those that are not always there, and constraints over all."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lstm_lab.config import ConfigError
from lstm_lab.sweeps.space.constraints import Constraint
from lstm_lab.sweeps.space.domains import Choice, Domain, Overrides, chosen

TRIES = 1000
"""Draws for one point before the constraints count as impossible."""


def parents_first(point: Mapping[str, Any]) -> Overrides:
    """Sections before what is inside them, so that `model.cell` is chosen before `model.cell.forget_bias` is set."""
    return dict(sorted(point.items(), key=lambda item: item[0].count(".")))


def same(point: Mapping[str, Any]) -> str:
    """By which two points are told apart."""
    return json.dumps(point, sort_keys=True)


class SearchSpace:
    """Where a sweep may go.

    Args:
        domains: dotted key -> domain.
        constraints: what must hold at every point.
        content: point -> the experiment there in plain content; what the constraints speak of.

    Raises:
        ValueError: a condition on what is no choice of the space, a value it never takes, or a circle of conditions.
    """

    def __init__(
        self,
        domains: Mapping[str, Domain],
        constraints: Sequence[Constraint] = (),
        content: Callable[[Overrides], Mapping[str, Any]] = dict,
    ) -> None:
        self.domains, self.constraints, self.content = dict(domains), tuple(constraints), content
        for key, domain in self.domains.items():
            self._check_condition(key, domain)
        self.order = self._parents_first()

    def _check_condition(self, key: str, domain: Domain) -> None:
        for other, wanted in domain.when.items():
            parent = self.domains.get(other)
            if not isinstance(parent, Choice):
                found = "has numbers between bounds" if parent else "is not in the space"
                raise ValueError(f"space.{key}: when {other}: it {found}; a condition needs a key with choice or grid")
            values = [chosen(value) for value in parent.arguments]
            for value in wanted:
                if value not in values:
                    listed = ", ".join(map(str, values))
                    raise ValueError(f"space.{key}: when {other}: is never {value!r}; it takes: {listed}")
            if domain.exhaustive and not parent.exhaustive:
                raise ValueError(
                    f"space.{key}: a grid under {other}, which is drawn, would try values that are not there; "
                    f"write grid for {other} or choice here"
                )

    def _parents_first(self) -> list[str]:
        order: list[str] = []
        while len(order) < len(self.domains):
            ready = [k for k, domain in self.domains.items() if k not in order and set(domain.when) <= set(order)]
            if not ready:
                circle = next(key for key in self.domains if key not in order)
                raise ValueError(f"space.{circle}: its condition hangs on itself in a circle; leave one `when` out")
            order += ready
        return order

    def is_active(self, key: str, point: Mapping[str, Any]) -> bool:
        """Whether the condition of a key is true; `point` holds what it hangs on."""
        when = self.domains[key].when
        return all(other in point and chosen(point[other]) in wanted for other, wanted in when.items())

    def keep_active(self, values: Mapping[str, Any]) -> Overrides:
        """A point from a value for each key: those whose condition is false are left out."""
        point: Overrides = {}
        for key in self.order:
            if key in values and self.is_active(key, point):
                point[key] = values[key]
        return parents_first({key: point[key] for key in values if key in point})

    def satisfies_constraints(self, point: Overrides) -> bool:
        """Whether all constraints hold."""
        if not self.constraints:
            return True
        content = self.content(point)
        return all(constraint.is_satisfied(content) for constraint in self.constraints)

    def contains(self, point: Mapping[str, Any]) -> bool:
        """Whether a point from elsewhere could have been drawn here."""
        if set(point) != {key for key in self.domains if self.is_active(key, self.keep_active(point))}:
            return False
        return all(self.domains[key].contains(value) for key, value in point.items()) and self.satisfies_constraints(
            dict(point)
        )

    def grid(self) -> list[Overrides]:
        """Every combination of the exhaustive domains that the constraints on them alone allow; [{}] without any."""
        lists = {key: domain.corner_values() for key, domain in self.domains.items() if domain.exhaustive}
        points = [
            self.keep_active(dict(zip(lists, values, strict=True))) for values in itertools.product(*lists.values())
        ]
        once = list({same(point): point for point in points}.values())
        drawn = [key for key, domain in self.domains.items() if not domain.exhaustive]
        fixed = [each for each in self.constraints if not any(touches(each, key) for key in drawn)]
        if not fixed:
            return once
        allowed = [point for point in once if all(each.is_satisfied(self.content(point)) for each in fixed)]
        if not allowed:
            raise ValueError(f"constraints: no combination of the grid keeps {' and '.join(map(repr, fixed))}")
        return allowed

    def sample(self, combination: Overrides, seed: tuple[int, ...]) -> Overrides:
        """A point with this combination of the grids; the same for the same seed.

        Raises:
            ConfigError: the constraints refused as many draws as there are tries.
        """
        for attempt in range(TRIES):
            # Every key draws, there or not: so two arms differ in nothing but what makes them arms.
            random = np.random.default_rng(seed if attempt == 0 else (*seed, attempt))
            drawn = {key: domain.sample(random) for key, domain in self.domains.items() if not domain.exhaustive}
            point = self.keep_active({**drawn, **combination})
            if self.satisfies_constraints(point):
                return point
        raise self.sampling_error(combination)

    def sampling_error(self, combination: Overrides) -> ConfigError:
        """The fault to raise where no draw keeps the constraints."""
        at = f" at {said(combination)}" if combination else ""
        rules = ", ".join(f"'{each}'" for each in self.constraints)
        return ConfigError(f"constraints: {TRIES} draws{at} kept none of them inside {rules}; widen the space or them")

    def corners(self, most: int = 512) -> Iterator[Overrides]:
        """Points that stand for all: every combination of listed values, at both ends of every range.

        A key with a condition is there in some and not in others. Where the lists have more than `most` combinations,
        each value is tried once with the first of all others. Corners that a constraint refuses are left out, for no
        trial will stand there; points inside stand in for them.
        """
        lists = {key: domain.corner_values() for key, domain in self.domains.items() if isinstance(domain, Choice)}
        ends = {key: domain.corner_values() for key, domain in self.domains.items() if not isinstance(domain, Choice)}
        seen: set[str] = set()
        for combination in self._combinations(lists, most):
            for end in (0, -1) if ends else (0,):
                point = self.keep_active({**combination, **{key: values[end] for key, values in ends.items()}})
                if same(point) not in seen and self.satisfies_constraints(point):
                    seen.add(same(point))
                    yield point
        if self.constraints:
            for combination in self.grid()[:most]:
                for number in range(8):
                    point = self.sample(combination, (0, number))
                    if same(point) not in seen:
                        seen.add(same(point))
                        yield point

    def _combinations(self, lists: dict[str, list[Any]], most: int) -> Iterator[Overrides]:
        if math.prod(len(values) for values in lists.values()) <= most:
            for values in itertools.product(*lists.values()):
                yield dict(zip(lists, values, strict=True))
            return
        first = {key: values[0] for key, values in lists.items()}
        for key in self.domains:
            for value in lists.get(key, [None]):
                yield {**first, **self._open(key), **({key: value} if key in lists else {})}

    def _open(self, key: str) -> Overrides:
        """Values under which a key is there."""
        found: Overrides = {}
        for other, wanted in self.domains[key].when.items():
            found.update(self._open(other))
            found[other] = next(v for v in self.domains[other].arguments if chosen(v) in wanted)
        return found

    def check_constraints(self, points: Sequence[Overrides]) -> None:
        """Refuse a constraint that could never matter; `points` stand for the whole region.

        Raises:
            ValueError: a key that no experiment of the sweep has, or none that the space changes.
        """
        for constraint in self.constraints:
            if not any(touches(constraint, key) for key in self.domains):
                raise ValueError(
                    f"constraints: '{constraint}' speaks of no key of the space: {', '.join(self.domains)}"
                )
            missing = set.intersection(*(constraint.unknown(self.content(point)) for point in points))
            if missing:
                raise ValueError(f"constraints: '{constraint}': no experiment of the sweep has {min(missing)}")


def touches(constraint: Constraint, key: str) -> bool:
    """Whether a key of the space is, holds or stands inside a key of a constraint."""
    return any(f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.") for other in constraint.keys)


def said(point: Mapping[str, Any]) -> str:
    """A point in one line: `model.cell=gru, optimizer=sgd(lr=0.1)`."""
    return ", ".join(f"{key}={spelled(value)}" for key, value in point.items())


def spelled(value: Any) -> str:
    """A value as a person names it; a whole section by its name and what it sets."""
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key}={spelled(inner)}" for key, inner in value.items() if key != "name")
        return f"{value.get('name', '')}({inside})" if inside or "name" not in value else str(value["name"])
    return f"{value:.3g}" if isinstance(value, float) else str(value)
