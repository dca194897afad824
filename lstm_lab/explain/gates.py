"""Statistics of gates and units over sequences."""

from __future__ import annotations

import torch
from torch import Tensor

from lstm_lab.cells.base import TraceableCell
from lstm_lab.explain.observe import ObservedCell
from lstm_lab.kernels.lengths import length_mask
from lstm_lab.records.explanation import GateStatistics

CLOSED, OPEN = 0.1, 0.9
"""A gate below, or above, is saturated: its derivative is less than 0.09, of 0.25 at most."""
ALWAYS = 0.95
"""Share of steps in which a unit's gate is on one side to count as always there."""
CONSTANT = 1e-3
"""Standard deviation over all steps below which a unit counts as dead."""


def gate_statistics(observed: ObservedCell) -> list[GateStatistics]:
    """Of each gate of a cell, over all valid steps; none for a cell without gates."""
    if not isinstance(observed.cell, TraceableCell):
        return []
    activations = observed.stacked()
    return [_statistics(symbol, valid_steps(activations[symbol], observed)) for symbol in observed.cell.gates]


def _statistics(symbol: str, values: Tensor) -> GateStatistics:
    """Of a gate's values (N, units)."""
    closed, opened = (values < CLOSED).float(), (values > OPEN).float()
    return GateStatistics(
        symbol=symbol,
        mean=float(values.mean()),
        closed=float(closed.mean()),
        open=float(opened.mean()),
        unit_means=values.mean(0).tolist(),
        always_closed=_units(closed.mean(0) >= ALWAYS),
        always_open=_units(opened.mean(0) >= ALWAYS),
    )


def dead_units(observed: ObservedCell) -> list[int]:
    """Numbers of the units whose output is the same in every step of every sequence."""
    return _units(valid_steps(observed.outputs(), observed).std(0) < CONSTANT)


def valid_steps(values: Tensor, observed: ObservedCell) -> Tensor:
    """(B, T, width) -> (N, width) without the padding."""
    return values[length_mask(observed.lengths.to(values.device), values.shape[1])]


def _units(chosen: Tensor) -> list[int]:
    return torch.nonzero(chosen).flatten().tolist()
