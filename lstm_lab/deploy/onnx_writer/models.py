"""Models in an ONNX graph: embedding, stack of cells, pooling, head. Lengths and the batch vary."""

from __future__ import annotations

from functools import partial, singledispatch
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from lstm_lab.cells import Cell
from lstm_lab.config import ConfigError
from lstm_lab.deploy.onnx_writer.cells import FLOAT, Sequences, initial_state, valid_steps, write_cell
from lstm_lab.deploy.onnx_writer.graph import Graph
from lstm_lab.deploy.onnx_writer.rows import Rows, write_rows
from lstm_lab.models import Model, SequenceModel
from lstm_lab.models.attention import Additive, Dot
from lstm_lab.models.embedding import TiedHead
from lstm_lab.models.encoder import Encoder
from lstm_lab.models.initialization import LearnedInitialState
from lstm_lab.models.pooling import Last, Max, Mean, Pooling
from lstm_lab.models.recurrence import Recurrence
from lstm_lab.models.segrnn import SegRNN
from lstm_lab.models.seq2seq import Seq2Seq
from lstm_lab.models.skip import Highway, NoSkip, Residual, Skip


class Encoded(NamedTuple):
    """What an encoder computes, in a graph."""

    outputs: str
    """(T, B, D), zero on padding."""
    final: str
    """(B, D)"""
    state: list[list[list[str]]]
    """Layer -> direction -> part, (B, width) each; of a layer with a dilation nothing."""
    sequences: Sequences
    """What the first layer read."""


@singledispatch
def write_model(model: Model, graph: Graph, x: str, lengths: str, steps: int | None) -> str:
    """The logits of a model: (B, K), or (B, T, K) of a task with a target per step.

    Args:
        x: (B, T, I) float32, or (B, T) int64 of tokens.
        lengths: (B,) int64
        steps: T, where it is always the same; None where it varies.

    Raises:
        ConfigError: the model has no ONNX form here.
    """
    raise ConfigError(f"export: model '{model.name}' is not written as ONNX: use --to folder")


@write_model.register
def _(model: SequenceModel, graph: Graph, x: str, lengths: str, steps: int | None) -> str:
    return write_sequence_model(model, graph, x, lengths)[0]


def write_sequence_model(
    model: SequenceModel, graph: Graph, x: str, lengths: str, first: list[list[list[str]]] | None = None
) -> tuple[str, list[list[list[str]]]]:
    """The logits, as `write_model`, and the state behind the last step.

    Args:
        first: state before the first step, as `Encoded.state`; None: that of the encoder.
    """
    if model.embedding is not None:
        x = graph.op("Gather", _weights(graph, model.embedding.weight), x)
    encoded = write_encoder(model.encoder, graph, Sequences(_swapped(graph, x), lengths), first)
    if model.pooling is None:
        features = _swapped(graph, encoded.outputs)
    else:
        features = write_pooling(cast("Pooling", model.pooling), graph, encoded)
    return write_linear(model.head, graph, features), encoded.state


@write_model.register
def _(model: Seq2Seq, graph: Graph, x: str, lengths: str, steps: int | None) -> str:
    assert steps is not None
    T = steps - (model.horizon if model.known else 0)
    read = graph.op("Slice", x, graph.ints(0), graph.ints(T), graph.ints(1))
    lengths = graph.op("Sub", lengths, graph.const(np.array(steps - T, np.int64)))
    encoded = write_encoder(model.encoder, graph, Sequences(_swapped(graph, read), lengths))
    outputs = _swapped(graph, encoded.outputs)  # (B, T, H)
    state = encoded.state[0][0]
    widths = [part.shape[1] for part in model.decoder.initial_state(torch.zeros(1, 1))]
    (cell,) = model.encoder.cells(0)
    rows = [Rows(x, (steps, cell.input_size)), Rows(outputs, (T, model.encoder.hidden_size)),
            *(Rows(part, (width,)) for part, width in zip(state, widths, strict=True))]  # fmt: skip
    return write_rows(graph, partial(_decoded, model, T), rows)[0]


def _decoded(model: Seq2Seq, T: int, x: Tensor, outputs: Tensor, *state: Tensor) -> list[Tensor]:
    return [model.decode(x, T, outputs, model.decoder.State(*state))[0]]


@write_model.register
def _(model: SegRNN, graph: Graph, x: str, lengths: str, steps: int | None) -> str:
    assert steps is not None
    K, m, w, P, ints = model.channels, model.ahead, model.segment_length, model.numbers, graph.ints
    channels = graph.op("Transpose", graph.op("Slice", x, ints(0), ints(K), ints(2)), perm=[0, 2, 1])  # (B, K, T)
    segments = graph.op("Reshape", channels, ints(-1, steps // w, w))  # (B K, n, w)
    read = _swapped(graph, graph.op("Relu", write_linear(model.read, graph, segments)))
    number = graph.const(np.array([steps // w], np.int64))
    every = graph.op("Expand", number, graph.op("Shape", segments, start=0, end=1))
    encoded = write_encoder(model.encoder, graph, Sequences(read, every))
    state = [[[_repeated(graph, part, m) for part in end] for end in layer] for layer in encoded.state]
    query = _weights(graph, model.queries().reshape(1, K * m, -1))
    batch = graph.op("Shape", x, start=0, end=1)
    queries = graph.op("Expand", query, graph.op("Concat", batch, ints(1, 1), axis=0))  # (B, K m, d)
    step = graph.op("Reshape", queries, ints(1, -1, model.encoder.hidden_size))
    ones = graph.op("Expand", ints(1), graph.op("Shape", step, start=1, end=2))
    h = write_encoder(model.encoder, graph, Sequences(step, ones), state).final  # (B K m, d)
    y = graph.op("Reshape", write_linear(model.head, graph, h), ints(-1, K, m * w, P))
    return graph.op("Reshape", graph.op("Transpose", y, perm=[0, 2, 1, 3]), ints(-1, m * w * K * P))


def _repeated(graph: Graph, part: str, times: int) -> str:
    """(N, width) -> (N * times, width), each row several times in a row."""
    spread = graph.op("Expand", graph.op("Unsqueeze", part, graph.ints(1)), graph.ints(1, times, 1))
    width = graph.op("Shape", part, start=1, end=2)
    return graph.op("Reshape", spread, graph.op("Concat", graph.ints(-1), width, axis=0))


def write_encoder(
    encoder: Encoder, graph: Graph, inputs: Sequences, first: list[list[list[str]]] | None = None
) -> Encoded:
    """A stack of cells over padded sequences.

    Args:
        first: state before the first step, as `Encoded.state`; None: the encoder's own.
    """
    x, states = inputs.x, list[list[list[str]]]()
    for layer, d in enumerate(encoder.dilations):
        outputs, ends = [], []
        read = Sequences(x, inputs.lengths) if d == 1 else _folded(graph, x, inputs.lengths, d)
        for direction, cell in enumerate(encoder.cells(layer)):
            recurrence = cast("list[list[Recurrence]]", encoder.recurrences)[layer][direction]
            own = _learned(encoder, cell, layer, direction)
            state = initial_state(graph, cell, own, read.x) if first is None else first[layer][direction]
            output, end = write_cell(graph, cell, recurrence.noise, read, state, bool(direction))
            outputs.append(output if d == 1 else _unfolded(graph, output, x, inputs, d))
            ends.append(end if d == 1 else [])
        y = outputs[0] if len(outputs) == 1 else graph.op("Concat", *outputs, axis=2)
        x = write_skip(cast("Skip", encoder.skips[layer - 1]), graph, x, y) if layer else y
        states.append(ends)
    return Encoded(x, _final(encoder, graph, x, inputs), states, inputs)


def _learned(encoder: Encoder, cell: Cell, layer: int, direction: int) -> list[Tensor] | None:
    """What is added to each part of a cell's initial state."""
    if encoder.starts is None:
        return None
    start = cast("list[list[LearnedInitialState]]", encoder.starts)[layer][direction]
    zero = torch.zeros(1)
    return [start.parts.get(name, zero) for name in cell.State._fields]


def _final(encoder: Encoder, graph: Graph, x: str, inputs: Sequences) -> str:
    """(B, D): forward at each sequence's last step, backward at its first."""
    valid = graph.cast(valid_steps(graph, Sequences(x, inputs.lengths)), FLOAT)
    ahead = graph.op("Slice", valid, graph.ints(1), graph.ints(np.iinfo(np.int64).max), graph.ints(0))
    zero = graph.op("Mul", graph.op("Slice", valid, graph.ints(0), graph.ints(1), graph.ints(0)),
                    graph.const(np.zeros((), FLOAT)))  # fmt: skip
    last = graph.op("Sub", valid, graph.op("Concat", ahead, zero, axis=0))  # (T, B, 1) 1 at the last valid step
    end = graph.op("ReduceSum", graph.op("Mul", x, last), graph.ints(0), keepdims=0)
    if not encoder.bidirectional:
        return end
    H = encoder.hidden_size
    start = graph.op("Gather", x, graph.const(np.array(0, np.int64)), axis=0)
    columns = graph.ints(1)
    forward = graph.op("Slice", end, graph.ints(0), graph.ints(H), columns)
    backward = graph.op("Slice", start, graph.ints(H), graph.ints(2 * H), columns)
    return graph.op("Concat", forward, backward, axis=1)


def _folded(graph: Graph, x: str, lengths: str, d: int) -> Sequences:
    """Steps t, t + d, ... as sequences of their own: (T, B, D) -> (ceil(T / d), d B, D)."""
    size = graph.op("Shape", x, start=0, end=1)
    one = graph.ints(d)
    missing = graph.op("Mod", graph.op("Sub", one, graph.op("Mod", size, one)), one)
    pads = graph.op("Concat", graph.ints(0, 0, 0), missing, graph.ints(0, 0), axis=0)
    padded = graph.op("Pad", x, pads)
    steps = graph.op("Div", graph.op("Add", size, missing), one)
    batch, width = graph.op("Shape", x, start=1, end=2), graph.op("Shape", x, start=2, end=3)
    shape = graph.op("Concat", steps, graph.op("Mul", batch, one), width, axis=0)
    offsets = graph.const(np.arange(d - 1, -1, -1, dtype=np.int64)[:, None])  # (d, 1)
    spread = graph.op("Div", graph.op("Add", graph.op("Unsqueeze", lengths, graph.ints(0)), offsets), one)  # (d, B)
    # A sequence without a step reads one of padding, whose output is not used.
    some = graph.op("Max", graph.op("Reshape", spread, graph.ints(-1)), graph.const(np.array(1, np.int64)))
    return Sequences(graph.op("Reshape", padded, shape), some)


def _unfolded(graph: Graph, y: str, x: str, inputs: Sequences, d: int) -> str:
    """(ceil(T / d), d B, H) -> (T, B, H), zero on padding."""
    size, batch = graph.op("Shape", x, start=0, end=1), graph.op("Shape", x, start=1, end=2)
    width = graph.op("Shape", y, start=2, end=3)
    whole = graph.op("Reshape", y, graph.op("Concat", graph.ints(-1), batch, width, axis=0))
    cut = graph.op("Slice", whole, graph.ints(0), size, graph.ints(0))
    return graph.op("Where", valid_steps(graph, inputs), cut, graph.const(np.zeros((), FLOAT)))


@singledispatch
def write_skip(skip: Skip, graph: Graph, x: str, y: str) -> str:
    """The input of the next layer, of a layer's input and output (T, B, D)."""
    raise ConfigError(f"export: skip '{skip.name}' is not written as ONNX: use --to folder")


@write_skip.register
def _(skip: NoSkip, graph: Graph, x: str, y: str) -> str:
    return y


@write_skip.register
def _(skip: Residual, graph: Graph, x: str, y: str) -> str:
    return graph.op("Add", y, x)


@write_skip.register
def _(skip: Highway, graph: Graph, x: str, y: str) -> str:
    t = graph.op("Sigmoid", write_linear(skip.gate, graph, x))
    return graph.op("Add", x, graph.op("Mul", t, graph.op("Sub", y, x)))


@singledispatch
def write_pooling(pooling: Pooling, graph: Graph, encoded: Encoded) -> str:
    """The vector (B, D) of each sequence."""
    raise ConfigError(f"export: pooling '{pooling.name}' is not written as ONNX: use --to folder")


@write_pooling.register
def _(pooling: Last, graph: Graph, encoded: Encoded) -> str:
    return encoded.final


@write_pooling.register
def _(pooling: Mean, graph: Graph, encoded: Encoded) -> str:
    total = graph.op("ReduceSum", encoded.outputs, graph.ints(0), keepdims=0)
    count = graph.op("Unsqueeze", graph.cast(encoded.sequences.lengths, FLOAT), graph.ints(1))
    return graph.op("Div", total, count)


@write_pooling.register
def _(pooling: Max, graph: Graph, encoded: Encoded) -> str:
    valid = valid_steps(graph, encoded.sequences)
    kept = graph.op("Where", valid, encoded.outputs, graph.const(np.array(-np.inf, FLOAT)))
    return graph.op("ReduceMax", kept, graph.ints(0), keepdims=0)


@write_pooling.register
def _(pooling: Additive, graph: Graph, encoded: Encoded) -> str:
    hidden = graph.op("Tanh", write_linear(pooling.W, graph, encoded.outputs))
    return _weighted_mean(graph, write_linear(pooling.v, graph, hidden), encoded)


@write_pooling.register
def _(pooling: Dot, graph: Graph, encoded: Encoded) -> str:
    scaled = (pooling.q * len(pooling.q) ** -0.5).unsqueeze(1)
    return _weighted_mean(graph, graph.op("MatMul", encoded.outputs, _weights(graph, scaled)), encoded)


def _weighted_mean(graph: Graph, scores: str, encoded: Encoded) -> str:
    """Outputs weighted by the softmax over valid steps of scores (T, B, 1)."""
    valid = valid_steps(graph, encoded.sequences)
    masked = graph.op("Where", valid, scores, graph.const(np.array(-np.inf, FLOAT)))
    weighted = graph.op("Mul", graph.op("Softmax", masked, axis=0), encoded.outputs)
    return graph.op("ReduceSum", weighted, graph.ints(0), keepdims=0)


def write_linear(layer: nn.Module, graph: Graph, x: str) -> str:
    """A linear layer, or a head that shares the vectors of tokens: (..., D) -> (..., K)."""
    assert isinstance(layer, (nn.Linear, TiedHead))
    weight = layer.weight.detach()
    if isinstance(layer, TiedHead):
        weight = torch.cat([torch.zeros_like(weight[:1]), weight[1:]])
    product = graph.op("MatMul", x, _weights(graph, weight.T))
    return product if layer.bias is None else graph.op("Add", product, _weights(graph, layer.bias))


def _weights(graph: Graph, value: Tensor) -> str:
    return graph.const(value.detach().numpy())


def _swapped(graph: Graph, x: str) -> str:
    """(B, T, D) to (T, B, D), or back."""
    return graph.op("Transpose", x, perm=[1, 0, 2])
