"""Calling the compiled CPU engine: one layer over a padded batch, its place in autograd."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lstm_lab.kernels.native import Job, engine

LSTM, GRU, RNN, NORM = range(4)
_LANES = 16  # of the widest vector, in float32: what row strides are rounded to
_REFUSAL = (
    "the fused kernels compute no second derivatives; run the way forward inside lstm_lab.kernels.disabled(), "
    "where torch computes them"
)


def _pointer(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def stride(width: int, itemsize: int) -> int:
    """Elements from row to row: whole vectors, and no power of two, where all rows would fall into one cache set."""
    stride = -(-width // _LANES) * _LANES
    return stride + _LANES if stride * itemsize % 1024 == 0 else stride


def sequence(
    family: int,
    flags: int,
    reverse: bool,
    gates: int,
    x: Tensor,
    lengths: Tensor,
    h0: Tensor | None,
    c0: Tensor | None,
    W: Tensor,
    U: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    peephole: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """One layer over a padded batch. Shapes as `struct Job` in engine.cpp has them; c is empty where there is none."""
    tensors = (x, h0, c0, W, U, b_ih, b_hh, peephole)
    lengths = lengths.to("cpu", torch.int64).contiguous()
    arguments = (engine(), family, flags, reverse, gates, torch.get_num_threads(), lengths)
    # What need not be kept is not: no rows, no gates, two steps of state.
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
        return _Sequence.apply(*arguments, *tensors)
    return _forward(arguments, tensors, training=False)[0]


def _forward(arguments: tuple, tensors: tuple, training: bool) -> tuple[tuple, tuple, Job]:
    native, family, flags, reverse, gates, threads, lengths = arguments
    tensors = tuple(_dense(t) for t in tensors)
    x, U = tensors[0], tensors[4]
    B, T, I = x.shape  # noqa: E741
    H = U.shape[1]
    size, has_c = x.element_size(), family in (LSTM, NORM)
    rows, padded = (B * T if training else 2 * B), -(-H // _LANES) * _LANES
    keeps = {GRU: 4 * H, NORM: 13 * H + 3}.get(family, gates * H)  # elements of a row of gates
    rows_ld, gates_ld = stride(H + 1 + I, size), stride(keeps, size)
    out, hT, cT = x.new_empty(B, T, H), x.new_empty(B, H), x.new_empty(B, H if has_c else 0)
    kept = (
        x.new_empty(rows, rows_ld),
        x.new_empty(rows if training or family == NORM else 0, gates_ld),
        x.new_empty(rows if has_c else 0, padded),
        x.new_empty(rows if has_c and training else 0, padded),
    )
    job = Job(family, flags, threads, training, reverse, B, T, I, H)
    job.x_b, job.x_t = x.stride(0), x.stride(1)
    job.rows_ld, job.gates_ld = rows_ld, gates_ld
    _point(job, lengths, tensors, kept)
    job.out, job.hT, job.cT = out.data_ptr(), hT.data_ptr(), cT.data_ptr()
    _checked(native.forward[x.dtype](job), T)
    return (out, hT, cT), kept, job


def _point(job: Job, lengths: Tensor, tensors: tuple, kept: tuple) -> None:
    job.lengths = lengths.data_ptr()
    job.x, job.h0, job.c0, job.W, job.U, job.b_ih, job.b_hh, job.peep = map(_pointer, tensors)
    job.rows, job.gates, job.cells, job.tanhs = map(_pointer, kept)


def _dense(tensor: Tensor | None) -> Tensor | None:
    """Contiguous, but for the first two axes of a batch."""
    if tensor is None or tensor.is_contiguous():
        return tensor
    return tensor if tensor.dim() == 3 and tensor.stride(2) == 1 else tensor.contiguous()


def _checked(code: int, steps: int) -> None:
    if code == -1:
        raise ValueError(f"every length must lie in 0..{steps}, the steps of the batch")
    if code < 0:
        raise MemoryError(
            "the native engine could not allocate its scratch memory: lower the batch size, or LSTM_LAB_KERNELS=off"
        )


def once(grads: tuple) -> tuple:
    """Gradients that refuse, under create_graph=True, to be differentiated: when someone tries, and not before."""
    if not torch.is_grad_enabled():
        return grads
    refusal: Any = torch._C._functions.DelayedError(_REFUSAL, len(grads))
    return refusal(*(None if g is None else g.detach().requires_grad_() for g in grads))


class _Sequence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
        arguments, tensors = inputs[:7], inputs[7:]
        ctx.arguments, ctx.spent = arguments, False
        outputs, kept, ctx.job = _forward(arguments, tensors, training=True)
        ctx.save_for_backward(*tensors, outputs[2], *kept)
        ctx.set_materialize_grads(False)
        return outputs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple:
        with torch.no_grad():
            results = _Sequence.way_back(ctx, *grads)
        return once(results)

    @staticmethod
    def way_back(ctx: Any, dout: Tensor | None, dhT: Tensor | None, dcT: Tensor | None) -> tuple:
        native, job, lengths = ctx.arguments[0], ctx.job, ctx.arguments[-1]
        *tensors, cT, rows, gates, cells, tanhs = ctx.saved_tensors
        if ctx.spent:  # gradients have been written over the gates: a second way back computes them anew
            (_, _, cT), (rows, gates, cells, tanhs), job = _forward(ctx.arguments, tuple(tensors), training=True)
        ctx.spent = True
        tensors = tuple(_dense(t) for t in tensors)
        x, peephole = tensors[0], tensors[7]
        dout, dhT, dcT = (None if g is None else _dense(g) for g in (dout, dhT, dcT))
        _point(job, lengths, tensors, (rows, gates, cells, tanhs))
        job.x_b, job.x_t, job.cT = x.stride(0), x.stride(1), cT.data_ptr()
        job.dout, job.dhT, job.dcT = _pointer(dout), _pointer(dhT), _pointer(dcT)
        if dout is not None:
            job.dout_b, job.dout_t = dout.stride(0), dout.stride(1)
        need = ctx.needs_input_grad[7:]
        weights = any(need[3:7])  # one product gives all of these
        grads = [
            x.new_empty(t.shape) if t is not None and (weights if 3 <= i < 7 else need[i]) else None
            for i, t in enumerate(tensors)
        ]
        if peephole is not None and need[7]:  # each thread adds up its own
            grads[7] = x.new_empty(native.threads(job), *peephole.shape)
        job.dx, job.dh0, job.dc0, job.dW, job.dU, job.db_ih, job.db_hh, job.dpeep = map(_pointer, grads)
        _checked(native.backward[x.dtype](job), x.shape[1])
        if grads[7] is not None:
            grads[7] = grads[7].sum(0)
        return (*(None,) * 7, *(grad if needed else None for grad, needed in zip(grads, need, strict=True)))
