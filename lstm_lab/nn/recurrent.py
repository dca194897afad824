"""The layer behind `LSTM`, `GRU` and `RNN`: the interface of torch's over any cell. Shapes: `lstm_lab.nn`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, ClassVar, Self, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import lstm_lab.cells.gru
import lstm_lab.cells.lstm
import lstm_lab.cells.rnn
from lstm_lab.cells import Cell
from lstm_lab.cells.base import CellState
from lstm_lab.config import Config
from lstm_lab.config.registry import Named, OneOf
from lstm_lab.config.validation import validate
from lstm_lab.kernels.lengths import reverse_padded

CellChoice = str | Mapping[str, object] | Named
"""A registered cell: its name, a mapping with `name` and its options, or its Config."""
State = Tensor | CellState
"""What a layer returns: the parts of a state, each (D * L, B, width); of a state of one part, the part."""
Parts = Tensor | Iterable[Tensor]
"""What a layer takes: the same, as any iterable."""
TORCH_LAYERS: dict[type[nn.RNNBase], type[Cell]] = {
    nn.LSTM: lstm_lab.cells.lstm.LSTM,
    nn.GRU: lstm_lab.cells.gru.GRU,
    nn.RNN: lstm_lab.cells.rnn.RNN,
}
"""Layers of torch -> the cell that computes the same from the same weights."""


class _CellOption(Config):
    """Validates the argument `cell`."""

    cell: Annotated[Cell.Config, OneOf(Cell)]


class RecurrentLayer(nn.Module):
    """Layers of one recurrent cell with the interface of torch.nn.LSTM.

    `LSTM`, `GRU` and `RNN` differ only in the cell that they take where none is named.

    Args:
        input_size: I, features of each step.
        hidden_size: H, units of each cell.
        num_layers: L, stacked layers.
        bias: only True: the cells of lstm_lab have biases.
        batch_first: whether batched tensors are (B, T, ...) instead of (T, B, ...). States are (D * L, B, ...) always.
        dropout: share of the values zeroed, in training, between one layer and the next.
        bidirectional: whether each layer reads in both directions.
        device, dtype: of the parameters.
        cell: any registered cell (`lstm-lab list`): "peephole", {"name": "odyssey", "variant": "cifg"}, or its Config.

    Parameters start as the cell defines it. For "lstm" that is as in torch, but for the bias of the forget gate, which
    starts at 1 (`cell={"name": "lstm", "forget_bias": 0.0}` for another value).

    With the cells "lstm", "gru" and "rnn" the state_dict of the torch layer of that name loads, also within a larger
    model's, and gives torch's outputs and gradients; `from_torch` does both. Names in its own state_dict are
    `layers.<layer>.<direction>.<parameter of the cell>`, which are those of the encoder in a trained run's model.

    deepcopy and pickle work. `torch.export.export` records the cell's step once for each time step, in torch operations
    alone: T is fixed, B may be dynamic, and neither `lengths` nor a PackedSequence can be recorded. `torch.compile`
    runs, with the native engine outside its graph, so that nothing is gained. `torch.jit` does not work.

    Raises:
        ValueError: an argument that is out of range or not supported.
        ConfigError: `cell` names no registered cell, or has a wrong option.
    """

    default_cell: ClassVar[str] = "lstm"
    """The cell where none is named."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        cell: CellChoice | None = None,
    ) -> None:
        super().__init__()
        where = f"lab.nn.{type(self).__name__}"
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
            if not isinstance(size, int) or size < 1:
                raise ValueError(f"{where}: {name} must be an integer of at least 1, got {size!r}")
        if not 0 <= dropout <= 1:
            raise ValueError(f"{where}: dropout must be between 0 and 1, got {dropout}")
        if not bias:
            raise ValueError(f"{where}: bias=False is not supported: cells have biases; leave it out")
        if proj_size:
            raise ValueError(f"{where}: proj_size={proj_size} is not supported; project with nn.Linear after the layer")
        if dropout and num_layers == 1:
            warnings.warn(
                f"{where}: dropout={dropout} does nothing: it acts between layers, and num_layers is 1", stacklevel=2
            )
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.bidirectional, self.proj_size = True, batch_first, bidirectional, 0
        self.dropout = float(dropout)
        config = validate(_CellOption, {"cell": self.default_cell if cell is None else _plain(cell)}, where).cell
        config.owner.check(config, hidden_size)
        self.cell = config
        directions = range(2 if bidirectional else 1)
        with torch.device(device if device is not None else torch.get_default_device()):
            self.layers = nn.ModuleList(
                nn.ModuleList(
                    config.build(input_size if layer == 0 else len(directions) * hidden_size, hidden_size)
                    for _ in directions
                )
                for layer in range(num_layers)
            )
            start = self._cells[0].initial_state(torch.zeros(1, input_size))
        self._state_class: Callable[..., CellState] = type(start)
        self._fields = start._fields
        self._widths = tuple(part.shape[1] for part in start)
        register: Callable[..., object] = self.register_load_state_dict_pre_hook  # torch gives it no types.
        register(_rename_torch_keys)
        self.to(dtype=dtype)

    @property
    def _cells(self) -> list[Cell]:
        """In the order of h_n: forward and backward of the first layer, then of the next."""
        return [cell for layer in cast(Sequence[Sequence[Cell]], self.layers) for cell in layer]

    @classmethod
    def from_torch(cls, layer: nn.RNNBase) -> Self:
        """A layer with the weights, options, device and dtype of a torch.nn.LSTM, GRU or RNN.

        Raises:
            ValueError: it has proj_size, bias=False or nonlinearity="relu", or is no such layer.
        """
        if type(layer) not in TORCH_LAYERS:
            raise ValueError(f"from_torch: expected torch.nn.LSTM, GRU or RNN, got {type(layer).__name__}")
        if layer.mode == "RNN_RELU":
            raise ValueError("from_torch: nonlinearity='relu' is not supported: cell 'rnn' has tanh")
        weight = layer.get_parameter("weight_ih_l0")
        made = cls(layer.input_size, layer.hidden_size, num_layers=layer.num_layers, bias=layer.bias,
                   batch_first=layer.batch_first, dropout=layer.dropout if layer.num_layers > 1 else 0.0,
                   bidirectional=layer.bidirectional, proj_size=layer.proj_size, device=weight.device,
                   dtype=weight.dtype, cell=TORCH_LAYERS[type(layer)].name)  # fmt: skip
        made.load_state_dict(layer.state_dict())
        return made.train(layer.training)

    def initial_state(self, batch_size: int) -> State:
        """The state that a forward pass without one starts from, in the layout of its second return value."""
        x = next(self.parameters()).new_zeros(batch_size, self.input_size)
        return self._stacked([cell.initial_state(x) for cell in self._cells])

    def flatten_parameters(self) -> None:
        """Does nothing: callers of torch's layers expect the method."""

    def forward(
        self, input: Tensor | PackedSequence, hx: Parts | None = None, *, lengths: Tensor | None = None
    ) -> tuple[Tensor | PackedSequence, State]:
        """Read whole sequences.

        Args:
            input: (T, B, I), or (B, T, I) with `batch_first`; (T, I) for one sequence; or a PackedSequence.
            hx: state before the first step, as returned before; None for the cell's initial state.
            lengths: (B,) valid steps of each sample of a padded tensor, each in 0..T; what lies behind them is never
                read. None: all T.

        Returns:
            Output of the last layer (T, B, D * H) or (B, T, D * H), (T, D * H) for one sequence, zero on padding; a
            PackedSequence for a PackedSequence.

            The state after the last valid step of each sample; the backward direction's is that after the first step.
            A NamedTuple of the cell's state class whose parts are each (D * L, B, width), or (D * L, width) for one
            sequence, forward before backward and lower layers first: `(h_n, c_n)` for every cell with h and c;
            (h, c, i, f, o) for {"name": "odyssey", "variant": "fgr"}. For a cell whose state is h alone, as "gru" and
            "rnn", the tensor h_n itself.

        Raises:
            ValueError: shapes that do not fit.

        >>> import torch
        >>> import lstm_lab as lab
        >>> layer = lab.nn.LSTM(8, 64, num_layers=2, batch_first=True, cell="peephole")
        >>> output, (h_n, c_n) = layer(torch.randn(16, 50, 8))
        >>> output.shape, h_n.shape, c_n.shape
        (torch.Size([16, 50, 64]), torch.Size([2, 16, 64]), torch.Size([2, 16, 64]))
        """
        if torch.compiler.is_exporting() and (isinstance(input, PackedSequence) or lengths is not None):
            raise ValueError("a graph is recorded for sequences of one length: pass a tensor, and no lengths")
        if isinstance(input, PackedSequence):
            if lengths is not None:
                raise ValueError("lengths: a PackedSequence holds them; leave lengths out")
            return self._packed(input, hx)
        x, batched = input, input.dim() == 3
        if input.dim() not in (2, 3):
            raise ValueError(f"input: expected (T, {self.input_size}) or three dimensions, got {tuple(input.shape)}")
        if not batched:
            x = x.unsqueeze(0)
            hx = None if hx is None else self._state_class(*(part.unsqueeze(1) for part in self._parts(hx)))
        elif not self.batch_first:
            x = x.transpose(0, 1)
        if lengths is None:
            lengths = torch.full((x.shape[0],), x.shape[1])
        output, state = self._read(x, lengths, hx)
        if not batched:
            one = [part.squeeze(1) for part in self._parts(state)]
            return output.squeeze(0), self._second(one)
        return output if self.batch_first else output.transpose(0, 1), state

    def _packed(self, packed: PackedSequence, hx: Parts | None) -> tuple[PackedSequence, State]:
        """In the packed order, longest first; states are sorted in and out, as in torch."""
        data, batch_sizes, order, back = packed
        x, lengths = pad_packed_sequence(PackedSequence(data, batch_sizes), batch_first=True)
        if hx is not None and order is not None:
            self._check_state(hx, x.shape[0])
            hx = self._second([part.index_select(1, order) for part in self._parts(hx)])
        output, state = self._read(x, lengths, hx)
        if back is not None:
            state = self._second([part.index_select(1, back) for part in self._parts(state)])
        return PackedSequence(
            pack_padded_sequence(output, lengths, batch_first=True).data, batch_sizes, order, back
        ), state

    def _read(self, x: Tensor, lengths: Tensor, hx: Parts | None) -> tuple[Tensor, State]:
        """x (B, T, I), lengths (B,) -> output (B, T, D * H), and the stacked state."""
        if x.shape[2] != self.input_size:
            raise ValueError(f"input: expected {self.input_size} features in the last dimension, got {x.shape[2]}")
        if hx is not None:
            self._check_state(hx, x.shape[0])
        ends: list[CellState] = []
        for layer in cast(Sequence[Sequence[Cell]], self.layers):
            if ends:
                x = nn.functional.dropout(x, self.dropout, self.training)
            outputs = []
            for reverse, cell in enumerate(layer):
                state = None if hx is None else self._state_class(*(part[len(ends)] for part in self._parts(hx)))
                output, end = _run(cell, x, lengths, state, bool(reverse))
                outputs.append(output)
                ends.append(end)
            x = outputs[0] if len(outputs) == 1 else torch.cat(outputs, 2)
        return x, self._stacked(ends)

    def _stacked(self, states: Sequence[CellState]) -> State:
        """States of all cells -> parts (D * L, B, width)."""
        return self._second([torch.stack(parts) for parts in zip(*states, strict=True)])

    def _second(self, parts: Sequence[Tensor]) -> State:
        """Parts of a state in the form of the second return value."""
        return parts[0] if len(self._widths) == 1 else self._state_class(*parts)

    def _parts(self, hx: Parts) -> Sequence[Tensor]:
        """Parts of a state that was passed: a tensor stands for its only part."""
        parts: Sequence[Tensor] = (hx,) if isinstance(hx, Tensor) else tuple(hx)
        if len(parts) != len(self._widths):
            names = ", ".join(self._fields)
            raise ValueError(
                f"hx: cell '{self.cell.name}' has a state of {len(self._widths)} parts ({names}), got {len(parts)}"
            )
        return parts

    def _check_state(self, hx: Parts, batch_size: int) -> None:
        count = len(self._cells)
        for name, part, width in zip(self._fields, self._parts(hx), self._widths, strict=True):
            if part.shape != (count, batch_size, width):
                raise ValueError(f"hx: {name}: expected {(count, batch_size, width)}, got {tuple(part.shape)}")

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}, cell={self.cell.name}"
        defaults = {"num_layers": 1, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        return text + "".join(f", {k}={getattr(self, k)}" for k, v in defaults.items() if getattr(self, k) != v)


def _plain(cell: CellChoice) -> str | dict[str, object] | Named:
    return dict(cell) if isinstance(cell, Mapping) else cell


def _run(cell: Cell, x: Tensor, lengths: Tensor, state: CellState | None, reverse: bool) -> tuple[Tensor, CellState]:
    """One cell over whole sequences, in its direction."""
    if torch.compiler.is_exporting():
        return _unrolled(cell, x, state, reverse)
    if not reverse:
        output, end = cell(x, lengths, state)
    elif cell.supports_reverse:
        output, end = cell(x, lengths, state, reverse=True)
    else:
        output, end = cell(reverse_padded(x, lengths), lengths, state)
        output = reverse_padded(output, lengths)
    return output, end


def _unrolled(cell: Cell, x: Tensor, state: CellState | None, reverse: bool) -> tuple[Tensor, CellState]:
    """The cell's step once for each time step, without padding: torch operations alone, which a graph can hold."""
    end = cell.initial_state(x) if state is None else state
    outputs = []
    for x_t in reversed(x.unbind(1)) if reverse else x.unbind(1):
        h, end = cell.step(x_t, end)
        outputs.append(h)
    return torch.stack(outputs[::-1] if reverse else outputs, 1), end


def _rename_torch_keys(module: nn.Module, state_dict: dict[str, object], prefix: str, *_: object) -> None:
    """Before loading: `weight_ih_l1_reverse` of torch's layers becomes `layers.1.1.layer.weight_ih_l0`."""
    layer = cast(RecurrentLayer, module)
    if not isinstance(layer.cell, tuple(cell.Config for cell in TORCH_LAYERS.values())):
        return
    for number in range(layer.num_layers):
        for direction, suffix in enumerate(("", "_reverse")):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                key = f"{prefix}{name}_l{number}{suffix}"
                if key in state_dict:
                    state_dict[f"{prefix}layers.{number}.{direction}.layer.{name}_l0"] = state_dict.pop(key)
