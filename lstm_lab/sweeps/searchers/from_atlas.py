"""The portfolio of the atlas inside a search space."""

from __future__ import annotations

import math
from typing import Any

from lstm_lab.atlas import greedy, read_atlas
from lstm_lab.config import canonical_json
from lstm_lab.records.run_record import finite
from lstm_lab.sweeps.searchers.base import Searcher
from lstm_lab.sweeps.space.domains import Domain, Overrides
from lstm_lab.sweeps.space.domains.base import condition_value
from lstm_lab.sweeps.space.domains.choice import Choice
from lstm_lab.sweeps.space.domains.ranges import Range
from lstm_lab.sweeps.space.search_space import SearchSpace

KEY = "atlas"
"""Value of `warm_start` that stands for it."""
FIRST = 8
"""Configurations of the portfolio that a searcher begins with then."""


def check_space(space: SearchSpace, where: str) -> None:
    """Refuse a space in which the portfolio has nothing to choose.

    Args:
        where: the key that asks for it, for the message.

    Raises:
        ValueError: in one line.
    """
    known = dict.fromkeys(key for each in read_atlas().configurations for key in each)
    if not [key for key, domain in space.domains.items() if key in known and not domain.exhaustive]:
        raise ValueError(f"{where}: the atlas varies {', '.join(known)}, and the space samples none of them: add one, "
                         "or choose another searcher")  # fmt: skip


def check_warm_start(searcher: Searcher, space: SearchSpace) -> None:
    """Refuse `warm_start: atlas` where it cannot be.

    Raises:
        ValueError: in one line.
    """
    if not searcher.takes_first:
        raise ValueError(f"warm_start: {KEY}: searcher '{searcher.name}' cannot begin with given configurations; write "
                         "searcher: portfolio, or searcher: optuna")  # fmt: skip
    check_space(space, f"warm_start: {KEY}")


def portfolio(space: SearchSpace, seed: int, fixed: Overrides) -> list[Overrides]:
    """The configurations of the portfolio, best first, each moved to the nearest values of a space, and each once.

    What the atlas does not vary, or the space has no near value of, is drawn at random.

    Args:
        seed: of what is drawn.
        fixed: values of the exhaustive domains.
    """
    atlas, found = read_atlas(), dict[str, Overrides]()
    free = SearchSpace(space.domains)
    for place, number in enumerate(greedy(atlas.regret)):
        chosen = {
            key: near[0]
            for key, value in atlas.configurations[number].items()
            if key in space.domains and (near := nearest(space.domains[key], value))
        }
        overrides = free.sample((seed, place), {**chosen, **fixed})
        if space.contains(overrides):
            found.setdefault(canonical_json(chosen), overrides)
    return list(found.values())


def nearest(domain: Domain, value: Any) -> list[Any]:
    """The value of a domain that is nearest to one of the atlas, by its logarithm where both are positive; else []."""
    if domain.contains(value):
        return [value]
    if isinstance(domain, Choice):
        same = [each for each in domain.arguments if condition_value(each) == value]
        numbers = [each for each in domain.arguments if finite(each)] if finite(value) else []
        return same or ([min(numbers, key=lambda each: _distance(each, value))] if numbers else [])
    if isinstance(domain, Range) and finite(value):
        low, high = domain.bounds
        inside = min(max(value, low), high)
        return [inside] if domain.contains(inside) else []
    return []


def _distance(one: float, other: float) -> float:
    return abs(math.log(one / other)) if min(one, other) > 0 else abs(one - other)
