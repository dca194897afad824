"""The state of a stack of cells: layer -> direction -> the cell's own NamedTuple of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from torch import Tensor

from lstm_lab.cells.base import CellState, S

EncoderState = tuple[tuple[CellState, ...], ...]
"""One `CellState` per layer and direction, each tensor (B, width); (B, d, width) in a layer with dilation d."""


def map_cell_state(function: Callable[[Tensor], Tensor], state: S) -> S:
    """A cell's state with `function` applied to each of its tensors."""
    build: Callable[..., S] = type(state)
    return build(*map(function, state))


def map_state(function: Callable[[Tensor], Tensor], state: EncoderState) -> EncoderState:
    """The state with `function` applied to each of its tensors."""
    return tuple(tuple(map_cell_state(function, cell) for cell in layer) for layer in state)


def state_tensors(state: EncoderState) -> list[Tensor]:
    """Every tensor of a state in order, as a checkpoint stores them."""
    return [tensor for layer in state for cell in layer for tensor in cell]


def restore_state(tensors: Iterable[Tensor], form: EncoderState) -> EncoderState:
    """The inverse of `state_tensors`.

    Args:
        form: any state of the same model, such as `initial_state(0)`.
    """
    stored = iter(tensors)
    return map_state(lambda _: next(stored), form)


class StreamState(NamedTuple):
    """What the last batch of a stream left for the next one."""

    state: EncoderState
    ends: Tensor
    """(B,) int64 position in the stream behind each chunk."""
