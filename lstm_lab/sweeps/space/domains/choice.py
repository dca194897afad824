"""Domains that are a list of values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lstm_lab.config import canonical_json
from lstm_lab.sweeps.space.domains.base import Domain, OptunaDistribution
from lstm_lab.sweeps.wandb_format import NoWandbEquivalent

if TYPE_CHECKING:
    from optuna.trial import BaseTrial


class Choice(Domain, name="choice"):
    """One of a list, each equally likely."""

    arguments: list[object]

    def check(self) -> None:
        if not isinstance(self.arguments, list) or not self.arguments:
            raise ValueError(f"must be a list of values, as in {{{self.name}: [lstm, gru]}}, got {self.arguments!r}")

    def sample(self, rng: np.random.Generator) -> object:
        return self.arguments[int(rng.integers(len(self.arguments)))]

    def corner_values(self) -> list[object]:
        return list(self.arguments)

    def contains(self, value: object) -> bool:
        return value in self.arguments

    def joined(self, other: Domain) -> Domain:
        assert isinstance(other, Choice)
        return type(self)([*{canonical_json(value): value for value in (*self.arguments, *other.arguments)}.values()])

    def perturb(self, value: object, rng: np.random.Generator) -> object:
        """The value before or after it in the list."""
        index = self.arguments.index(value) + int(rng.choice([-1, 1]))
        return self.arguments[min(max(index, 0), len(self.arguments) - 1)]

    def suggest(self, key: str, trial: BaseTrial) -> object:
        # By index, because a value may be a whole section.
        return self.arguments[trial.suggest_categorical(key, list(range(len(self.arguments))))]

    def optuna_distribution(self) -> OptunaDistribution:
        from optuna.distributions import CategoricalDistribution

        return OptunaDistribution(CategoricalDistribution(list(range(len(self.arguments)))), self.arguments.index)

    def to_wandb(self) -> dict[str, object]:
        if any(isinstance(value, dict | list) for value in self.arguments):
            raise NoWandbEquivalent("W&B passes single values, not sections; choose among the section's fields instead")
        return {"values": list(self.arguments)}


class Grid(Choice, name="grid"):
    """Every one of a list, combined with every value of the other grids."""

    exhaustive = True
