"""What every domain of a hyperparameter can do: sample, perturb, describe itself to Optuna and to W&B."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from lstm_lab.config.registry import Registered
from lstm_lab.sweeps.wandb_format import NoWandbEquivalent, Reader

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import BaseTrial

Overrides = dict[str, Any]
"""Dotted key of an experiment -> value: the hyperparameters of one configuration."""


class OptunaDistribution(NamedTuple):
    """Optuna's distribution of a domain, and the function from a value of ours to Optuna's."""

    distribution: BaseDistribution
    encode: Callable[[Any], object]


class Domain(Registered, kind="domain"):
    """Values that one hyperparameter may take, written in YAML as `{name: arguments}`.

    Args:
        arguments: of the domain, as in YAML.
        when: dotted key -> the value that the other hyperparameter must have for this one to be active, or a list of
            such values.

    Raises:
        ValueError: invalid arguments or an invalid condition.
    """

    exhaustive: ClassVar[bool] = False
    """Whether every value is tried in combination with those of the other exhaustive domains, instead of sampled."""
    from_wandb: ClassVar[Mapping[str, Reader[Sequence[object]]]] = {}
    """Distribution of a W&B sweep that this domain stands for -> from W&B's parameter to the arguments."""
    wandb_note: ClassVar[str] = ""
    """How the domain and its counterpart in W&B differ."""

    def __init__(self, arguments: object, when: object = None) -> None:
        self.arguments: object = arguments
        self.check()
        if when is not None and not (isinstance(when, Mapping) and when):
            raise ValueError(f"when must be a mapping of keys to values, as in {{model.cell: lstm}}, got {when!r}")
        self._when: dict[str, object] = dict(when) if isinstance(when, Mapping) else {}
        self.when: dict[str, list[object]] = {
            str(key): value if isinstance(value, list) else [value] for key, value in self._when.items()
        }

    @abstractmethod
    def check(self) -> None:
        """Raise ValueError where the arguments are invalid."""

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> object:
        """A random value."""

    @abstractmethod
    def corner_values(self) -> Sequence[object]:
        """Values with which the experiment is checked before the sweep starts: all of a list, the ends of a range."""

    @abstractmethod
    def contains(self, value: object) -> bool:
        """Whether a value may be sampled from the domain."""

    @abstractmethod
    def perturb(self, value: Any, rng: np.random.Generator) -> object:
        """A value a little above or below, still in the domain."""

    @abstractmethod
    def suggest(self, key: str, trial: BaseTrial) -> object:
        """A value suggested by an Optuna trial."""

    @abstractmethod
    def optuna_distribution(self) -> OptunaDistribution:
        """The domain as Optuna models it."""

    def joined(self, other: Domain) -> Domain:
        """A domain of the same kind in which all values of both lie; where there is none, the other one."""
        return other

    def to_wandb(self) -> dict[str, object]:
        """The domain as a parameter of a W&B sweep.

        Raises:
            NoWandbEquivalent: W&B has no such distribution.
        """
        raise NoWandbEquivalent(f"W&B has no domain like '{self.name}'; write choice with a list of values")

    def to_yaml(self) -> dict[str, object]:
        """The domain as a sweep file writes it."""
        return {self.name: self.arguments, **({"when": self._when} if self._when else {})}

    def __repr__(self) -> str:
        return str(self.to_yaml())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Domain) and self.to_yaml() == other.to_yaml()

    def __hash__(self) -> int:
        return hash(repr(self))


def condition_value(value: object) -> object:
    """What a condition compares: the value, or the name of a whole section."""
    return value["name"] if isinstance(value, Mapping) and "name" in value else value
