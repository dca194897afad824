"""Operators of torch as nodes of ONNX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from lstm_lab.deploy.onnx_writer.graph import Graph
from lstm_lab.kernels.recording import RecordedCall
from lstm_lab.kernels.tape import UnsupportedOp


class RowWriter:
    """Writes recorded calls into a graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.names: dict[int, str] = {}
        """id of a tensor that depends on the inputs -> its name."""

    def value(self, item: object, dtype: torch.dtype | None = None) -> str:
        """The name of a tensor or number among the arguments of a call.

        Args:
            dtype: that it is needed in; of a number, the dtype that it is written in.
        """
        if not isinstance(item, Tensor):
            return self.graph.const(torch.tensor(item, dtype=dtype).numpy())
        if id(item) not in self.names:
            return self.graph.const(item.detach().to(dtype or item.dtype).numpy())
        name = self.names[id(item)]
        return name if dtype in (None, item.dtype) else self.graph.cast(name, _numpy_dtype(dtype or item.dtype))

    def write(self, one: RecordedCall, two: RecordedCall) -> None:
        """Write a call, as it was made with either number of rows."""
        given, given2 = (tree_flatten((call.args, call.kwargs))[0] for call in (one, two))
        constants = [(a, b) for a, b in zip(given, given2, strict=True) if isinstance(a, Tensor)]
        constants = [(a, b) for a, b in constants if id(a) not in self.names]
        if any(a.shape != b.shape or not torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in constants):
            raise UnsupportedOp(f"{one.name} reads what was computed outside of torch, or a tensor with a row for each "
                                "row of the input")  # fmt: skip
        if not any(isinstance(each, Tensor) and id(each) in self.names for each in given):
            return
        handler = OPERATORS.get(one.name)
        if handler is None:
            raise UnsupportedOp(f"{one.name} has no ONNX form here")
        outputs = [each for each in tree_flatten(one.out)[0] if isinstance(each, Tensor)]
        found = handler(self, one, two)
        for output, name in zip(outputs, [found] if isinstance(found, str) else found, strict=False):
            self.names[id(output)] = name


Handler = Callable[[RowWriter, RecordedCall, RecordedCall], "str | list[str]"]
OPERATORS: dict[str, Handler] = {}
"""Name of an operator of torch -> what writes it."""


def _numpy_dtype(dtype: torch.dtype) -> np.dtype[Any]:
    return torch.empty(0, dtype=dtype).numpy().dtype


def _dtype(call: RecordedCall) -> torch.dtype:
    """Of the (first) result of a call."""
    return next(each.dtype for each in tree_flatten(call.out)[0] if isinstance(each, Tensor))


def _rank(call: RecordedCall) -> int:
    first = call.args[0]
    assert isinstance(first, Tensor)
    return first.dim()


def _unary(kind: str) -> Handler:
    return lambda w, one, two: w.graph.op(kind, w.value(one.args[0], _dtype(one)))


def _binary(kind: str, swapped: bool = False) -> Handler:
    def write(w: RowWriter, one: RecordedCall, two: RecordedCall) -> str:
        a, b = (w.value(each, _dtype(one)) for each in one.args[:2])
        alpha = one.kwargs.get("alpha", one.args[2] if len(one.args) > 2 else 1)
        if alpha != 1:
            b = w.graph.op("Mul", b, w.value(alpha, _dtype(one)))
        return w.graph.op(kind, *((b, a) if swapped else (a, b)))

    return write


def _compare(kind: str) -> Handler:
    def write(w: RowWriter, one: RecordedCall, two: RecordedCall) -> str:
        dtype = one.args[0].dtype
        return w.graph.op(kind, w.value(one.args[0]), w.value(one.args[1], dtype))

    return write


def _same(w: RowWriter, one: RecordedCall, two: RecordedCall) -> str:
    return w.value(one.args[0], _dtype(one))


def _permuted(order: Callable[[RecordedCall], list[int]]) -> Handler:
    return lambda w, one, two: w.graph.op("Transpose", w.value(one.args[0]), perm=order(one))


def _swapped(call: RecordedCall) -> list[int]:
    """The order of dimensions of `t` and `transpose`."""
    a, b = call.args[1:3] if len(call.args) > 2 else (0, 1)
    order = list(range(_rank(call)))
    order[a], order[b] = order[b], order[a]
    return order


def _addmm(w: RowWriter, one: RecordedCall, two: RecordedCall) -> str:
    if one.kwargs.get("alpha", 1) != 1 or one.kwargs.get("beta", 1) != 1:
        raise UnsupportedOp("addmm with factors has no ONNX form here")
    bias, a, b = (w.value(each) for each in one.args[:3])
    return w.graph.op("Add", w.graph.op("MatMul", a, b), bias)


def _linear(w: RowWriter, one: RecordedCall, two: RecordedCall) -> str:
    x, weight, *bias = one.args
    product = w.graph.op("MatMul", w.value(x), w.graph.op("Transpose", w.value(weight), perm=[1, 0]))
    return w.graph.op("Add", product, w.value(bias[0])) if bias and bias[0] is not None else product


def _reshaped(w: RowWriter, one: RecordedCall, two: RecordedCall) -> str:
    sizes = [a if a == b else -1 for a, b in zip(one.out.shape, two.out.shape, strict=True)]  # type: ignore[attr-defined]
    if sizes.count(-1) > 1:
        raise UnsupportedOp(f"{one.name} puts rows into two dimensions")
    return w.graph.op("Reshape", w.value(one.args[0]), w.graph.ints(*sizes))


def _expanded(w: RowWriter, one: RecordedCall, two: RecordedCall) -> str:
    sizes = [a if a == b else 1 for a, b in zip(one.out.shape, two.out.shape, strict=True)]  # type: ignore[attr-defined]
    return w.graph.op("Expand", w.value(one.args[0]), w.graph.ints(*sizes))


def _parts(w: RowWriter, one: RecordedCall, two: RecordedCall) -> list[str]:
    """split, split_with_sizes, chunk."""
    axis = one.args[2] if len(one.args) > 2 else one.kwargs.get("dim", 0)
    sizes = [part.shape[axis] for part in one.out]  # type: ignore[attr-defined]
    return w.graph.ops("Split", w.value(one.args[0]), w.graph.ints(*sizes), outputs=len(sizes), axis=axis)


def _unbound(w: RowWriter, one: RecordedCall, two: RecordedCall) -> list[str]:
    axis = one.args[1] if len(one.args) > 1 else 0
    x = w.value(one.args[0])
    return [_at(w, x, index, axis) for index in range(one.args[0].shape[axis])]


def _at(w: RowWriter, x: str, index: int, axis: int) -> str:
    return w.graph.op("Gather", x, w.graph.const(np.array(index, np.int64)), axis=axis)


def _selected(w: RowWriter, one: RecordedCall, two: RecordedCall) -> str:
    if one.args[2] != two.args[2]:
        raise UnsupportedOp("it selects a row by its number")
    return _at(w, w.value(one.args[0]), one.args[2], one.args[1])


def _sliced(w: RowWriter, one: RecordedCall, two: RecordedCall) -> str:
    x, *given = one.args
    defaults: list[int | None] = [0, None, None, 1]
    axis, start, end, step = given + defaults[len(given) :]
    if one.args[1:] != two.args[1:]:
        raise UnsupportedOp("it takes as many rows as there are")
    ints = w.graph.ints
    stop = ints(np.iinfo(np.int64).max if end is None else end)
    return w.graph.op("Slice", w.value(x), ints(start or 0), stop, ints(axis), ints(step))


def _joined(w: RowWriter, one: RecordedCall, two: RecordedCall) -> str:
    axis = one.args[1] if len(one.args) > 1 else 0
    return w.graph.op("Concat", *(w.value(each, _dtype(one)) for each in one.args[0]), axis=axis)


def _stacked(w: RowWriter, one: RecordedCall, two: RecordedCall) -> str:
    axis = one.args[1] if len(one.args) > 1 else 0
    axis += (axis < 0) * (one.args[0][0].dim() + 1)
    values = [w.graph.op("Unsqueeze", w.value(each, _dtype(one)), w.graph.ints(axis)) for each in one.args[0]]
    return w.graph.op("Concat", *values, axis=axis)


def _unsqueezed(w: RowWriter, one: RecordedCall, two: RecordedCall) -> str:
    axis = one.args[1]
    return w.graph.op("Unsqueeze", w.value(one.args[0]), w.graph.ints(axis if axis >= 0 else axis + _rank(one) + 1))


def _squeezed(w: RowWriter, one: RecordedCall, two: RecordedCall) -> str:
    return w.graph.op("Squeeze", w.value(one.args[0]), w.graph.ints(*np.atleast_1d(one.args[1]).tolist()))


def _reduced(kind: str) -> Handler:
    def write(w: RowWriter, one: RecordedCall, two: RecordedCall) -> str:
        axes = np.atleast_1d(one.args[1] if len(one.args) > 1 else range(_rank(one))).tolist()
        keep = int(one.args[2]) if len(one.args) > 2 else 0
        return w.graph.op(kind, w.value(one.args[0], _dtype(one)), w.graph.ints(*axes), keepdims=keep)

    return write


def _clamped(w: RowWriter, one: RecordedCall, two: RecordedCall) -> str:
    low, high = (*one.args[1:], None, None)[:2]
    low, high = one.kwargs.get("min", low), one.kwargs.get("max", high)
    bounds = ["" if bound is None else w.value(bound, _dtype(one)) for bound in (low, high)]
    return w.graph.op("Clip", w.value(one.args[0], _dtype(one)), *bounds)


def _log_sigmoid(w: RowWriter, one: RecordedCall, two: RecordedCall) -> str:
    x = w.value(one.args[0])
    # log sigmoid(x) = min(x, 0) - log(1 + exp(-|x|)), which does not overflow.
    exponent = w.graph.op("Exp", w.graph.op("Neg", w.graph.op("Abs", x)))
    log = w.graph.op("Log", w.graph.op("Add", exponent, w.value(1.0, _dtype(one))))
    return w.graph.op("Sub", w.graph.op("Min", x, w.value(0.0, _dtype(one))), log)


def _layer_norm(w: RowWriter, one: RecordedCall, two: RecordedCall) -> list[str]:
    x, shape, weight, bias, eps = one.args
    if len(shape) != 1:
        raise UnsupportedOp("layer normalisation over several dimensions has no ONNX form here")
    weight = torch.ones(shape) if weight is None else weight
    inputs = [w.value(x), w.value(weight), *([] if bias is None else [w.value(bias)])]
    return [w.graph.op("LayerNormalization", *inputs, axis=-1, epsilon=float(eps))]


def _chosen(w: RowWriter, one: RecordedCall, two: RecordedCall) -> str:
    condition, a, b = one.args
    return w.graph.op("Where", w.value(condition), w.value(a, _dtype(one)), w.value(b, _dtype(one)))


def _filled(w: RowWriter, one: RecordedCall, two: RecordedCall) -> str:
    x, mask, value = one.args
    return w.graph.op("Where", w.value(mask), w.value(value, _dtype(one)), w.value(x))


def _like(value: float | None) -> Handler:
    """A tensor of the shape of another, with one value throughout."""

    def write(w: RowWriter, one: RecordedCall, two: RecordedCall) -> str:
        number = one.args[1] if value is None else value
        return w.graph.op("Expand", w.value(number, _dtype(one)), w.graph.op("Shape", w.value(one.args[0])))

    return write


def _normalized(kind: str) -> Handler:
    return lambda w, one, two: w.graph.op(kind, w.value(one.args[0], _dtype(one)), axis=one.args[1])


def _sorted(w: RowWriter, one: RecordedCall, two: RecordedCall) -> str:
    x, axis = one.args[0], one.args[1] if len(one.args) > 1 else -1
    descending = one.args[2] if len(one.args) > 2 else False
    return w.graph.op("TopK", w.value(x), w.graph.ints(x.shape[axis]), outputs=2, axis=axis, largest=int(descending))


def _indexed(w: RowWriter, one: RecordedCall, two: RecordedCall) -> str:
    """x[..., indices] along one dimension."""
    places = [(axis, index) for axis, index in enumerate(one.args[1]) if index is not None]
    if len(places) != 1 or id(places[0][1]) in w.names or places[0][0] == 0:
        raise UnsupportedOp("an index over several dimensions has no ONNX form here")
    axis, index = places[0]
    return w.graph.op("Gather", w.value(one.args[0]), w.graph.const(index.numpy()), axis=axis)


def _is_nan(w: RowWriter, one: RecordedCall, two: RecordedCall) -> str:
    return w.graph.op("IsNaN", w.value(one.args[0]))


OPERATORS |= {
    **{name: _unary(kind) for name, kind in {
        "sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu", "exp": "Exp", "log": "Log", "abs": "Abs", "neg": "Neg",
        "sqrt": "Sqrt", "reciprocal": "Reciprocal", "softplus": "Softplus",
    }.items()},
    **{name: _binary(kind) for name, kind in {
        "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "pow": "Pow", "maximum": "Max", "minimum": "Min",
        "mm": "MatMul", "bmm": "MatMul",
    }.items()},
    **{name: _compare(kind) for name, kind in {"gt": "Greater", "lt": "Less", "ge": "GreaterOrEqual",
                                               "le": "LessOrEqual", "eq": "Equal"}.items()},
    **dict.fromkeys(("clone", "detach", "contiguous", "alias", "_to_copy", "lift_fresh"), _same),
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "_reshape_alias", "flatten", "unflatten"), _reshaped),
    **dict.fromkeys(("split", "split_with_sizes", "chunk"), _parts),
    **dict.fromkeys(("t", "transpose"), _permuted(_swapped)),
    "rsub": _binary("Sub", swapped=True), "permute": _permuted(lambda call: list(call.args[1])), "addmm": _addmm,
    "linear": _linear, "expand": _expanded, "unbind": _unbound, "select": _selected, "slice": _sliced, "cat": _joined,
    "stack": _stacked,
    "unsqueeze": _unsqueezed, "squeeze": _squeezed, "sum": _reduced("ReduceSum"), "mean": _reduced("ReduceMean"),
    "amax": _reduced("ReduceMax"), "clamp": _clamped, "clamp_min": _clamped, "log_sigmoid_forward": _log_sigmoid,
    "native_layer_norm": _layer_norm, "where": _chosen, "masked_fill": _filled, "zeros_like": _like(0),
    "ones_like": _like(1), "full_like": _like(None), "_softmax": _normalized("Softmax"),
    "_log_softmax": _normalized("LogSoftmax"), "sort": _sorted, "index": _indexed,
    "isnan": _is_nan,
}  # fmt: skip
