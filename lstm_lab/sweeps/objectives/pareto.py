"""Which of several points no other one dominates."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

Point = Sequence[float]


def dominates(one: Point, other: Point) -> bool:
    """Whether a point is nowhere worse than another, and somewhere better; less is better."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and any(a < b for a, b in zip(one, other, strict=True))


def pareto_fronts(points: Sequence[Point]) -> list[int]:
    """The number of the front that each point is on: 1 for those that no other point dominates.

    The others are on the front that they would be on without the fronts before (non-dominated sorting, Deb et al. 2002;
    by the binary search of Zhang et al. 2015). Equal points are on one front.

    Args:
        points: less is better in each coordinate.
    """
    found, fronts = [0] * len(points), list[list[Point]]()
    # In this order a point is dominated by points before it alone.
    for index in sorted(range(len(points)), key=lambda i: tuple(points[i])):
        point = points[index]
        number = bisect_left(
            fronts, True, key=lambda front: not any(dominates(each, point) for each in reversed(front))
        )
        if number == len(fronts):
            fronts.append([])
        fronts[number].append(point)
        found[index] = number + 1
    return found
