"""The search spaces of a sweep that was extended by other ones, joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lstm_lab.config import canonical_json
from lstm_lab.records.files import Row
from lstm_lab.sweeps.space.domains import Domain
from lstm_lab.sweeps.space.domains.choice import Choice
from lstm_lab.sweeps.space.domains.ranges import Range


def joined_space(space: Mapping[str, Row], extensions: Sequence[Row]) -> dict[str, tuple[str, Any]]:
    """Hyperparameter -> name and arguments of a domain in which all trials lie.

    Lists have the values of all spaces, and ranges reach from the lowest bound to the highest one. Where the kind of a
    domain has changed, it is the newest.

    Args:
        space: the newest one, as sweep.yaml has it.
        extensions: of about.json.
    """
    changes = [row["changes"]["space"]["old"] for row in extensions if "space" in row["changes"]]
    found: dict[str, tuple[str, Any]] = {}
    for each in (*changes, space):
        for key, domain in each.items():
            name, arguments = next(iter(domain.items()))
            if key in found and found[key][0] == name:
                arguments = _joined(name, found[key][1], arguments)
            found[key] = name, arguments
    return {**{key: found[key] for key in space}, **found}


def _joined(name: str, old: Any, new: Any) -> Any:
    kind = Domain.members.get(name, Domain)
    if issubclass(kind, Choice):
        return list({canonical_json(value): value for value in (*old, *new)}.values())
    if issubclass(kind, Range):
        return [min(old[0], new[0]), max(old[1], new[1]), *new[2:]]
    return new
