"""An ONNX graph that is being written: nodes, constants, names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET = 18
IR_VERSION = 10
"""Of the file format: one that runtimes of the last years read."""

Attribute = int | float | str | Sequence[int] | Sequence[float] | Sequence[str] | onnx.GraphProto
INT64 = np.dtype(np.int64)


class Graph:
    """Nodes in the order in which they are computed. Values are strings: the names of tensors.

    Args:
        outer: the graph around it, which holds its constants; None for the outermost.
        prefix: of the names that it makes.
        as_loops: operators that are written as Scan over a step instead, as those without a form of 8 bits.
    """

    def __init__(self, outer: Graph | None = None, prefix: str = "v", as_loops: frozenset[str] = frozenset()) -> None:
        self.as_loops = as_loops
        self.nodes: list[onnx.NodeProto] = []
        self.outer, self.prefix = outer, prefix
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._initializers: list[onnx.TensorProto] = []
        self._count = 0

    def name(self) -> str:
        """A name that no other tensor of this graph has."""
        self._count += 1
        return f"{self.prefix}{self._count}"

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Attribute) -> str:
        """The first output of a new node.

        Args:
            kind: operator of ONNX.
            inputs: names; an empty one where an optional input is left out.
            outputs: of the node.
            attributes: as the operator's documentation lists them.
        """
        return self.ops(kind, *inputs, outputs=outputs, **attributes)[0]

    def ops(self, kind: str, *inputs: str, outputs: int, **attributes: Attribute) -> list[str]:
        """All outputs of a new node; arguments as of `op`."""
        names = [self.name() for _ in range(outputs)]
        node = helper.make_node(kind, list(inputs), names)
        node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
        self.nodes.append(node)
        return names

    def const(self, value: np.ndarray) -> str:
        """A constant, written once for equal values; those of inner graphs are in the outermost one."""
        if self.outer is not None:
            return self.outer.const(value)
        value = np.asarray(value, order="C")
        key = (str(value.dtype), value.shape, value.tobytes())
        if key not in self._constants:
            name = f"c{len(self._constants)}"
            self._constants[key] = name
            self._initializers.append(numpy_helper.from_array(value, name))
        return self._constants[key]

    def ints(self, *values: int) -> str:
        """A constant vector of int64."""
        return self.const(np.array(values, INT64))

    def cast(self, value: str, dtype: np.dtype) -> str:
        """A value in another dtype."""
        return self.op("Cast", value, to=helper.np_dtype_to_tensor_dtype(dtype))

    def proto(
        self, name: str, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.GraphProto:
        """The graph as ONNX stores it."""
        return helper.make_graph(self.nodes, name, list(inputs), list(outputs), self._initializers)


def tensor(name: str, dtype: np.dtype, shape: Sequence[int | str | None]) -> onnx.ValueInfoProto:
    """An input or output: sizes are numbers, or names of those that vary."""
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), list(shape))
