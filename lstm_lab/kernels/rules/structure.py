"""Rules of operators that join, reduce or normalise within rows."""

from __future__ import annotations

import math

from torch import Tensor

from lstm_lab.kernels.recording import Args, Kwargs, Pair, contiguous_runs, row_layout
from lstm_lab.kernels.rules.registry import rule, width_of
from lstm_lab.kernels.tape import Instruction, Operation, Slot, UnsupportedOp
from lstm_lab.kernels.writer import Writer

# ---- joining


def _join(w: Writer, out: Pair, tensors: list[Tensor], dim: int, new_dim: bool) -> Slot:
    """Each tensor copied to its place in the result, along an existing or a new dimension."""
    to, layout, at = w.allocate(width_of(out)), row_layout(out), 0
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
    to, scale = w.allocate(width_of(out)), 1 / length if mean else 1.0
    for i in range(width_of(out)):
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
    width = width_of(out)
    if math.prod(shape) != width:
        raise UnsupportedOp("a normalisation of a part of each row")
    moments = Slot("values", w.allocate(2))
    slot = w.put(Operation.NORMALIZE, width, w.operand(x, out), moments, moments, scale=float(epsilon))
    if gain is not None:
        slot = w.put(Operation.MUL, width, slot, w.operand(gain, out))
    if shift is not None:
        slot = w.put(Operation.ADD, width, slot, w.operand(shift, out))
    return slot
