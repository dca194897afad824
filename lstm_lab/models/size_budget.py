"""The hidden size of a model from a maximum number of parameters."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from lstm_lab.config import ConfigError

MAX_FIRST_SIZE = 4096
"""Where the search for a first hidden size that a cell accepts ends."""


def largest_hidden_size(build: Callable[[int], nn.Module], max_parameters: int) -> int:
    """The largest hidden size whose model has at most `max_parameters` parameters.

    Args:
        build: hidden size -> model; called on the meta device. A size that it refuses (ValueError) is skipped: a cell
            may require multiples of something.

    Raises:
        ConfigError: even the smallest model is larger.
        ValueError: the model's own, where it refuses every size.
    """
    fits, low, high = 0, 1, 2
    while True:  # Double until a model is too large.
        found = _first_buildable(build, low, high, raising=not fits and high > MAX_FIRST_SIZE)
        if found is not None and found[1] > max_parameters:
            break
        fits, low, high = found[0] if found else fits, high, 2 * high
    if not fits:
        raise ConfigError(
            f"model.max_parameters={max_parameters}: too few: with hidden_size={found[0]} the model has {found[1]}; "
            f"set at least {found[1]}, or choose a smaller embedding, num_layers or cell"
        )
    high = found[0]  # From here on `fits` is small enough and `high` is too large.
    while high - fits > 1:
        middle = (fits + high) // 2
        found = _first_buildable(build, middle, high)
        if found is None or found[1] > max_parameters:
            high = middle
        else:
            fits = found[0]
    return fits


def num_parameters(model: nn.Module) -> int:
    """How many numbers training adjusts."""
    return sum(parameter.numel() for parameter in model.parameters())


def _first_buildable(
    build: Callable[[int], nn.Module], low: int, high: int, raising: bool = False
) -> tuple[int, int] | None:
    """The smallest size in low..high - 1 that can be built, and its number of parameters; None where none can."""
    refused: ValueError | None = None
    for size in range(low, high):
        try:
            with torch.device("meta"):
                return size, num_parameters(build(size))
        except ValueError as error:
            refused = error
    if raising and refused is not None:
        raise refused
    return None
