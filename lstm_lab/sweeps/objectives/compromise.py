"""Which configuration of the Pareto front is the best: a declared compromise of its objectives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from lstm_lab.sweeps.objectives.objective import Objective

Weight = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


def _without_name(value: object) -> object:
    """Weights that replaced a name: merged, they have it as a section has that of its class."""
    if isinstance(value, dict) and value.get("name") in ("first", "knee"):
        return {key: weight for key, weight in value.items() if key != "name"} or value["name"]
    return value


Compromise = Annotated[Literal["first", "knee"] | dict[str, Weight], BeforeValidator(_without_name)]
"""`first`: the best by the first objective; `knee`, or weights of objectives: the smallest weighted sum."""


def compromise_weights(compromise: Compromise, objectives: Sequence[Objective]) -> tuple[float, ...] | None:
    """Weights of the objectives, 0 of one that the compromise leaves out; None: the first objective decides."""
    if compromise == "first" or not objectives:
        return None
    if isinstance(compromise, str):
        return (1.0,) * len(objectives)
    return tuple(float(compromise.get(each.name, 0.0)) for each in objectives)


def compromise_scores(
    points: Sequence[Sequence[float]], front: Sequence[Sequence[float]], weights: Sequence[float]
) -> list[float]:
    """The weighted sum of each point, every objective scaled to 0 at the best and 1 at the worst value on the front.

    With two objectives and equal weights it is smallest at the knee: the point of the front that lies farthest below
    the line between its two ends (Das 1999).

    Args:
        points: losses, less is better.
        front: those of the Pareto front, of which there is at least one.
        weights: of the objectives.
    """
    columns = [*zip(*front, strict=True)]
    scales = [(min(column), (max(column) - min(column)) or 1.0) for column in columns]
    total = sum(weights)
    return [
        sum(w * (x - low) / width for w, x, (low, width) in zip(weights, point, scales, strict=True)) / total
        for point in points
    ]


def describe_compromise(compromise: Compromise, first: str) -> str:
    """In a few words: which configuration of the front is the best.

    Args:
        first: the first objective.
    """
    if compromise == "knee":
        return (
            "the knee of the front, the smallest sum of its objectives, each scaled to 0 at its best and 1 at its worst"
        )
    if isinstance(compromise, str):
        return f"the best by {first}"
    weights = ", ".join(f"{name} {weight:g}" for name, weight in compromise.items())
    return f"the smallest weighted sum ({weights}) of objectives, each scaled to 0 at its best and 1 at its worst"
