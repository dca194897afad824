"""How large a model may be: its hidden size from a number of parameters."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from lstm_lab.config import ConfigError

FURTHEST = 4096
"""Where to stop looking for a first size that a cell accepts."""


def largest(build: Callable[[int], nn.Module], budget: int) -> int:
    """The largest hidden size whose model has at most `budget` parameters.

    Args:
        build: hidden size -> model; called without memory for weights. A size that it refuses (ValueError) is passed
            over: a cell may want multiples of something.

    Raises:
        ConfigError: even the smallest model is larger.
        ValueError: the model's own, where it refuses every size.
    """
    fits, low, high = 0, 1, 2
    while True:  # Double until a model is too large.
        found = _first(build, low, high, raising=not fits and high > FURTHEST)
        if found is not None and found[1] > budget:
            break
        fits, low, high = found[0] if found else fits, high, 2 * high
    if not fits:
        raise ConfigError(
            f"model.max_parameters={budget}: too few: with hidden_size={found[0]} the model has {found[1]}; "
            f"write at least {found[1]}, or choose a smaller embedding, depth or cell"
        )
    high = found[0]  # From here on: `fits` is small enough, `high` is too large.
    while high - fits > 1:
        middle = (fits + high) // 2
        found = _first(build, middle, high)
        if found is None or found[1] > budget:
            high = middle
        else:
            fits = found[0]
    return fits


def count(model: nn.Module) -> int:
    """Numbers that training adjusts."""
    return sum(parameter.numel() for parameter in model.parameters())


def _first(build: Callable[[int], nn.Module], low: int, high: int, raising: bool = False) -> tuple[int, int] | None:
    """The smallest size in low..high - 1 that can be built, and its parameters; None where none can."""
    refused: ValueError | None = None
    for size in range(low, high):
        try:
            with torch.device("meta"):
                return size, count(build(size))
        except ValueError as error:
            refused = error
    if raising and refused is not None:
        raise refused
    return None
