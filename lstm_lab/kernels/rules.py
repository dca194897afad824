"""What a step may do on a tape: name of an operation -> (writer, name, pair of results, arguments) -> where it lies.

An operation that has no rule here, or whose rule raises `Refused`, sends the whole step through torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor

from lstm_lab.kernels.tape import ROWS, Move, Refused, Slot

if TYPE_CHECKING:
    from lstm_lab.kernels.writer import Writer

_MOST_RUNS = 256


def runs_of(dims: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """(first, length, stride 0 or 1) of pieces that follow each other in a row of `dims`: sizes and strides."""
    merged: list[tuple[int, int]] = []
    for size, stride in dims:
        if merged and merged[-1][1] == size * stride:
            merged[-1] = (merged[-1][0] * size, stride)
        else:
            merged.append((size, stride))
    if not merged:
        return [(0, 1, 1)]
    if merged[-1][1] not in (0, 1):
        merged.append((1, 1))
    *outer, (length, stride) = merged
    firsts = [0]
    for size, step in outer:
        firsts = [first + i * step for first in firsts for i in range(size)]
    return [(first, length, stride) for first in firsts]


def _width(pair: tuple[Tensor, Tensor]) -> int:
    return pair[0].numel() // ROWS[0]


def _unary(kind: str) -> Callable:
    def rule(w: Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
        return w.put(kind, _width(out), w.operand(args[0], out))

    return rule


def _sum(w: Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
    a, b, scale = args[0], args[1], float(kwargs.get("alpha", args[2] if len(args) > 2 else 1))
    if name == "rsub":
        a, b = b, a
    sign = scale if name == "add" else -scale
    if not isinstance(b, Tensor):
        return w.put("LINEAR", _width(out), w.operand(a, out), s2=sign * b)
    if not isinstance(a, Tensor):
        return w.put("LINEAR", _width(out), w.operand(b, out), s=sign, s2=float(a))
    return w.put("PLUS", _width(out), w.operand(a, out), w.operand(b, out), s=sign)


def _times(w: Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
    a, b = args[:2]
    if kwargs.get("rounding_mode"):
        raise Refused("rounded division")
    if not isinstance(a, Tensor):
        a, b = b, a
    if not isinstance(b, Tensor):
        return w.put("LINEAR", _width(out), w.operand(a, out), s=float(b) if name == "mul" else 1 / b)
    return w.put("TIMES" if name == "mul" else "OVER", _width(out), w.operand(a, out), w.operand(b, out))


def _binary(kind: str) -> Callable:
    def rule(w: Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
        return w.put(kind, _width(out), w.operand(args[0], out), w.operand(args[1], out))

    return rule


def _linear(s: float, s2: float = 0.0) -> Callable:
    def rule(w: Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
        return w.put("LINEAR", _width(out), w.operand(args[0], out), s=s, s2=s2)

    return rule


def _reciprocal(w: Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
    a, width = w.operand(args[0], out), _width(out)
    return w.put("OVER", width, w.put("FILL", width), w.put("SQRT", width, a) if name == "rsqrt" else a)


def _power(w: Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
    if len(args) > 1 and args[1] != 2:
        raise Refused(f"no tape for the power {args[1]}")
    a = w.operand(args[0], out)
    return w.put("TIMES", _width(out), a, a)


def _softplus(w: Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
    if len(args) > 1 and args[1] != 1:
        raise Refused("softplus with a slope")
    return w.put("SOFTPLUS", _width(out), w.operand(args[0], out))


def _silu(w: Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
    a, width = w.operand(args[0], out), _width(out)
    return w.put("TIMES", width, a, w.put("SIGMOID", width, a))


def _logaddexp(w: Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
    a, b, width = w.operand(args[0], out), w.operand(args[1], out), _width(out)
    return w.put("PLUS", width, a, w.put("SOFTPLUS", width, w.put("PLUS", width, b, a, s=-1.0)))


def _filled(w: Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
    value = 1.0 if "ones" in name else 0.0 if "zeros" in name else float(args[1] if name == "full_like" else args[2])
    return w.put("FILL", _width(out), s=value)


def _copy(w: Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
    if out[0].dtype is not args[0].dtype:
        raise Refused("a change of type")
    return w.put("COPY", _width(out), w.operand(args[0], out))


def _cat(w: Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
    """Each tensor copied to its place in the result."""
    dim, to = args[1] if len(args) > 1 else kwargs.get("dim", 0), w.field(_width(out))
    dim, lies, at = dim % out[0].dim(), w.inside(out), 0
    if dim == lies.row:
        raise Refused("rows joined to rows")
    for tensor in args[0]:
        size = tensor.shape[dim] if name == "cat" else 1
        place = (out[0].narrow(dim, at, size), out[1].narrow(dim, at, size))
        at += size
        within = w.inside(place)
        order = sorted(within.sizes, key=lambda d: -lies.strides[d])
        runs = runs_of([(within.sizes[d], within.strides[d]) for d in order if within.sizes[d] != 1])
        node = w.nodes[w.number(tensor)]
        if node.depends == 0:
            raise Refused("weights joined to rows")
        source = w.dense(node.pair, None, order if name == "cat" else [d - (d > dim) for d in order if d != dim])
        for first, length, _ in runs:
            w.tape.moves.append(Move("COPY", Slot("record", to + within.at + first), (source,), length))
            source = Slot(source.space, source.at + length)
    return Slot("record", to)


def _reduced(w: Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
    pair = w.twin(args[0])
    dims = [d % pair[0].dim() for d in (args[1] if len(args) > 1 and args[1] is not None else range(pair[0].dim()))]
    lies = w.inside(pair)
    if lies.row in dims:
        raise Refused("a sum over rows")
    kept = [d for d in lies.sizes if d not in dims]
    length = math.prod(lies.sizes[d] for d in dims)
    source = w.dense(pair, None, [*kept, *sorted(dims)])
    to = w.field(_width(out))
    for i in range(_width(out)):
        place = Slot(source.space, source.at + i * length)
        scale = 1 / length if name == "mean" else 1.0
        w.tape.moves.append(Move("TOTAL", Slot("record", to + i), (place,), length, scale))
    return Slot("record", to)


def _normal(w: Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
    x, shape, gain, shift, epsilon = args
    width = _width(out)
    if math.prod(shape) != width:
        raise Refused("a normalisation of a part of each row")
    moments = Slot("record", w.field(2))
    slot = w.put("NORMAL", width, w.operand(x, out), moments, moments, s=float(epsilon))
    if gain is not None:
        slot = w.put("TIMES", width, slot, w.operand(gain, out))
    if shift is not None:
        slot = w.put("PLUS", width, slot, w.operand(shift, out))
    return slot


def _product(w: Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
    """mm, addmm: (rows, k) (k, n); bmm: (heads, rows, k) (heads, k, n)."""
    if any(float(kwargs.get(key, 1)) != 1 for key in ("alpha", "beta")):
        raise Refused("a scaled product")
    bias, (a, M) = (args[0], args[1:3]) if name == "addmm" else (None, args[:2])
    if w.nodes[w.number(M)].depends or not w.nodes[w.number(a)].depends:
        raise Refused("a product of two tensors that both depend on the rows")
    pair, number = w.twin(a), w.known[id(M)]
    lies = w.inside(pair)
    if lies.row != pair[0].dim() - 2:
        raise Refused("a product over rows")
    heads = [None] if name != "bmm" else list(range(len(M)))
    k, n = M.shape[-2:]
    to = w.field(n * len(heads))
    for i, head in enumerate(heads):
        part = pair if head is None else (pair[0][head], pair[1][head])
        if head is not None:
            w.node(w.nodes[w.number(a)].depends, part)
        entry = (number, head, k, n)
        if entry not in w.tape.matrices:
            w.tape.matrices.append(entry)
        source = w.dense(part)
        move = Move("PRODUCT", Slot("record", to + i * n), (source,), n, matrix=w.tape.matrices.index(entry))
        w.tape.moves.append(move)
    result = Slot("record", to)
    return result if bias is None else w.put("PLUS", n, result, w.operand(bias, out))


RULES: dict[str, Callable] = {
    "sigmoid": _unary("SIGMOID"), "tanh": _unary("TANH"), "relu": _unary("RELU"), "exp": _unary("EXP"),
    "log": _unary("LOG"), "log_sigmoid_forward": _unary("LOGSIGMOID"), "sqrt": _unary("SQRT"), "abs": _unary("ABS"),
    "add": _sum, "sub": _sum, "rsub": _sum, "mul": _times, "div": _times, "neg": _linear(-1.0),
    "maximum": _binary("MOST_OF"), "minimum": _binary("LEAST_OF"), "logaddexp": _logaddexp,
    "reciprocal": _reciprocal, "rsqrt": _reciprocal, "pow": _power, "square": _power, "softplus": _softplus,
    "silu": _silu, "zeros_like": _filled, "ones_like": _filled, "full_like": _filled, "new_zeros": _filled,
    "new_ones": _filled, "new_full": _filled, "clone": _copy, "_to_copy": _copy, "cat": _cat, "stack": _cat,
    "sum": _reduced, "mean": _reduced, "native_layer_norm": _normal, "mm": _product, "addmm": _product, "bmm": _product,
}  # fmt: skip
