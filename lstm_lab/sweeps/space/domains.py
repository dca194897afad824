"""Domains of hyperparameters: what a sweep file writes as `{loguniform: [1e-4, 1e-2]}`.

A domain draws from a generator, offers itself to Optuna, and names its corners so that each can be checked beforehand.
With `when: {model.cell: lstm}` its key is there only where the other key takes that value.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from lstm_lab.registry import Registered

Overrides = dict[str, Any]
"""Dotted key -> value."""


class Domain(Registered, kind="domain"):
    """Values that one hyperparameter may take, as its YAML `{name: arguments}` says.

    Args:
        arguments: as written.
        when: dotted key -> the value that it must have for this one to be there, or a list of such values.

    Raises:
        ValueError: arguments or a condition that make no sense.
    """

    exhaustive: ClassVar[bool] = False
    """Every value is tried, not drawn."""

    def __init__(self, arguments: Any, when: Any = None) -> None:
        self.arguments = arguments
        self.check()
        if when is not None and not (isinstance(when, Mapping) and when):
            raise ValueError(f"when must be a mapping of keys to values, as in {{model.cell: lstm}}, got {when!r}")
        self.when: dict[str, list[Any]] = {
            str(key): value if isinstance(value, list) else [value] for key, value in (when or {}).items()
        }
        self._written = dict(when or {})

    @abstractmethod
    def check(self) -> None:
        """Raise ValueError where the arguments make no sense."""

    @abstractmethod
    def sample(self, random: np.random.Generator) -> Any: ...

    @abstractmethod
    def corner_values(self) -> list[Any]:
        """Values that stand for all others when a space is checked."""

    @abstractmethod
    def contains(self, value: Any) -> bool:
        """Whether a value is one of those that may be drawn."""

    @abstractmethod
    def perturb(self, value: Any, random: np.random.Generator) -> Any:
        """A value a little above or below, still inside."""

    @abstractmethod
    def suggest(self, key: str, trial: Any) -> Any:
        """A value suggested by an Optuna trial."""

    @abstractmethod
    def optuna_distribution(self) -> tuple[Any, Any]:
        """Optuna's distribution, and the function from our value to Optuna's."""

    def to_yaml(self) -> dict[str, Any]:
        """As a sweep file has it."""
        return {self.name: self.arguments, **({"when": self._written} if self._written else {})}

    def __repr__(self) -> str:
        return str(self.to_yaml())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Domain) and self.to_yaml() == other.to_yaml()

    def __hash__(self) -> int:
        return hash(repr(self))


def chosen(value: Any) -> Any:
    """What a condition compares: the value, or the name of a whole section."""
    return value["name"] if isinstance(value, Mapping) and "name" in value else value


class Choice(Domain, name="choice"):
    """One of a list, each equally likely."""

    def check(self) -> None:
        if not isinstance(self.arguments, list) or not self.arguments:
            raise ValueError(f"must be a list of values, as in {{{self.name}: [lstm, gru]}}, got {self.arguments!r}")

    def sample(self, random: np.random.Generator) -> Any:
        return self.arguments[int(random.integers(len(self.arguments)))]

    def corner_values(self) -> list[Any]:
        return list(self.arguments)

    def contains(self, value: Any) -> bool:
        return value in self.arguments

    def perturb(self, value: Any, random: np.random.Generator) -> Any:
        place = self.arguments.index(value) + int(random.choice([-1, 1]))
        return self.arguments[min(max(place, 0), len(self.arguments) - 1)]

    def suggest(self, key: str, trial: Any) -> Any:
        # By index, because a value may be a whole section.
        return self.arguments[trial.suggest_categorical(key, list(range(len(self.arguments))))]

    def optuna_distribution(self) -> tuple[Any, Any]:
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(list(range(len(self.arguments)))), self.arguments.index


class Grid(Choice, name="grid"):
    """Every one of a list, crossed with the other grids."""

    exhaustive = True
