"""A graph that begins where another call of it has ended: its state is an input and an output."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx
import torch

from lstm_lab.config import ConfigError
from lstm_lab.deploy.onnx_writer.cells import FLOAT
from lstm_lab.deploy.onnx_writer.graph import Graph, tensor
from lstm_lab.models import Model, SequenceModel
from lstm_lab.models.pooling import Last


class StatePart(NamedTuple):
    """One part of the state of all layers, as `h`."""

    name: str
    first: np.ndarray
    """(L, width) float32, before the first step."""

    @property
    def given(self) -> str:
        """Name of the input, (L, batch, width)."""
        return f"initial_{self.name}"

    @property
    def left(self) -> str:
        """Name of the output, in the same shape."""
        return f"last_{self.name}"

    def input(self) -> onnx.ValueInfoProto:
        """As the graph declares it."""
        return tensor(self.given, FLOAT, (len(self.first), "batch", self.first.shape[1]))

    def output(self) -> onnx.ValueInfoProto:
        """As the graph declares it."""
        return tensor(self.left, FLOAT, (len(self.first), "batch", self.first.shape[1]))

    def start(self, batch: int) -> np.ndarray:
        """What the input is before the first step."""
        return np.repeat(self.first[:, None], batch, 1)


def state_parts(model: Model) -> list[StatePart]:
    """The state of a model.

    Raises:
        ConfigError: it carries none from one part of a sequence to the next.
    """
    if not isinstance(model, SequenceModel):
        raise ConfigError(f"export: --state: model '{model.name}' carries no state from step to step: leave it out")
    if model.encoder.bidirectional:
        raise ConfigError("export: --state: the model reads backward too, from the end of the sequence: leave it out")
    if max(model.encoder.dilations) > 1:
        raise ConfigError("export: --state: a layer takes its state from several steps back (model.dilation): leave it "
                          "out")  # fmt: skip
    if model.pooling is not None and not isinstance(model.pooling, Last):
        raise ConfigError(f"export: --state: pooling '{model.pooling.name}' reads all steps of a sequence again: leave "
                          "it out")  # fmt: skip
    states = [layer[0] for layer in model.initial_state(1)]
    fields = states[0]._fields
    with torch.no_grad():
        parts = [torch.cat([dict(zip(fields, state, strict=True))[name] for state in states]) for name in fields]
    return [StatePart(name, part.float().numpy()) for name, part in zip(fields, parts, strict=True)]


def split_states(graph: Graph, parts: list[StatePart]) -> list[list[list[str]]]:
    """The inputs as `Encoded.state`: layer -> direction -> part, (B, width) each."""
    layers = len(parts[0].first)
    return [[[graph.op("Gather", part.given, graph.const(np.array(layer, np.int64)), axis=0) for part in parts]]
            for layer in range(layers)]  # fmt: skip


def join_states(graph: Graph, parts: list[StatePart], states: list[list[list[str]]]) -> list[str]:
    """Each part of all layers, (L, B, width), in the order of the parts."""
    return [
        graph.op("Concat", *(graph.op("Unsqueeze", layer[0][k], graph.ints(0)) for layer in states), axis=0)
        for k in range(len(parts))
    ]
