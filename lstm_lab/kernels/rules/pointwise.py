"""Rules of pointwise operators and of constants."""

from __future__ import annotations

from torch import Tensor

from lstm_lab.kernels.recording import Args, Kwargs, Pair
from lstm_lab.kernels.rules.registry import Write, rule, width_of
from lstm_lab.kernels.tape import Operation, Slot, UnsupportedOp
from lstm_lab.kernels.writer import Writer

# ---- pointwise, one argument


def _unary(operation: Operation) -> Write:
    def write(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
        return w.put(operation, width_of(out), w.operand(args[0], out))

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
    return w.put(Operation.AFFINE, width_of(out), w.operand(args[0], out), scale=-1.0)


@rule("reciprocal")
def _reciprocal(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    a, width = w.operand(args[0], out), width_of(out)
    return w.put(Operation.DIV, width, w.put(Operation.FILL, width), a)


@rule("rsqrt")
def _rsqrt(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    a, width = w.operand(args[0], out), width_of(out)
    one = w.put(Operation.FILL, width)
    return w.put(Operation.DIV, width, one, w.put(Operation.SQRT, width, a))


@rule("square")
def _square(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    a = w.operand(args[0], out)
    return w.put(Operation.MUL, width_of(out), a, a)


@rule("pow")
def _pow(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    if args[1] != 2:
        raise UnsupportedOp(f"no rule for the power {args[1]}")
    return _square(w, out, args, kwargs)


@rule("softplus")
def _softplus(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    if len(args) > 1 and args[1] != 1:
        raise UnsupportedOp("softplus with a slope")
    return w.put(Operation.SOFTPLUS, width_of(out), w.operand(args[0], out))


@rule("silu")
def _silu(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    a, width = w.operand(args[0], out), width_of(out)
    return w.put(Operation.MUL, width, a, w.put(Operation.SIGMOID, width, a))


@rule("clone")
@rule("_to_copy")
def _copy(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    if out[0].dtype is not args[0].dtype:
        raise UnsupportedOp("a change of dtype")
    return w.put(Operation.COPY, width_of(out), w.operand(args[0], out))


# ---- pointwise, two arguments


def _sum(w: Writer, out: Pair, a: Tensor | float, b: Tensor | float, scale: float) -> Slot:
    """a + scale * b, where one of the two may be a number."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return w.put(Operation.ADD, width_of(out), w.operand(a, out), w.operand(b, out), scale=scale)
    if isinstance(b, Tensor):
        return w.put(Operation.AFFINE, width_of(out), w.operand(b, out), scale=scale, shift=float(a))
    assert isinstance(a, Tensor)
    return w.put(Operation.AFFINE, width_of(out), w.operand(a, out), shift=scale * b)


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
        return w.put(Operation.AFFINE, width_of(out), w.operand(a, out), scale=float(b))
    return w.put(Operation.MUL, width_of(out), w.operand(a, out), w.operand(b, out))


@rule("div")
def _div(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    if kwargs.get("rounding_mode"):
        raise UnsupportedOp("rounded division")
    a, b = args[:2]
    if not isinstance(b, Tensor):
        return w.put(Operation.AFFINE, width_of(out), w.operand(a, out), scale=1 / b)
    return w.put(Operation.DIV, width_of(out), w.operand(a, out), w.operand(b, out))


def _binary(operation: Operation) -> Write:
    def write(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
        return w.put(operation, width_of(out), w.operand(args[0], out), w.operand(args[1], out))

    return write


rule("maximum")(_binary(Operation.MAX))
rule("minimum")(_binary(Operation.MIN))


@rule("logaddexp")
def _logaddexp(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    a, b, width = w.operand(args[0], out), w.operand(args[1], out), width_of(out)
    difference = w.put(Operation.ADD, width, b, a, scale=-1.0)
    return w.put(Operation.ADD, width, a, w.put(Operation.SOFTPLUS, width, difference))


# ---- constants


@rule("zeros_like")
@rule("new_zeros", takes_shape=True)
def _zeros(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    return w.put(Operation.FILL, width_of(out), scale=0.0)


@rule("ones_like")
@rule("new_ones", takes_shape=True)
def _ones(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    return w.put(Operation.FILL, width_of(out), scale=1.0)


@rule("full_like")
def _full_like(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    return w.put(Operation.FILL, width_of(out), scale=float(args[1]))


@rule("new_full", takes_shape=True)
def _new_full(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    return w.put(Operation.FILL, width_of(out), scale=float(args[2]))
