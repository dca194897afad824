"""Parts of a W&B sweep configuration, and the error for what W&B has no equivalent of.

Each domain, searcher and scheduler converts itself: `to_wandb` is what it is in W&B, `from_wandb` names the
distributions, methods and stopping rules of W&B that it stands for.

Source: https://docs.wandb.ai/guides/sweeps/sweep-config-keys
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

WandbSection = Mapping[str, Any]
"""A section of a W&B sweep file in plain content, to which YAML gives no types: a parameter, or `early_terminate`."""

R = TypeVar("R")
Reader = Callable[[WandbSection], R]
"""From a section of W&B to what stands in a sweep file of this package; KeyError where a required key is missing."""


class NoWandbEquivalent(ValueError):
    """W&B cannot do this. The message is one line with a way out; the caller puts the key before it."""


class WandbSearch(NamedTuple):
    """How W&B chooses configurations: `grid`, `random` or `bayes`, and what is lost by it."""

    method: str
    notes: tuple[str, ...] = ()


class WandbEarlyStopping(NamedTuple):
    """The section `early_terminate` of W&B, None to leave it out, and what is lost by it."""

    early_terminate: dict[str, object] | None
    notes: tuple[str, ...] = ()


def min_max(parameter: WandbSection) -> list[float]:
    """The bounds of a parameter."""
    return [parameter["min"], parameter["max"]]


def multiples_of_q(parameter: WandbSection) -> list[float]:
    """Bounds and step of a parameter whose values W&B rounds to multiples of `q`."""
    q = parameter.get("q", 1)
    return [round(parameter["min"] / q) * q, round(parameter["max"] / q) * q, q]
