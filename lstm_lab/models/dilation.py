"""A layer whose state comes from some steps back, run as several layers whose states come from one step back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

Run = Callable[[Tensor, Tensor, Any], tuple[Tensor, Any]]
"""What `Cell.forward` promises: x, lengths, state or None -> outputs, state."""


def dilated(run: Run, d: int, x: Tensor, lengths: Tensor, state: Any = None) -> tuple[Tensor, Any]:
    """h_t = cell(x_t, h_{t-d}): the steps t, t + d, t + 2d, ... of a sample are a sequence of their own.

    They are folded into the batch, so that the cell sees d B whole sequences of T / d steps (Chang et al. 2017,
    figure 3).

    Args:
        run: the cell over whole sequences.
        x: (B, T, I)
        lengths: (B,)
        state: as returned by the chunk before, each part (B, d, ...); None: none was.

    Returns:
        Outputs (B, T, H), zero on padding, and the state: along d in the order in which the next chunk goes on from it.
    """
    if d == 1:
        return run(x, lengths, state)
    B, T, I = x.shape  # noqa: E741
    steps = -(-T // d)
    folded = pad(x, (0, 0, 0, steps * d - T)).view(B, steps, d, I).transpose(1, 2).reshape(B * d, steps, I)
    turns = torch.arange(d, device=lengths.device)
    lasting = (lengths.unsqueeze(1) + (d - 1) - turns) // d  # (B, d) steps of each
    if state is not None:
        state = type(state)(*(part.flatten(0, 1) for part in state))
    outputs, end = run(folded, lasting.flatten(), state)
    outputs = outputs.view(B, d, steps, -1).transpose(1, 2).reshape(B, steps * d, -1)[:, :T]
    # A sample may end in the middle of a turn: first comes what its next step needs.
    order = ((turns + lengths.unsqueeze(1)) % d).to(x.device)  # (B, d)
    sample = torch.arange(B, device=x.device).unsqueeze(1)
    return outputs, type(end)(*(part.unflatten(0, (B, d))[sample, order] for part in end))
