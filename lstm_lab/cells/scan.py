"""Recurrences without products of the state, over whole sequences by a parallel scan (Blelloch 1990)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from lstm_lab.cells.base import Hidden
from lstm_lab.kernels.lengths import length_mask, mask_padding


def scan(keep: Tensor, update: Tensor, start: Tensor, lengths: Tensor) -> Tensor:
    """s_t = keep_t * s_{t-1} + update_t for all t at once, in about 2 log2 T rounds of operations on (B, T, H).

    Two steps in a row are one step of the same form, (keep_1 keep_2, keep_2 update_1 + update_2): pairs of steps are
    joined until one is left. Nothing is divided and no logarithm is taken, so that updates may have any sign.

    Args:
        keep: (B, T, H), within [0, 1].
        update: (B, T, H)
        start: s before the first step, (B, H).
        lengths: (B,) valid steps; in the padding s stays as it is, whatever `keep` and `update` hold there.

    Returns:
        s after each step, (B, T, H).
    """
    if not update.shape[1]:
        return update
    valid = length_mask(lengths.to(update.device), update.shape[1]).unsqueeze(-1)
    keep = torch.where(valid, keep, torch.ones_like(keep))
    update = torch.where(valid, update, torch.zeros_like(update))
    first = torch.addcmul(update[:, :1], keep[:, :1], start.unsqueeze(1))
    return _apply(keep, torch.cat((first, update[:, 1:]), 1))


def at_last_step(values: Tensor, lengths: Tensor, start: Tensor) -> Tensor:
    """The values (B, T, W) of each sample's last valid step, (B, W); those of `start` for a sample without one."""
    end = lengths.to(values.device)
    last = values[torch.arange(len(values), device=values.device), (end - 1).clamp(min=0)]
    return torch.where((end > 0).unsqueeze(1), last, start)


def scan_hidden(keep: Tensor, update: Tensor, lengths: Tensor, state: Hidden) -> tuple[Tensor, Hidden]:
    """`scan` as a cell that carries its output alone returns it: outputs, zero on padding, and the last state."""
    states = scan(keep, update, state.h, lengths)
    return mask_padding(states, lengths), Hidden(states[:, -1] if states.shape[1] else state.h)


class _Context(Protocol):
    saved_tensors: tuple[Tensor, Tensor]

    def save_for_backward(self, *tensors: Tensor) -> None: ...


class _Scan(torch.autograd.Function):
    """s_t = keep_t * s_{t-1} + update_t from s = 0; the gradient is the same recurrence, from the end to the start."""

    @staticmethod
    def forward(ctx: _Context, keep: Tensor, update: Tensor) -> Tensor:
        states = _joined_pairs(keep, update)
        ctx.save_for_backward(keep, states)
        return states

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor, Tensor]:
        keep, states = ctx.saved_tensors
        next_keep = torch.cat((keep[:, 1:], torch.zeros_like(keep[:, :1])), 1)
        d_update = _apply(next_keep.flip(1), gradient.flip(1)).flip(1)
        before = torch.cat((torch.zeros_like(states[:, :1]), states[:, :-1]), 1)
        return d_update * before, d_update


_apply: Callable[[Tensor, Tensor], Tensor] = _Scan.apply


def _joined_pairs(keep: Tensor, update: Tensor) -> Tensor:
    T = update.shape[1]
    if T == 1:
        return update.clone()
    a, b = keep[:, : T - T % 2 : 2], keep[:, 1::2]
    pairs = torch.addcmul(update[:, 1::2], b, update[:, : T - T % 2 : 2])
    states = torch.empty_like(update, memory_format=torch.contiguous_format)
    states[:, 1::2] = ends = _joined_pairs(a * b, pairs)
    states[:, 0] = update[:, 0]
    states[:, 2::2] = torch.addcmul(update[:, 2::2], keep[:, 2::2], ends[:, : (T - 1) // 2])
    return states
