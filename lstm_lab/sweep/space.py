"""Domains of hyperparameters: what a sweep file writes as `{loguniform: [1e-4, 1e-2]}`.

A domain draws from a generator, offers itself to Optuna, and names its corners so that each can be checked beforehand.
"""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic_core import PydanticCustomError, core_schema

from lstm_lab.registry import Registered


class Domain(Registered, kind="domain"):
    """Values that one hyperparameter may take, as its YAML `{name: arguments}` says."""

    exhaustive: ClassVar[bool] = False
    """Every value is tried, not drawn."""

    def __init__(self, arguments: Any) -> None:
        self.arguments = arguments
        self.check()

    @abstractmethod
    def check(self) -> None:
        """Raise ValueError where the arguments make no sense."""

    @abstractmethod
    def draw(self, random: np.random.Generator) -> Any: ...

    @abstractmethod
    def corners(self) -> list[Any]:
        """Values that stand for all others when a space is checked."""

    @abstractmethod
    def ask(self, key: str, trial: Any) -> Any:
        """A value suggested by an Optuna trial."""

    @abstractmethod
    def distribution(self) -> tuple[Any, Any]:
        """Optuna's distribution, and the function from our value to Optuna's."""

    def __repr__(self) -> str:
        return f"{{{self.name}: {self.arguments}}}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Domain) and (self.name, self.arguments) == (other.name, other.arguments)

    def __hash__(self) -> int:
        return hash(repr(self))


class Choice(Domain, name="choice"):
    """One of a list, each equally likely."""

    def check(self) -> None:
        if not isinstance(self.arguments, list) or not self.arguments:
            raise ValueError(f"must be a list of values, as in {{{self.name}: [lstm, gru]}}, got {self.arguments!r}")

    def draw(self, random: np.random.Generator) -> Any:
        return self.arguments[int(random.integers(len(self.arguments)))]

    def corners(self) -> list[Any]:
        return list(self.arguments)

    def ask(self, key: str, trial: Any) -> Any:
        # By index, because a value may be a whole section.
        return self.arguments[trial.suggest_categorical(key, list(range(len(self.arguments))))]

    def distribution(self) -> tuple[Any, Any]:
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(list(range(len(self.arguments)))), self.arguments.index


class Grid(Choice, name="grid"):
    """Every one of a list, crossed with the other grids."""

    exhaustive = True


class Range(Domain):
    """Base of the domains between two bounds."""

    log: ClassVar[bool] = False
    whole: ClassVar[bool] = False

    def check(self) -> None:
        bounds = self.arguments

        def fits(bound: Any) -> bool:
            return (
                isinstance(bound, int if self.whole else (int, float))
                and type(bound) is not bool
                and math.isfinite(bound)
            )

        if not isinstance(bounds, list) or len(bounds) != 2 or not all(map(fits, bounds)):
            raise ValueError(f"must be [low, high] of {'whole ' if self.whole else ''}numbers, got {self.arguments!r}")
        low, high = bounds
        if low >= high:
            raise ValueError(f"low must be below high, got {bounds!r}")
        if self.log and low <= 0:
            raise ValueError(f"low must be above 0 on a log scale, got {low}")

    def corners(self) -> list[Any]:
        return list(self.arguments)


class Uniform(Range, name="uniform"):
    """A number between two bounds."""

    def draw(self, random: np.random.Generator) -> float:
        return float(random.uniform(*self.arguments))

    def ask(self, key: str, trial: Any) -> float:
        return trial.suggest_float(key, *self.arguments, log=self.log)

    def distribution(self) -> tuple[Any, Any]:
        from optuna.distributions import FloatDistribution

        low, high = self.arguments
        return FloatDistribution(float(low), float(high), log=self.log), float


class LogUniform(Uniform, name="loguniform"):
    """A number between two bounds, each decade equally likely."""

    log = True

    def draw(self, random: np.random.Generator) -> float:
        low, high = self.arguments
        return float(np.exp(random.uniform(np.log(low), np.log(high))))


class RandInt(Range, name="randint"):
    """A whole number between two bounds, both included."""

    whole = True

    def draw(self, random: np.random.Generator) -> int:
        low, high = self.arguments
        return int(random.integers(low, high + 1))

    def ask(self, key: str, trial: Any) -> int:
        return trial.suggest_int(key, *self.arguments)

    def distribution(self) -> tuple[Any, Any]:
        from optuna.distributions import IntDistribution

        return IntDistribution(*self.arguments), int


class InYaml:
    """Annotation: `{loguniform: [1e-4, 1e-2]}` <-> `LogUniform([1e-4, 1e-2])`."""

    @staticmethod
    def read(value: Any) -> Domain:
        if isinstance(value, Domain):
            return value
        members = Domain.members
        if not isinstance(value, dict) or len(value) != 1 or next(iter(value)) not in members:
            raise PydanticCustomError(
                "value_error",
                "must be one domain, as in {example}, got {got}; there are: {names}",
                {"example": "{loguniform: [1e-4, 1e-2]}", "got": repr(value), "names": ", ".join(sorted(members))},
            )
        ((name, arguments),) = value.items()
        return members[name](arguments)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.read,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda d: {d.name: d.arguments}),
        )

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        arms = [
            {
                "type": "object",
                "additionalProperties": False,
                "required": [name],
                "properties": {name: {"type": "array", "description": (member.__doc__ or "").strip()}},
            }
            for name, member in Domain.members.items()
        ]
        return {"anyOf": arms}


Point = dict[str, Any]
"""Dotted key -> value."""


def in_order(point: Mapping[str, Any]) -> Point:
    """Sections before what is inside them, so that `model.cell` is chosen before `model.cell.forget_bias` is set."""
    return dict(sorted(point.items(), key=lambda item: item[0].count(".")))


def corners(space: Mapping[str, Domain], most: int = 512) -> Iterator[Point]:
    """Points that stand for the whole space: every combination of listed values, at both ends of every range.

    Where the lists have more than `most` combinations, each value is tried once with the first of all others.
    """
    lists = {key: domain.corners() for key, domain in space.items() if isinstance(domain, Choice)}
    ends = {key: domain.corners() for key, domain in space.items() if not isinstance(domain, Choice)}
    if math.prod(len(values) for values in lists.values()) <= most:
        combinations: Iterator[Point] = (
            dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())
        )
    else:
        first = {key: values[0] for key, values in lists.items()}
        combinations = ({**first, key: value} for key, values in lists.items() for value in values)
    for combination in combinations:
        for end in (0, -1) if ends else (0,):
            yield in_order({**combination, **{key: values[end] for key, values in ends.items()}})


def grid(space: Mapping[str, Domain]) -> list[Point]:
    """Every combination of the exhaustive domains; one empty point if there are none."""
    lists = {key: domain.corners() for key, domain in space.items() if domain.exhaustive}
    return [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]
