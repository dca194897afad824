"""Recurrent layers: the operators LSTM, GRU and RNN of ONNX where a cell is one of them, else Scan over its step.

Values are time-major here, (T, B, ...), as ONNX has them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import singledispatch
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lstm_lab.cells import Cell
from lstm_lab.cells.gru import GRU
from lstm_lab.cells.lstm import LSTM
from lstm_lab.cells.odyssey import OdysseyLSTM
from lstm_lab.cells.peephole import PeepholeLSTM
from lstm_lab.cells.rnn import RNN
from lstm_lab.cells.textbook import TextbookLSTM
from lstm_lab.cells.torch_layer import rnn_weights
from lstm_lab.deploy.onnx_writer.graph import Graph, tensor
from lstm_lab.deploy.onnx_writer.rows import Rows, write_rows
from lstm_lab.kernels import PLAIN, RecurrentNoise, Variant
from lstm_lab.kernels.noise import NoiseWeights

FLOAT = np.dtype(np.float32)


class Sequences(NamedTuple):
    """Padded sequences in a graph."""

    x: str
    """(T, B, D)"""
    lengths: str
    """(B,) int64"""


class Layer(NamedTuple):
    """What an operator of ONNX needs of a cell, in its own layout and order of gates."""

    kind: str
    W: Tensor
    """(G H, I)"""
    R: Tensor
    """(G H, H)"""
    B: Tensor
    """(2 G H,), the biases of both."""
    P: Tensor | None = None
    """(3 H,) peepholes."""
    attributes: dict[str, int | Sequence[str] | Sequence[float]] = {}


def write_cell(
    graph: Graph, cell: Cell, noise: RecurrentNoise, inputs: Sequences, state: Sequence[str], backward: bool
) -> tuple[str, list[str]]:
    """One cell over padded sequences, in its direction.

    Args:
        noise: of which zoneout acts in evaluation too, as its expectation.
        state: (B, width) each part of the initial state.

    Returns:
        Outputs (T, B, H), zero on padding, and the parts of the state behind each sequence's own last step.
    """
    layer = None if noise.active else operator_of(cell)
    layer = None if layer is not None and layer.kind in graph.as_loops else layer
    return _scan(graph, cell, noise, inputs, state, backward) if layer is None else _operator(
        graph, layer, cell.hidden_size, inputs, state, backward
    )  # fmt: skip


@singledispatch
def operator_of(cell: Cell) -> Layer | None:
    """The cell as an operator of ONNX; None where it is none of them."""
    return None


@operator_of.register
def _(cell: LSTM) -> Layer:
    return _lstm(*rnn_weights(cell.layer))


@operator_of.register
def _(cell: TextbookLSTM) -> Layer:
    return _lstm(*cell.torch_weights())


@operator_of.register
def _(cell: PeepholeLSTM) -> Layer | None:
    return None if cell.full else _lstm(cell.W_x, cell.W_h, cell.b, None, cell.W_c)


@operator_of.register
def _(cell: OdysseyLSTM) -> Layer | None:
    variant = cell.variant
    if cell.R_gates is not None or not (variant.input_gate and variant.forget_gate and variant.output_gate):
        return None
    return _lstm(cell.W, cell.R, cell.b, None, cell._peepholes(), variant)


@operator_of.register
def _(cell: GRU) -> Layer:
    W, R, b, b_h = (_reordered(each, "rzn", "zrn") for each in rnn_weights(cell.layer))
    return Layer("GRU", W, R, torch.cat([b, b_h]), attributes={"linear_before_reset": 1})


@operator_of.register
def _(cell: RNN) -> Layer:
    W, R, b, b_h = rnn_weights(cell.layer)
    return Layer("RNN", W, R, torch.cat([b, b_h]))


def _lstm(
    W: Tensor, R: Tensor, b: Tensor, b_h: Tensor | None, peephole: Tensor | None = None, variant: Variant = PLAIN
) -> Layer:
    """Gates in the order i, f, g, o, without f where it is 1 - i; peepholes (3, H) of i, f, o."""
    gates = variant.gates
    attributes: dict[str, int | Sequence[str] | Sequence[float]] = {}
    if variant.coupled:
        attributes["input_forget"] = 1
    if not (variant.input_activation and variant.output_activation):
        linear = {True: "Tanh", False: "Affine"}
        attributes["activations"] = ["Sigmoid", linear[variant.input_activation], linear[variant.output_activation]]
        attributes["activation_alpha"] = [1.0] * (2 - variant.input_activation - variant.output_activation)
        attributes["activation_beta"] = [0.0] * (2 - variant.input_activation - variant.output_activation)
    b_h = torch.zeros_like(b) if b_h is None else b_h
    W, R, b, b_h = (_reordered(each, gates, "iofg") for each in (W, R, b, b_h))
    P = None if peephole is None else peephole[[0, 2, 1]].flatten()
    return Layer("LSTM", W, R, torch.cat([b, b_h]), P, attributes)


def _reordered(weights: Tensor, gates: str, order: str) -> Tensor:
    """Rows of the gates in another order; of a gate that there is not, zeros."""
    parts = dict(zip(gates, weights.chunk(len(gates)), strict=True))
    return torch.cat([parts.get(gate, torch.zeros_like(parts[gates[0]])) for gate in order])


def _operator(
    graph: Graph, layer: Layer, hidden_size: int, inputs: Sequences, state: Sequence[str], backward: bool
) -> tuple[str, list[str]]:
    def weights(value: Tensor | None) -> str:
        return "" if value is None else graph.const(value.detach().unsqueeze(0).numpy())

    first = [graph.op("Unsqueeze", part, graph.ints(0)) for part in state]  # (1, B, H)
    lengths = graph.cast(inputs.lengths, np.dtype(np.int32))
    extra = [weights(layer.P)] if layer.P is not None else []
    Y, *ends = graph.ops(
        layer.kind, inputs.x, weights(layer.W), weights(layer.R), weights(layer.B), lengths, *first, *extra,
        outputs=1 + len(state), hidden_size=hidden_size, direction="reverse" if backward else "forward",
        **layer.attributes,
    )  # fmt: skip
    return graph.op("Squeeze", Y, graph.ints(1)), [graph.op("Squeeze", end, graph.ints(0)) for end in ends]


def _scan(
    graph: Graph, cell: Cell, noise: RecurrentNoise, inputs: Sequences, state: Sequence[str], backward: bool
) -> tuple[str, list[str]]:
    """The cell's own step, once for each time step; the step is recorded from torch."""
    x = _reversed(graph, inputs.x, inputs.lengths) if backward else inputs.x
    valid = valid_steps(graph, inputs)  # (T, B, 1)
    widths = [part.shape[1] for part in cell.initial_state(torch.zeros(1, cell.input_size))]
    body = Graph(graph, f"{graph.name()}_")
    fields = [f"{body.prefix}old{k}" for k in range(len(state))]
    x_t, valid_t = f"{body.prefix}x", f"{body.prefix}valid"
    rows = [Rows(x_t, (cell.input_size,)), *(Rows(n, (w,)) for n, w in zip(fields, widths, strict=True))]
    h, *new = write_rows(body, _step_function(cell, noise), rows)
    zero = body.const(np.zeros((), FLOAT))
    ends = [body.op("Where", valid_t, after, old) for after, old in zip(new, fields, strict=True)]
    output = body.op("Where", valid_t, h, zero)
    ins = [*(tensor(n, FLOAT, (None, w)) for n, w in zip(fields, widths, strict=True)),
           tensor(x_t, FLOAT, (None, cell.input_size)), tensor(valid_t, np.dtype(bool), (None, 1))]  # fmt: skip
    outs = [*(tensor(n, FLOAT, (None, w)) for n, w in zip(ends, widths, strict=True)),
            tensor(output, FLOAT, (None, cell.hidden_size))]  # fmt: skip
    *final, outputs = graph.ops(
        "Scan", *state, x, valid, outputs=len(state) + 1, num_scan_inputs=2, body=body.proto("step", ins, outs)
    )
    return (_reversed(graph, outputs, inputs.lengths) if backward else outputs), final


def _step_function(cell: Cell, noise: RecurrentNoise) -> Callable[..., list[Tensor]]:
    """The cell's step on tensors: x and the parts of the state -> output, and the parts of the new state."""
    masks = NoiseWeights(None, None, (noise.zoneout_h, noise.zoneout_c))

    def step(x: Tensor, *parts: Tensor) -> list[Tensor]:
        state = cell.State(*parts)
        h, new = cell.noisy_step(x, state, masks) if noise.active else cell.step(x, state)
        return [h, *new]

    return step


def valid_steps(graph: Graph, inputs: Sequences) -> str:
    """(T, B, 1) whether a step is no padding."""
    steps = graph.op("Squeeze", graph.op("Shape", inputs.x, start=0, end=1), graph.ints(0))
    zero, one = (graph.const(np.array(value, np.int64)) for value in (0, 1))
    t = graph.op("Range", zero, steps, one)
    return graph.op("Less", graph.op("Unsqueeze", t, graph.ints(1, 2)), graph.op("Unsqueeze", inputs.lengths,
                                                                                graph.ints(0, 2)))  # fmt: skip


def _reversed(graph: Graph, x: str, lengths: str) -> str:
    return graph.op("ReverseSequence", x, lengths, batch_axis=1, time_axis=0)


def initial_state(graph: Graph, cell: Cell, learned: Sequence[Tensor] | None, x: str) -> list[str]:
    """(B, width) each part of the state before the first step.

    Args:
        learned: what is added to each part of the cell's own, (width,); None: nothing.
        x: (T, B, D)
    """
    batch = graph.op("Shape", x, start=1, end=2)
    parts = list(cell.initial_state(torch.zeros(1, cell.input_size)))
    if learned is not None:
        parts = [part + more for part, more in zip(parts, learned, strict=True)]
    return [
        graph.op("Expand", graph.const(part.detach().numpy()), graph.op("Concat", batch, graph.ints(part.shape[1]),
                                                                       axis=0))
        for part in parts
    ]  # fmt: skip
