"""An ONNX model with weights of 8 bits, whose products are those of integers: onnxruntime's dynamic quantisation."""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx

WITHOUT_INTEGERS = frozenset({"GRU", "RNN"})
"""Operators that onnxruntime has no form of 8 bits for: they are written as loops over a step, whose products have."""
INTEGER = ("DynamicQuantizeLSTM", "MatMulInteger", "DynamicQuantizeMatMul")
"""Operators that multiply integers."""


def quantized(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with weights of 8 bits, each row with a scale of its own.

    Layers that are the operator LSTM become DynamicQuantizeLSTM, products with weights MatMulInteger, in the steps of
    other cells too; what they multiply is rounded to 8 bits in each call. Vectors of tokens stay as they are.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder, _silent():
        path = Path(folder) / "model.onnx"
        quantize_dynamic(
            onnx.ModelProto.FromString(model.SerializeToString()), path, op_types_to_quantize=["MatMul", "LSTM"],
            per_channel=True, weight_type=QuantType.QInt8, extra_options={"EnableSubgraph": True},
        )  # fmt: skip
        found = onnx.load(path)
    del found.metadata_props[:]
    found.metadata_props.extend(model.metadata_props)
    return found


def integer_operators(model: onnx.ModelProto) -> dict[str, int]:
    """Operator that multiplies integers -> how often the model has it, in the bodies of loops too."""
    counts = Counter(node.op_type for node in _nodes(model.graph))
    return {kind: counts[kind] for kind in INTEGER if counts[kind]}


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _nodes(attribute.g)


@contextmanager
def _silent() -> Iterator[None]:
    """onnxruntime advises to optimise the graph before, by the root logger; it has been."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
