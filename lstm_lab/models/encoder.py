"""A stack of cells: layers, direction, dilation, skips, dropout sites, aware of padding."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lstm_lab.kernels.lengths import reverse_padded
from lstm_lab.models.dilation import dilated
from lstm_lab.models.initialization import LearnedInitialState, WeightInit
from lstm_lab.models.skip import Without
from lstm_lab.registry import Named


class Encoded(NamedTuple):
    """What an encoder gives back of a batch."""

    outputs: Tensor
    """(B, T, D) of the top layer, zero on padding; D = H, or 2 H for both directions."""
    final: Tensor
    """(B, D) what each direction shows after the last step it reads: forward at the end, backward at the start."""
    state: tuple[tuple[Any, ...], ...]
    """One `State` per layer and direction; in a dilated layer each part is (B, d, ...) instead of (B, ...)."""


class Encoder(nn.Module):
    """`num_layers` layers of one cell, in one direction or both.

    Args:
        cell: config of the cell, built once for each layer and direction.
        input_size: I, from the data.
        hidden_size: H of every cell.
        dilation: layer k (0, 1, ...) takes its state from dilation^k steps back.
        skip: config of what every layer but the first hands on of its input, past its dropout.
        init: how weights start.
        learn_initial_state: whether training adjusts the state before the first step; a state handed in replaces it.
        input_dropout, between_dropout: shares of values zeroed before the first layer, and between layers.
    """

    def __init__(
        self,
        cell: Named,
        *,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        dilation: int = 1,
        skip: Named | None = None,
        init: WeightInit | None = None,
        learn_initial_state: bool = False,
        input_dropout: float = 0.0,
        between_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.bidirectional, self.hidden_size = bidirectional, hidden_size
        directions = 2 if bidirectional else 1
        self.output_size = hidden_size * directions
        self.dilations = [dilation**layer for layer in range(num_layers)]
        self.layers = nn.ModuleList(
            nn.ModuleList(
                cell.build(input_size if layer == 0 else self.output_size, hidden_size) for _ in range(directions)
            )
            for layer in range(num_layers)
        )
        layers: list[Any] = list(self.layers)
        self.reads_back = layers[0][0].supports_reverse
        (init or WeightInit()).apply(built for cells in layers for built in cells)
        self.starts: Any = None
        if learn_initial_state:
            self.starts = nn.ModuleList(
                nn.ModuleList(LearnedInitialState(built) for built in cells) for cells in layers
            )
        skip = skip or Without.Config()  # type: ignore[call-arg]
        self.plain = dilation == 1 and isinstance(skip, Without.Config)
        self.skips = nn.ModuleList(skip.build(self.output_size) for _ in range(num_layers - 1))
        self.dropouts = nn.ModuleList(
            nn.Dropout(input_dropout if layer == 0 else between_dropout) for layer in range(num_layers)
        )

    def forward(self, x: Tensor, lengths: Tensor, state: Any = None) -> Encoded:
        """x (B, T, I), lengths (B,), state as returned before -> `Encoded`."""
        if state is not None and self.bidirectional:
            raise ValueError("a state cannot be carried over chunks in both directions: the backward pass starts later")
        states = []
        for layer, dropout in enumerate(self.dropouts):
            y, ends = self._layer(layer, dropout(x), lengths, None if state is None else state[layer])
            x = self.skips[layer - 1](x, y) if layer else y
            states.append(ends)
        if len(self.layers) == 1 or self.plain:
            final = torch.cat([end.h for end in ends], -1)  # Cheaper than to look it up in the outputs.
        else:
            final = self._final(x, lengths)
        return Encoded(x, final, tuple(states))

    def _layer(self, layer: int, x: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, tuple[Any, ...]]:
        """Both directions of one layer: outputs (B, T, D), and the state of each."""
        outputs, ends = [], []
        cells: Any = self.layers[layer]
        for backward, cell in enumerate(cells):
            start = self.starts[layer][backward] if self.starts is not None else None
            run = partial(self._read, cell, start, bool(backward))
            seen, end = dilated(run, self.dilations[layer], x, lengths, None if state is None else state[backward])
            outputs.append(seen)
            ends.append(end)
        return torch.cat(outputs, -1), tuple(ends)

    def _read(self, cell: Any, start: Any, backward: bool, x: Tensor, lengths: Tensor, state: Any) -> Any:
        """One cell over whole sequences, in its direction."""
        if state is None and start is not None:
            state = start(cell, x)
        if not backward:
            return cell(x, lengths, state)
        if self.reads_back:
            return cell(x, lengths, state, reverse=True)
        seen, end = cell(reverse_padded(x, lengths), lengths, state)
        return reverse_padded(seen, lengths), end

    def _final(self, x: Tensor, lengths: Tensor) -> Tensor:
        """(B, D) of outputs (B, T, D): forward at each sample's last step, backward at its first."""
        if not x.shape[1]:
            return x.new_zeros(x.shape[0], x.shape[2])
        last = (lengths.to(x.device) - 1).clamp(min=0)
        end = x[torch.arange(len(x), device=x.device), last]
        H = self.hidden_size
        return torch.cat((end[:, :H], x[:, 0, H:]), 1) if self.bidirectional else end
