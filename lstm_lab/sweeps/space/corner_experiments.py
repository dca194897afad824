"""The experiments of a search space's corners, validated before a sweep starts."""

from __future__ import annotations

from collections.abc import Mapping

from lstm_lab import config
from lstm_lab.config import ConfigError
from lstm_lab.config.validation import validate
from lstm_lab.experiment import Experiment
from lstm_lab.sweeps.space.search_space import SearchSpace, format_overrides


def corner_experiments(
    base: Experiment, space: SearchSpace, changes: Mapping[str, object], where: str
) -> list[Experiment]:
    """The experiment of every corner of a search space.

    Args:
        base: what the configurations change.
        changes: dotted keys that are changed in every corner besides.
        where: the sweep file, for messages.

    Raises:
        ConfigError: a corner is invalid, or the constraints are.
    """
    try:
        corners = list(space.corners())
        if not corners:
            rules = ", ".join(str(each) for each in space.constraints)
            raise ValueError(f"constraints: no configuration of the space satisfies {rules}")
        space.check_constraints(corners)
    except (ValueError, ConfigError) as error:
        raise ConfigError(f"{where}: {error}") from None
    content = base.dump()
    return [
        validate(
            Experiment, config.merge(content, {**corner, **changes}), f"{where}: with {format_overrides(corner)}"
        ).with_known_paths(base.known_paths)
        for corner in corners
    ]
