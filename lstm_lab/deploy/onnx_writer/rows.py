"""What a function of torch computes of rows, as nodes of ONNX: recorded once and written down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lstm_lab.deploy.onnx_writer.graph import Graph
from lstm_lab.deploy.onnx_writer.operators import RowWriter
from lstm_lab.kernels.recorder import CallRecorder
from lstm_lab.kernels.recording import RecordedCall
from lstm_lab.kernels.tape import ROWS, UnsupportedOp

Function = Callable[..., Sequence[Tensor]]


class Rows(NamedTuple):
    """An input of a function of rows."""

    value: str
    """Its name in the graph."""
    shape: tuple[int, ...]
    """Of one row."""
    dtype: torch.dtype = torch.float32


def write_rows(graph: Graph, function: Function, inputs: Sequence[Rows]) -> list[str]:
    """What a function computes of tensors with any number of rows, as nodes of a graph.

    It is executed with two numbers of rows: this tells sizes that are numbers of rows from all others. What depends on
    weights alone becomes a constant.

    Returns:
        Names of its results.

    Raises:
        UnsupportedOp: it does something that has no ONNX form here.
    """
    recordings = [_record(function, inputs, rows) for rows in ROWS]
    (given, calls, results), (_, calls2, _) = recordings
    if [call.function for call in calls] != [call.function for call in calls2]:
        raise UnsupportedOp("it does something else for another number of rows")
    writer = RowWriter(graph)
    for rows, value in zip(inputs, given, strict=True):
        writer.names[id(value)] = rows.value
    for one, two in zip(calls, calls2, strict=True):
        writer.write(one, two)
    return [writer.value(result) for result in results]


def _record(
    function: Function, inputs: Sequence[Rows], rows: int
) -> tuple[list[Tensor], list[RecordedCall], list[Tensor]]:
    given = [
        torch.linspace(-0.9, 0.7, rows * int(np.prod(each.shape, dtype=int))).view(rows, *each.shape).to(each.dtype)
        for each in inputs
    ]
    recorder = CallRecorder()
    with torch.no_grad(), recorder:
        results = list(function(*given))
    return given, recorder.calls, results
