"""How operators of torch are written on a tape: one rule per operator, found in `RULES` by the operator's name.

An operator without a rule, or whose rule raises `UnsupportedOp`, sends the whole step through torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from lstm_lab.kernels.recording import Pair, contiguous_runs, row_layout
from lstm_lab.kernels.tape import ROWS, Instruction, MatrixRef, Operation, Slot, UnsupportedOp
from lstm_lab.kernels.writer import Rule, Writer

Args = tuple[Any, ...]
Kwargs = dict[str, Any]
Write = Callable[[Writer, Pair, Args, Kwargs], Slot]

RULES: dict[str, Rule] = {}
"""Name of an operator, without its overload -> its rule."""


def rule(name: str, takes_shape: bool = False) -> Callable[[Write], Write]:
    """Decorator: register a function as the rule of an operator."""

    def register(write: Write) -> Write:
        RULES[name] = Rule(write, takes_shape)
        return write

    return register


def _width(out: Pair) -> int:
    return out[0].numel() // ROWS[0]


# ---- pointwise, one argument


def _unary(operation: Operation) -> Write:
    def write(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
        return w.put(operation, _width(out), w.operand(args[0], out))

    return write


for _name, _operation in {
    "sigmoid": Operation.SIGMOID,
    "tanh": Operation.TANH,
    "relu": Operation.RELU,
    "exp": Operation.EXP,
    "log": Operation.LOG,
    "log_sigmoid_forward": Operation.LOGSIGMOID,
    "sqrt": Operation.SQRT,
    "abs": Operation.ABS,
}.items():
    rule(_name)(_unary(_operation))


@rule("neg")
def _neg(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    return w.put(Operation.AFFINE, _width(out), w.operand(args[0], out), scale=-1.0)


@rule("reciprocal")
def _reciprocal(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    a, width = w.operand(args[0], out), _width(out)
    return w.put(Operation.DIV, width, w.put(Operation.FILL, width), a)


@rule("rsqrt")
def _rsqrt(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    a, width = w.operand(args[0], out), _width(out)
    one = w.put(Operation.FILL, width)
    return w.put(Operation.DIV, width, one, w.put(Operation.SQRT, width, a))


@rule("square")
def _square(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    a = w.operand(args[0], out)
    return w.put(Operation.MUL, _width(out), a, a)


@rule("pow")
def _pow(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    if args[1] != 2:
        raise UnsupportedOp(f"no rule for the power {args[1]}")
    return _square(w, out, args, kwargs)


@rule("softplus")
def _softplus(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    if len(args) > 1 and args[1] != 1:
        raise UnsupportedOp("softplus with a slope")
    return w.put(Operation.SOFTPLUS, _width(out), w.operand(args[0], out))


@rule("silu")
def _silu(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    a, width = w.operand(args[0], out), _width(out)
    return w.put(Operation.MUL, width, a, w.put(Operation.SIGMOID, width, a))


@rule("clone")
@rule("_to_copy")
def _copy(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    if out[0].dtype is not args[0].dtype:
        raise UnsupportedOp("a change of dtype")
    return w.put(Operation.COPY, _width(out), w.operand(args[0], out))


# ---- pointwise, two arguments


def _sum(w: Writer, out: Pair, a: Any, b: Any, scale: float) -> Slot:
    """a + scale * b, where one of the two may be a number."""
    if not isinstance(b, Tensor):
        return w.put(Operation.AFFINE, _width(out), w.operand(a, out), shift=scale * b)
    if not isinstance(a, Tensor):
        return w.put(Operation.AFFINE, _width(out), w.operand(b, out), scale=scale, shift=float(a))
    return w.put(Operation.ADD, _width(out), w.operand(a, out), w.operand(b, out), scale=scale)


def _alpha(args: Args, kwargs: Kwargs) -> float:
    if "alpha" in kwargs:
        return float(kwargs["alpha"])
    return float(args[2]) if len(args) > 2 else 1.0


@rule("add")
def _add(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    return _sum(w, out, args[0], args[1], _alpha(args, kwargs))


@rule("sub")
def _sub(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    return _sum(w, out, args[0], args[1], -_alpha(args, kwargs))


@rule("rsub")
def _rsub(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    return _sum(w, out, args[1], args[0], -_alpha(args, kwargs))


@rule("mul")
def _mul(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    a, b = args if isinstance(args[0], Tensor) else args[::-1]
    if not isinstance(b, Tensor):
        return w.put(Operation.AFFINE, _width(out), w.operand(a, out), scale=float(b))
    return w.put(Operation.MUL, _width(out), w.operand(a, out), w.operand(b, out))


@rule("div")
def _div(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    if kwargs.get("rounding_mode"):
        raise UnsupportedOp("rounded division")
    a, b = args[:2]
    if not isinstance(b, Tensor):
        return w.put(Operation.AFFINE, _width(out), w.operand(a, out), scale=1 / b)
    return w.put(Operation.DIV, _width(out), w.operand(a, out), w.operand(b, out))


def _binary(operation: Operation) -> Write:
    def write(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
        return w.put(operation, _width(out), w.operand(args[0], out), w.operand(args[1], out))

    return write


rule("maximum")(_binary(Operation.MAX))
rule("minimum")(_binary(Operation.MIN))


@rule("logaddexp")
def _logaddexp(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    a, b, width = w.operand(args[0], out), w.operand(args[1], out), _width(out)
    difference = w.put(Operation.ADD, width, b, a, scale=-1.0)
    return w.put(Operation.ADD, width, a, w.put(Operation.SOFTPLUS, width, difference))


# ---- constants


@rule("zeros_like")
@rule("new_zeros", takes_shape=True)
def _zeros(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    return w.put(Operation.FILL, _width(out), scale=0.0)


@rule("ones_like")
@rule("new_ones", takes_shape=True)
def _ones(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    return w.put(Operation.FILL, _width(out), scale=1.0)


@rule("full_like")
def _full_like(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    return w.put(Operation.FILL, _width(out), scale=float(args[1]))


@rule("new_full", takes_shape=True)
def _new_full(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    return w.put(Operation.FILL, _width(out), scale=float(args[2]))


# ---- joining


def _join(w: Writer, out: Pair, tensors: list[Tensor], dim: int, new_dim: bool) -> Slot:
    """Each tensor copied to its place in the result, along an existing or a new dimension."""
    to, layout, at = w.allocate(_width(out)), row_layout(out), 0
    dim %= out[0].dim()
    if dim == layout.row:
        raise UnsupportedOp("rows joined to rows")
    for tensor in tensors:
        if not w.depends_on_rows(tensor):
            raise UnsupportedOp("weights joined to rows")
        size = 1 if new_dim else tensor.shape[dim]
        place = row_layout((out[0].narrow(dim, at, size), out[1].narrow(dim, at, size)))
        at += size
        order = sorted(place.sizes, key=lambda d: -layout.strides[d])
        runs = contiguous_runs([(place.sizes[d], place.strides[d]) for d in order if place.sizes[d] != 1])
        own = [d - (d > dim) for d in order if d != dim] if new_dim else order  # its dimensions in that order
        source = w.contiguous(w.pair_of(tensor), None, own)
        for first, length, _ in runs:
            target = Slot("values", to + place.offset + first)
            w.tape.forward.append(Instruction(Operation.COPY, target, (source,), length))
            source = Slot(source.buffer, source.offset + length)
    return Slot("values", to)


@rule("cat")
def _cat(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    return _join(w, out, args[0], args[1] if len(args) > 1 else kwargs.get("dim", 0), new_dim=False)


@rule("stack")
def _stack(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    return _join(w, out, args[0], args[1] if len(args) > 1 else kwargs.get("dim", 0), new_dim=True)


# ---- reductions


def _reduce(w: Writer, out: Pair, args: Args, mean: bool) -> Slot:
    pair = w.pair_of(args[0])
    all_dims = range(pair[0].dim())
    dims = [d % pair[0].dim() for d in (args[1] if len(args) > 1 and args[1] is not None else all_dims)]
    layout = row_layout(pair)
    if layout.row in dims:
        raise UnsupportedOp("a reduction over rows")
    rest = [d for d in layout.sizes if d not in dims]
    length = math.prod(layout.sizes[d] for d in dims)
    source = w.contiguous(pair, None, [*rest, *sorted(dims)])
    to, scale = w.allocate(_width(out)), 1 / length if mean else 1.0
    for i in range(_width(out)):
        part = Slot(source.buffer, source.offset + i * length)
        w.tape.forward.append(Instruction(Operation.SUM, Slot("values", to + i), (part,), length, scale))
    return Slot("values", to)


@rule("sum")
def _sum_over(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    return _reduce(w, out, args, mean=False)


@rule("mean")
def _mean_over(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    return _reduce(w, out, args, mean=True)


@rule("native_layer_norm")
def _layer_norm(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    x, shape, gain, shift, epsilon = args
    width = _width(out)
    if math.prod(shape) != width:
        raise UnsupportedOp("a normalisation of a part of each row")
    moments = Slot("values", w.allocate(2))
    slot = w.put(Operation.NORMALIZE, width, w.operand(x, out), moments, moments, scale=float(epsilon))
    if gain is not None:
        slot = w.put(Operation.MUL, width, slot, w.operand(gain, out))
    if shift is not None:
        slot = w.put(Operation.ADD, width, slot, w.operand(shift, out))
    return slot


# ---- products


def _matmul(w: Writer, a: Tensor, M: Tensor, heads: list[int | None]) -> Slot:
    """(rows, k) (k, n); with heads (heads, rows, k) (heads, k, n), one after the other."""
    if w.depends_on_rows(M) or not w.depends_on_rows(a):
        raise UnsupportedOp("a product of two tensors that both depend on the rows")
    pair = w.pair_of(a)
    if row_layout(pair).row != pair[0].dim() - 2:
        raise UnsupportedOp("a product over rows")
    k, n = M.shape[-2:]
    to = w.allocate(n * len(heads))
    for i, head in enumerate(heads):
        part = pair
        if head is not None:
            part = (pair[0][head], pair[1][head])
            w.enter(w.nodes[w.number(a)].depends, part)
        entry = MatrixRef(w.number(M), head, k, n)
        if entry not in w.tape.matrices:
            w.tape.matrices.append(entry)
        source, target = w.contiguous(part), Slot("values", to + i * n)
        matrix = w.tape.matrices.index(entry)
        w.tape.forward.append(Instruction(Operation.MATMUL, target, (source,), n, matrix=matrix))
    return Slot("values", to)


@rule("mm")
def _mm(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    return _matmul(w, args[0], args[1], [None])


@rule("bmm")
def _bmm(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    return _matmul(w, args[0], args[1], list(range(len(args[1]))))


@rule("addmm")
def _addmm(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    if any(float(kwargs.get(key, 1)) != 1 for key in ("alpha", "beta")):
        raise UnsupportedOp("a scaled product")
    product = _matmul(w, args[1], args[2], [None])
    return w.put(Operation.ADD, _width(out), product, w.operand(args[0], out))
