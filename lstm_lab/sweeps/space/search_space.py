"""The search space of a sweep: a domain for each hyperparameter, conditions among them, constraints over all."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from lstm_lab.config import ConfigError, canonical_json
from lstm_lab.sweeps.space.constraints import Constraint
from lstm_lab.sweeps.space.domains import Domain, Overrides
from lstm_lab.sweeps.space.domains.base import condition_value
from lstm_lab.sweeps.space.domains.choice import Choice

MAX_ATTEMPTS = 1000
"""Samples for one configuration before the constraints count as unsatisfiable."""


def sections_first(overrides: Mapping[str, object]) -> Overrides:
    """Sections before their fields, so that `model.cell` is chosen before `model.cell.forget_bias` is set."""
    return dict(sorted(overrides.items(), key=lambda item: item[0].count(".")))


class SearchSpace:
    """The configurations that a sweep may try.

    Args:
        domains: dotted key -> domain.
        constraints: what every configuration must satisfy.
        resolve: overrides -> the experiment in plain content, with every default; the constraints are evaluated on it.

    Raises:
        ValueError: a condition on a key without a list of values, on a value that the key never takes, or a cycle of
            conditions.
    """

    def __init__(
        self,
        domains: Mapping[str, Domain],
        constraints: Sequence[Constraint] = (),
        resolve: Callable[[Overrides], Mapping[str, object]] = dict,
    ) -> None:
        self.domains, self.constraints, self.resolve = dict(domains), tuple(constraints), resolve
        for key, domain in self.domains.items():
            self._check_condition(key, domain)
        self.order = self._conditions_first()
        """The keys, each after those that its condition depends on."""

    def _check_condition(self, key: str, domain: Domain) -> None:
        for other, required in domain.when.items():
            parent = self.domains.get(other)
            if not isinstance(parent, Choice):
                found = "is a range" if parent else "is not in the space"
                raise ValueError(f"space.{key}: when {other}: it {found}; a condition needs a key with choice or grid")
            values = [condition_value(value) for value in parent.arguments]
            for value in required:
                if value not in values:
                    listed = ", ".join(map(str, values))
                    raise ValueError(f"space.{key}: when {other}: is never {value!r}; it takes: {listed}")
            if domain.exhaustive and not parent.exhaustive:
                raise ValueError(
                    f"space.{key}: a grid cannot depend on {other}, which is sampled; write grid for {other} or choice "
                    f"for {key}"
                )

    def _conditions_first(self) -> list[str]:
        order: list[str] = []
        while len(order) < len(self.domains):
            ready = [k for k, domain in self.domains.items() if k not in order and set(domain.when) <= set(order)]
            if not ready:
                key = next(key for key in self.domains if key not in order)
                raise ValueError(f"space.{key}: its condition depends on itself in a cycle; remove one `when`")
            order += ready
        return order

    def is_active(self, key: str, overrides: Mapping[str, object]) -> bool:
        """Whether the condition of a key is true; `overrides` contain the keys that it depends on."""
        when = self.domains[key].when
        return all(
            other in overrides and condition_value(overrides[other]) in required for other, required in when.items()
        )

    def keep_active(self, values: Mapping[str, object]) -> Overrides:
        """The configuration of a value for each key: values whose condition is false are left out."""
        active: Overrides = {}
        for key in self.order:
            if key in values and self.is_active(key, active):
                active[key] = values[key]
        return sections_first({key: active[key] for key in values if key in active})

    def satisfies_constraints(self, overrides: Overrides) -> bool:
        """Whether a configuration satisfies all constraints."""
        if not self.constraints:
            return True
        experiment = self.resolve(overrides)
        return all(constraint.is_satisfied(experiment) for constraint in self.constraints)

    def contains(self, overrides: Mapping[str, object]) -> bool:
        """Whether a configuration, of another sweep for example, could have been sampled from this space."""
        active = self.keep_active(overrides)
        if set(overrides) != {key for key in self.domains if self.is_active(key, active)}:
            return False
        inside = all(self.domains[key].contains(value) for key, value in overrides.items())
        return inside and self.satisfies_constraints(dict(overrides))

    def grid(self) -> list[Overrides]:
        """Every combination of the exhaustive domains that satisfies the constraints on them; [{}] without any.

        Raises:
            ValueError: no combination does.
        """
        values = {key: domain.corner_values() for key, domain in self.domains.items() if domain.exhaustive}
        combinations = [
            self.keep_active(dict(zip(values, each, strict=True))) for each in itertools.product(*values.values())
        ]
        unique = list({canonical_json(each): each for each in combinations}.values())
        sampled = [key for key, domain in self.domains.items() if not domain.exhaustive]
        fixed = [each for each in self.constraints if not any(each.involves(key) for key in sampled)]
        if not fixed:
            return unique
        allowed = [each for each in unique if all(rule.is_satisfied(self.resolve(each)) for rule in fixed)]
        if not allowed:
            raise ValueError(f"constraints: no combination of the grid satisfies {' and '.join(map(repr, fixed))}")
        return allowed

    def sample(self, seed: tuple[int, ...], fixed: Mapping[str, object] | None = None) -> Overrides:
        """A random configuration, the same for the same seed.

        Args:
            seed: of the random numbers.
            fixed: values of the exhaustive domains, as `grid` lists them.

        Raises:
            ConfigError: no sample of `MAX_ATTEMPTS` satisfied the constraints.
        """
        for attempt in range(MAX_ATTEMPTS):
            # Every key is sampled, active or not: so configurations that differ in a grid value share all others.
            rng = np.random.default_rng(seed if attempt == 0 else (*seed, attempt))
            sampled = {key: domain.sample(rng) for key, domain in self.domains.items() if not domain.exhaustive}
            overrides = self.keep_active({**sampled, **(fixed or {})})
            if self.satisfies_constraints(overrides):
                return overrides
        raise self.sampling_error(fixed or {})

    def sampling_error(self, fixed: Mapping[str, object]) -> ConfigError:
        """The error to raise where no sample satisfies the constraints."""
        with_values = f" with {format_overrides(fixed)}" if fixed else ""
        rules = ", ".join(f"'{each}'" for each in self.constraints)
        return ConfigError(
            f"constraints: none of {MAX_ATTEMPTS} samples{with_values} satisfied {rules}; widen the space or relax them"
        )

    def corners(self, max_combinations: int = 512) -> Iterator[Overrides]:
        """Configurations to check before a sweep starts: all combinations of listed values, at both ends of all ranges.

        Keys with a condition are active in some and not in others. Where the lists have more than `max_combinations`
        combinations, each value is tried once with the first value of all others. Corners that violate a constraint are
        left out, for no trial will have them; random configurations stand in for them.
        """
        lists = {key: domain.corner_values() for key, domain in self.domains.items() if isinstance(domain, Choice)}
        ends = {key: domain.corner_values() for key, domain in self.domains.items() if not isinstance(domain, Choice)}
        seen: set[str] = set()
        for combination in self._combinations(lists, max_combinations):
            for end in (0, -1) if ends else (0,):
                overrides = self.keep_active({**combination, **{key: values[end] for key, values in ends.items()}})
                identity = canonical_json(overrides)
                if identity not in seen and self.satisfies_constraints(overrides):
                    seen.add(identity)
                    yield overrides
        if self.constraints:
            for combination in self.grid()[:max_combinations]:
                for number in range(8):
                    overrides = self.sample((0, number), combination)
                    identity = canonical_json(overrides)
                    if identity not in seen:
                        seen.add(identity)
                        yield overrides

    def _combinations(self, lists: Mapping[str, Sequence[object]], max_combinations: int) -> Iterator[Overrides]:
        if math.prod(len(values) for values in lists.values()) <= max_combinations:
            for values in itertools.product(*lists.values()):
                yield dict(zip(lists, values, strict=True))
            return
        first = {key: values[0] for key, values in lists.items()}
        for key in self.domains:
            for value in lists.get(key, [None]):
                yield {**first, **self._activating(key), **({key: value} if key in lists else {})}

    def _activating(self, key: str) -> Overrides:
        """Values of other keys under which a key is active."""
        found: Overrides = {}
        for other, required in self.domains[key].when.items():
            found.update(self._activating(other))
            found[other] = next(v for v in self.domains[other].corner_values() if condition_value(v) in required)
        return found

    def check_constraints(self, corners: Sequence[Overrides]) -> None:
        """Refuse a constraint that no configuration could violate.

        Args:
            corners: configurations that represent the space.

        Raises:
            ValueError: a key that no experiment of the sweep has, or none that the space changes.
        """
        for constraint in self.constraints:
            if not any(constraint.involves(key) for key in self.domains):
                raise ValueError(f"constraints: '{constraint}' has no key of the space: {', '.join(self.domains)}")
            missing = set.intersection(*(constraint.missing_keys(self.resolve(corner)) for corner in corners))
            if missing:
                raise ValueError(f"constraints: '{constraint}': no experiment of the sweep has {min(missing)}")


def format_overrides(overrides: Mapping[str, object]) -> str:
    """A configuration in one line: `model.cell=gru, optimizer=sgd(lr=0.1)`."""
    return ", ".join(f"{key}={format_value(value)}" for key, value in overrides.items())


def format_value(value: object) -> str:
    """A value in a few characters; a whole section by its name and the fields that it sets."""
    if isinstance(value, Mapping):
        fields = ", ".join(f"{key}={format_value(field)}" for key, field in value.items() if key != "name")
        return f"{value.get('name', '')}({fields})" if fields or "name" not in value else str(value["name"])
    if isinstance(value, list):
        return f"[{', '.join(map(format_value, value))}]"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
