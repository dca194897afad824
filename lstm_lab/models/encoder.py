"""A stack of cells: depth, direction, dropout sites, aware of padding."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lstm_lab.registry import Named


class Encoded(NamedTuple):
    outputs: Tensor
    """(B, T, D) of the top layer, zero on padding; D = H, or 2 H for both directions."""
    final: Tensor
    """(B, D) what each direction shows after the last step it reads: forward at the end, backward at the start."""
    state: tuple[tuple[Any, ...], ...]
    """One `State` per layer and direction."""


def reverse(x: Tensor, lengths: Tensor) -> Tensor:
    """Turn each sample round within its own length: (B, T, ...) -> (B, T, ...). Padding stays where it is."""
    t = torch.arange(x.shape[1], device=x.device)
    end = lengths.to(x.device).unsqueeze(1)
    index = torch.where(t < end, end - 1 - t, t)  # (B, T)
    return x.gather(1, index.unsqueeze(-1).expand(-1, -1, x.shape[2]))


class Encoder(nn.Module):
    """`depth` layers of one cell, in one direction or both.

    Args:
        cell: config of the cell, built once for each layer and direction.
        input_size: I, from the data.
        hidden_size: H of every cell.
        input_dropout, between_dropout: shares of values zeroed before the first layer, and between layers.
    """

    def __init__(
        self,
        cell: Named,
        *,
        input_size: int,
        hidden_size: int,
        depth: int = 1,
        bidirectional: bool = False,
        input_dropout: float = 0.0,
        between_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.bidirectional = bidirectional
        directions = 2 if bidirectional else 1
        self.output_size = hidden_size * directions
        self.layers = nn.ModuleList(
            nn.ModuleList(
                cell.build(input_size if layer == 0 else self.output_size, hidden_size) for _ in range(directions)
            )
            for layer in range(depth)
        )
        self.dropouts = nn.ModuleList(
            nn.Dropout(input_dropout if layer == 0 else between_dropout) for layer in range(depth)
        )

    def forward(self, x: Tensor, lengths: Tensor, state: Any = None) -> Encoded:
        """x (B, T, I), lengths (B,), state as returned before -> `Encoded`."""
        if state is not None and self.bidirectional:
            raise ValueError("a state cannot be carried over chunks in both directions: the backward pass starts later")
        final, states = x, []
        layers: list[Any] = list(self.layers)
        for depth, (cells, dropout) in enumerate(zip(layers, self.dropouts, strict=True)):
            x = dropout(x)
            outputs, finals, ends = [], [], []
            for backward, cell in enumerate(cells):
                start = None if state is None else state[depth][backward]
                seen, end = cell(reverse(x, lengths) if backward else x, lengths, start)
                outputs.append(reverse(seen, lengths) if backward else seen)
                finals.append(end.h)
                ends.append(end)
            x, final = torch.cat(outputs, -1), torch.cat(finals, -1)
            states.append(tuple(ends))
        return Encoded(x, final, tuple(states))
