"""The search spaces of a sweep that was extended by other ones, joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lstm_lab.records.files import Row
from lstm_lab.sweeps.space.domains import Domain


def joined_space(space: Mapping[str, Row], extensions: Sequence[Row]) -> dict[str, tuple[str, Any]]:
    """Hyperparameter -> name and arguments of a domain in which all trials lie.

    Where the kind of a domain has changed, or a record holds none, it is the newest.

    Args:
        space: the newest one, as sweep.yaml has it.
        extensions: of about.json.
    """
    changes = [row["changes"]["space"]["old"] for row in extensions if "space" in row["changes"]]
    found: dict[str, tuple[str, Any]] = {}
    for each in (*changes, space):
        for key, domain in each.items():
            name, arguments = next(iter(domain.items()))
            if key in found and found[key][0] == name and name in Domain.members:
                arguments = _joined(Domain.members[name], found[key][1], arguments)
            found[key] = name, arguments
    return {**{key: found[key] for key in space}, **found}


def _joined(kind: type[Domain], old: object, new: object) -> object:
    """The arguments of a domain that has all values of two; the newer ones where a record holds no such domain."""
    try:
        return kind(old).joined(kind(new)).arguments
    except ValueError:
        return new
