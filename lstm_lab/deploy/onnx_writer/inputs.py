"""What an exported model reads: data in their own units, which the graph standardises as training did; or tokens."""

from __future__ import annotations

from functools import singledispatch
from typing import NamedTuple

import numpy as np
import onnx

from lstm_lab.data.base import DataInfo
from lstm_lab.data.kinds.labelled import LabelledInfo
from lstm_lab.data.kinds.sequence_regression import RegressionInfo
from lstm_lab.data.kinds.series import SeriesInfo
from lstm_lab.deploy.drawn_inputs import series_steps
from lstm_lab.deploy.onnx_writer.cells import FLOAT
from lstm_lab.deploy.onnx_writer.graph import INT64, Graph, tensor
from lstm_lab.models.base import TokenDataInfo

DOUBLE = np.dtype(np.float64)


class Inputs(NamedTuple):
    """The inputs of a graph, besides `lengths`."""

    given: list[onnx.ValueInfoProto]
    x: str
    """What the model reads: (B, T, I) float32, or (B, T) int64."""
    steps: int | None
    """T, where it is always the same."""


def write_inputs(graph: Graph, info: DataInfo) -> Inputs:
    """The inputs for data of a kind."""
    if isinstance(info, TokenDataInfo):
        return Inputs([tensor("x", INT64, ("batch", "length"))], "x", None)
    return write_numbers(info, graph)


@singledispatch
def write_numbers(info: DataInfo, graph: Graph) -> Inputs:
    """The inputs for data whose steps are numbers, as the model reads them."""
    return Inputs([tensor("x", FLOAT, ("batch", "length", info.input_size))], "x", None)


@write_numbers.register(LabelledInfo)
@write_numbers.register(RegressionInfo)
def _(info: LabelledInfo | RegressionInfo, graph: Graph) -> Inputs:
    if not info.mean:
        return Inputs([tensor("x", FLOAT, ("batch", "length", info.input_size))], "x", None)
    channels = len(info.mean)
    mean, std = (graph.const(np.array(part)) for part in (info.mean, info.std))
    masked = channels if info.input_size == 2 * channels else 0
    x = _standardised(graph, "x", mean, std, masked)
    return Inputs([tensor("x", DOUBLE, ("batch", "length", channels))], x, None)


@write_numbers.register(SeriesInfo)
def _(info: SeriesInfo, graph: Graph) -> Inputs:
    steps, columns = series_steps(info), len(info.columns)
    given, scale = [tensor("x", DOUBLE, ("batch", steps, columns))], [*map(np.array, (info.mean, info.std))]
    names = [graph.const(part) for part in scale]
    if info.num_series > 1:
        given += [tensor(name, DOUBLE, ("batch", columns)) for name in ("mean", "std")]
        names = [graph.op("Unsqueeze", name, graph.ints(1)) for name in ("mean", "std")]
    x = "x"
    if info.known:
        ahead = np.zeros((steps, columns), bool)
        ahead[info.window :, : columns - len(info.known)] = True
        x = graph.op("Where", graph.const(ahead), graph.const(np.array(np.nan)), x)
    return Inputs(given, _standardised(graph, x, names[0], names[1], info.num_mask_channels), steps)


def _standardised(graph: Graph, x: str, mean: str, std: str, masked: int) -> str:
    """x (B, T, C) float64 as float32, centred before it loses digits; and a mask of missing values in the first
    `masked` channels behind it."""
    scaled = graph.cast(graph.op("Div", graph.op("Sub", x, mean), std), FLOAT)
    if not masked:
        return scaled
    missing = graph.op("IsNaN", scaled)
    known = graph.op("Where", missing, graph.const(np.zeros((), FLOAT)), scaled)
    some = graph.op("Slice", missing, graph.ints(0), graph.ints(masked), graph.ints(2))
    return graph.op("Concat", known, graph.cast(some, FLOAT), axis=2)
