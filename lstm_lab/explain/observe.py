"""What every cell of a model computes in one forward pass: each state with its gradient, and each activation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lstm_lab.cells import Cell
from lstm_lab.cells.base import CellState, TraceableCell, unroll
from lstm_lab.kernels.lengths import reverse_padded
from lstm_lab.models.encoder import Encoder


@dataclass
class ObservedCell:
    """One cell of a model, in the first pass over a batch. Steps are in the order in which the cell reads."""

    name: str
    """As "layer 1", or "layer 1, backward"."""
    cell: Cell
    dilation: int = 1
    """Steps of the sequence in one step of the cell."""
    lengths: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    """(B,) steps that it reads of each sequence."""
    states: list[CellState] = field(default_factory=list)
    """After each step, in the graph of the forward pass; of a sequence that has ended, anything."""
    activations: list[dict[str, Tensor]] = field(default_factory=list)
    """Of each step; empty for a cell that cannot be traced."""

    def stacked(self) -> dict[str, Tensor]:
        """Symbol -> (B, T, width), without gradients."""
        if not self.activations:
            return {}
        names = self.activations[0]
        return {name: torch.stack([step[name].detach() for step in self.activations], 1) for name in names}

    def outputs(self) -> Tensor:
        """(B, T, H) without gradients."""
        return torch.stack([state.h.detach() for state in self.states], 1)


@contextmanager
def observed(model: nn.Module) -> Iterator[list[ObservedCell]]:
    """Observe the cells of every encoder in a model while a batch is passed through it.

    Each cell is then computed step by step by its own definition, which is slower and equal.

    Yields:
        One entry per layer and direction, filled by the first forward pass.
    """
    cells = list(_cells(model))
    handles = [each.cell.register_forward_hook(_Recorder(each), with_kwargs=True) for each in cells]
    try:
        yield cells
    finally:
        for handle in handles:
            handle.remove()


def _cells(model: nn.Module) -> Iterator[ObservedCell]:
    encoders = [module for module in model.modules() if isinstance(module, Encoder)]
    for encoder in encoders:
        for layer, dilation in enumerate(encoder.dilations):
            for direction, cell in enumerate(encoder.cells(layer)):
                name = f"layer {layer + 1}" + (", backward" if direction else "")
                yield ObservedCell(name, cell, dilation)


class _Recorder:
    """A forward hook that computes a cell's output again, by its step, and keeps what each step computes."""

    def __init__(self, observed: ObservedCell) -> None:
        self.observed = observed

    def __call__(self, cell: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: object) -> object:
        found = self.observed
        if found.states:
            return output
        x, lengths, state = args
        reverse = bool(kwargs.get("reverse"))

        def step(x_t: Tensor, before: CellState) -> tuple[Tensor, CellState]:
            if isinstance(found.cell, TraceableCell):
                activations = found.cell.activations(x_t, before)
                h, new = activations["h"], found.cell.state_of(activations)
                found.activations.append(activations)
            else:
                h, new = found.cell.step(x_t, before)
            found.states.append(new)
            return h, new

        found.lengths = lengths
        start = found.cell.initial_state(x) if state is None else state
        outputs, end = unroll(step, reverse_padded(x, lengths) if reverse else x, lengths, start)
        return (reverse_padded(outputs, lengths) if reverse else outputs), end
