"""A stack of cells: layers, directions, dilation, skips and dropout, aware of padding."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from lstm_lab.cells import Cell
from lstm_lab.cells.base import CellState
from lstm_lab.config.registry import Named
from lstm_lab.kernels.lengths import reverse_padded
from lstm_lab.models.dilation import dilated
from lstm_lab.models.initialization import LearnedInitialState, WeightInit
from lstm_lab.models.recurrence import Recurrence
from lstm_lab.models.segments import Segments
from lstm_lab.models.sites import Place, Site
from lstm_lab.models.skip import NoSkip
from lstm_lab.models.state import EncoderState, map_cell_state


class Encoded(NamedTuple):
    """What an encoder computes for a batch."""

    outputs: Tensor
    """(B, T, D) of the top layer, zero on padding; D = H, or 2 H for both directions."""
    final: Tensor
    """(B, D) the output of each direction after the last step it reads: forward at the end, backward at the start."""
    state: EncoderState
    """After the last step of each sample."""
    lengths: Tensor
    """(B,) valid steps."""


class Encoder(nn.Module):
    """`num_layers` layers of one cell, in one direction or both.

    Args:
        cell: config of the cell, built once for each layer and direction.
        input_size: I, from the data.
        hidden_size: H of every cell.
        dilation: layer k (0, 1, ...) takes its state from dilation^k steps back.
        skip: config of how the input of each layer but the first bypasses it.
        init: how weights are initialised.
        learn_initial_state: whether the state before the first step is a parameter; a state that is passed replaces it.
        input_dropout, between_dropout: share of values zeroed before the first layer, and between layers.
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
        cells: list[list[Cell]] = [
            [cell.build(input_size if layer == 0 else self.output_size, hidden_size) for _ in range(directions)]
            for layer in range(num_layers)
        ]
        self.layers = nn.ModuleList(map(nn.ModuleList, cells))
        self.recurrences = nn.ModuleList(nn.ModuleList(Recurrence() for _ in layer) for layer in cells)
        (init or WeightInit()).apply(built for layer in cells for built in layer)
        self.starts: nn.ModuleList | None = None
        if learn_initial_state:
            self.starts = nn.ModuleList(nn.ModuleList(map(LearnedInitialState, layer)) for layer in cells)
        skip = skip or NoSkip.Config()
        self.plain = dilation == 1 and isinstance(skip, NoSkip.Config)
        self.skips = nn.ModuleList(skip.build(self.output_size) for _ in range(num_layers - 1))
        self.sites = nn.ModuleList(
            Site(Place.BETWEEN, between_dropout) if layer else Site(Place.INPUT, input_dropout)
            for layer in range(num_layers)
        )

    def forward(self, x: Tensor, lengths: Tensor, state: EncoderState | None = None) -> Encoded:
        """Read a padded batch.

        Args:
            x: (B, T, I)
            lengths: (B,)
            state: as returned for the chunk before; None for the initial state.

        Raises:
            ValueError: a state in both directions, for the backward pass starts at the end of the sequence.
        """
        if state is not None and self.bidirectional:
            raise ValueError("a state cannot be carried over chunks in both directions: the backward pass starts later")
        states: list[tuple[CellState, ...]] = []
        for layer, site in enumerate(self.sites):
            y, ends = self._layer(layer, site(x), lengths, None if state is None else state[layer])
            x = self.skips[layer - 1](x, y) if layer else y
            states.append(ends)
        if len(self.layers) == 1 or self.plain:
            final = _joined([end.h for end in states[-1]])  # Cheaper than to look it up in the outputs.
        else:
            final = self._final(x, lengths)
        return Encoded(x, final, tuple(states), lengths)

    def initial_state(self, batch_size: int) -> EncoderState:
        """The state before the first step, on the device and in the dtype of the weights."""
        return tuple(
            tuple(
                self._initial(cell, self._learned(layer, direction), d, batch_size)
                for direction, cell in enumerate(self.cells(layer))
            )
            for layer, d in enumerate(self.dilations)
        )

    def _initial(self, cell: Cell, start: LearnedInitialState | None, d: int, batch_size: int) -> CellState:
        """Of one cell: each tensor (B, width), or (B, d, width) where the dilation d is not 1."""
        x = next(cell.parameters()).new_zeros(batch_size * d, cell.input_size)
        state: CellState = cell.initial_state(x) if start is None else start(cell, x)
        return state if d == 1 else map_cell_state(lambda tensor: tensor.unflatten(0, (batch_size, d)), state)

    def cut(self, segments: Segments) -> None:
        """Read long sequences in segments in training, every layer and direction."""
        for d, layer in zip(self.dilations, cast("list[list[Recurrence]]", self.recurrences), strict=True):
            for recurrence in layer:
                recurrence.segments = segments.folded(d)

    def cells(self, layer: int) -> Iterable[Cell]:
        """The cell of each direction."""
        return cast("Iterable[Cell]", self.layers[layer])

    def _learned(self, layer: int, direction: int) -> LearnedInitialState | None:
        """The learned initial state of a cell, where there is one."""
        return None if self.starts is None else cast("list[list[LearnedInitialState]]", self.starts)[layer][direction]

    def _layer(
        self, layer: int, x: Tensor, lengths: Tensor, state: tuple[CellState, ...] | None
    ) -> tuple[Tensor, tuple[CellState, ...]]:
        """Both directions of one layer: outputs (B, T, D), and the state of each."""
        outputs, ends = [], []
        for direction, cell in enumerate(self.cells(layer)):
            recurrence = cast("list[list[Recurrence]]", self.recurrences)[layer][direction]
            run = partial(self._read, cell, recurrence, self._learned(layer, direction), bool(direction))
            previous = None if state is None else state[direction]
            output, end = dilated(run, self.dilations[layer], x, lengths, previous)
            outputs.append(output)
            ends.append(end)
        return _joined(outputs), tuple(ends)

    def _read(
        self,
        cell: Cell,
        recurrence: Recurrence,
        start: LearnedInitialState | None,
        backward: bool,
        x: Tensor,
        lengths: Tensor,
        state: CellState | None,
    ) -> tuple[Tensor, CellState]:
        """One cell over whole sequences, in its direction."""
        if state is None and start is not None:
            state = start(cell, x)
        if backward and (recurrence.reads_in_order or not cell.supports_reverse):
            outputs, end = recurrence(cell, reverse_padded(x, lengths), lengths, state, False)
            return reverse_padded(outputs, lengths), end
        outputs, end = recurrence(cell, x, lengths, state, backward)
        return outputs, end

    def _final(self, x: Tensor, lengths: Tensor) -> Tensor:
        """(B, D) of outputs (B, T, D): forward at each sample's last step, backward at its first."""
        if not x.shape[1]:
            return x.new_zeros(x.shape[0], x.shape[2])
        last = (lengths.to(x.device) - 1).clamp(min=0)
        end = x[torch.arange(x.shape[0], device=x.device), last]
        H = self.hidden_size
        return torch.cat((end[:, :H], x[:, 0, H:]), 1) if self.bidirectional else end


def _joined(directions: list[Tensor]) -> Tensor:
    """The last dimension of one direction or both; of one, without a copy."""
    return directions[0] if len(directions) == 1 else torch.cat(directions, -1)
