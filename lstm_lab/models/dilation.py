"""A layer whose state comes from d steps back, computed as d interleaved layers of state one step back."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from lstm_lab.cells.base import CellState
from lstm_lab.models.state import map_cell_state

Run = Callable[[Tensor, Tensor, CellState | None], tuple[Tensor, CellState]]
"""As `Cell.forward`: x, lengths, state or None -> outputs, state."""


def dilated(run: Run, d: int, x: Tensor, lengths: Tensor, state: CellState | None = None) -> tuple[Tensor, CellState]:
    """h_t = cell(x_t, h_{t-d}): the steps t, t + d, t + 2d, ... of a sample form a sequence of their own.

    They are folded into the batch, so that the cell sees d B whole sequences of T / d steps (Chang et al. 2017,
    figure 3).

    Args:
        run: the cell over whole sequences.
        d: the dilation.
        x: (B, T, I)
        lengths: (B,)
        state: as returned for the chunk before, each tensor (B, d, ...); None for the initial state.

    Returns:
        Outputs (B, T, H), zero on padding, and the state: along d in the order in which the next chunk needs it.
    """
    if d == 1:
        return run(x, lengths, state)
    B, T, I = x.shape  # noqa: E741
    steps = -(-T // d)
    folded = pad(x, (0, 0, 0, steps * d - T)).view(B, steps, d, I).transpose(1, 2).reshape(B * d, steps, I)
    offsets = torch.arange(d, device=lengths.device)
    folded_lengths = (lengths.unsqueeze(1) + (d - 1) - offsets) // d  # (B, d)
    if state is not None:
        state = map_cell_state(lambda tensor: tensor.flatten(0, 1), state)
    outputs, end = run(folded, folded_lengths.flatten(), state)
    outputs = outputs.view(B, d, steps, -1).transpose(1, 2).reshape(B, steps * d, -1)[:, :T]
    # A sample may end at any offset: first in order is the state that its next step needs.
    order = ((offsets + lengths.unsqueeze(1)) % d).to(x.device)  # (B, d)
    sample = torch.arange(B, device=x.device).unsqueeze(1)
    return outputs, map_cell_state(lambda tensor: tensor.unflatten(0, (B, d))[sample, order], end)
