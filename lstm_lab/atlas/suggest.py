"""What the atlas suggests for an experiment."""

from __future__ import annotations

from dataclasses import dataclass

from lstm_lab.atlas.portfolio import greedy
from lstm_lab.atlas.table import Atlas, Overrides
from lstm_lab.config import ConfigError, canonical_json
from lstm_lab.experiment import Experiment


@dataclass(frozen=True)
class Suggestion:
    """A configuration to try."""

    overrides: Overrides
    left_out: tuple[str, ...]
    """Keys of the atlas that the experiment does not take."""
    regret: float
    """Of the whole configuration, mean over the sets of the atlas: 0, the best on every set; 1, no better than the
    median."""


def suggestions(experiment: Experiment, atlas: Atlas, count: int) -> list[Suggestion]:
    """The first configurations of the portfolio that the experiment takes, each once.

    Raises:
        ConfigError: it takes nothing of them.
    """
    regret, found = atlas.regret, dict[str, Suggestion]()
    for number in greedy(regret):
        overrides = fitting(experiment, atlas.configurations[number])
        left_out = tuple(key for key in atlas.configurations[number] if key not in overrides)
        key = canonical_json(overrides)
        if overrides and key not in found:
            found[key] = Suggestion(overrides, left_out, float(regret[:, number].mean()))
        if len(found) == count:
            break
    if not found:
        keys = ", ".join(dict.fromkeys(key for each in atlas.configurations for key in each))
        raise ConfigError(f"model {experiment.model.name} takes none of what the atlas varies: {keys}")
    return list(found.values())


def fitting(experiment: Experiment, configuration: Overrides) -> Overrides:
    """As much of a configuration as an experiment takes."""
    if _is_valid(experiment, configuration):
        return configuration
    taken: Overrides = {}
    for key, value in configuration.items():
        if _is_valid(experiment, {**taken, key: value}):
            taken[key] = value
    return taken


def _is_valid(experiment: Experiment, overrides: Overrides) -> bool:
    try:
        experiment.with_overrides(overrides)
    except ConfigError:
        return False
    return True
