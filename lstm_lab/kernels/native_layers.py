"""Calling the compiled CPU engine: one layer over a padded batch, with its place in autograd."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from enum import IntEnum, IntFlag
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from lstm_lab.kernels import noise_call
from lstm_lab.kernels.native import Engine, LayerCall, require_engine
from lstm_lab.kernels.noise import RecurrentNoise
from lstm_lab.kernels.noise_call import DrawnNoise, NoiseCall
from lstm_lab.kernels.reference import Variant

NO_MEMORY = "the native engine could not allocate its scratch memory: lower the batch size, or set LSTM_LAB_KERNELS=off"
_LANES = 16  # of the widest vector, in float32: row strides are rounded up to it
_NO_SECOND_DERIVATIVES = (
    "the fused kernels compute no second derivatives; run the forward pass inside lstm_lab.kernels.disabled(), "
    "where torch computes them"
)


class Family(IntEnum):
    """Mirrors `enum Family` in csrc/layer.h."""

    LSTM = 0
    GRU = 1
    RNN = 2
    NORM = 3
    """LSTM with layer normalisation."""


class Flag(IntFlag):
    """Mirrors `enum Flag` in csrc/layer.h: variants of the LSTM (see `Variant`), and RELU of the Elman network."""

    NIG = 1
    NFG = 2
    NOG = 4
    NIAF = 8
    NOAF = 16
    PEEPHOLE = 32
    CIFG = 64
    RELU = 128


def lstm_flags(variant: Variant, peephole: bool) -> int:
    """Those of an LSTM."""
    return (
        Flag.NIG * (not variant.input_gate)
        | Flag.NFG * (not variant.forget_gate)
        | Flag.NOG * (not variant.output_gate)
        | Flag.NIAF * (not variant.input_activation)
        | Flag.NOAF * (not variant.output_activation)
        | Flag.PEEPHOLE * peephole
        | Flag.CIFG * variant.coupled
    )


class Context(Protocol):
    """What torch gives the passes of an autograd function."""

    needs_input_grad: tuple[bool, ...]
    saved_tensors: tuple[Tensor, ...]

    def save_for_backward(self, *tensors: Tensor | None) -> None: ...

    def set_materialize_grads(self, value: bool) -> None: ...


class Options(NamedTuple):
    engine: Engine
    family: Family
    flags: int
    reverse: bool
    num_gates: int
    threads: int
    lengths: Tensor
    noise: DrawnNoise | None


class Inputs(NamedTuple):
    """Shapes as in `struct LayerCall`."""

    x: Tensor
    h0: Tensor | None
    c0: Tensor | None
    W: Tensor
    U: Tensor
    b_ih: Tensor | None
    b_hh: Tensor | None
    extra: Tensor | None


class Saved(NamedTuple):
    """What the backward pass reads, as in `struct LayerCall`."""

    rows: Tensor
    gates: Tensor
    cells: Tensor
    tanhs: Tensor
    before: Tensor
    """Of `struct Noise`; empty where it is not needed."""


def row_stride(width: int, itemsize: int) -> int:
    """Elements from row to row: whole vectors, and no power of two, with which all rows would share one cache set."""
    stride = -(-width // _LANES) * _LANES
    return stride + _LANES if stride * itemsize % 1024 == 0 else stride


def sequence(
    family: Family,
    flags: int,
    reverse: bool,
    num_gates: int,
    x: Tensor,
    lengths: Tensor,
    h0: Tensor | None,
    c0: Tensor | None,
    W: Tensor,
    U: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    extra: Tensor | None,
    noise: RecurrentNoise | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """One layer over a padded batch.

    Args:
        flags: a combination of `Flag`.
        num_gates: G, with weights.
        extra: peepholes (3, H) of an LSTM; gains and shifts (14, H) of one with layer normalisation.
        noise: None for none, which costs nothing.
        others: shapes as in `kernels.lstm`.

    Returns:
        Outputs (B, T, H), final h (B, H), and final c, (B, 0) where there is none.
    """
    inputs = Inputs(x, h0, c0, W, U, b_ih, b_hh, extra)
    lengths = lengths.to("cpu", torch.int64).contiguous()
    drawn = None if noise is None else noise_call.draw(noise, x.shape[1], U.shape[1])
    options = Options(require_engine(), family, flags, reverse, num_gates, torch.get_num_threads(), lengths, drawn)
    # Without gradients nothing is saved: no gates, and two steps of rows and states.
    if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in inputs):
        apply: Callable[..., tuple[Tensor, Tensor, Tensor]] = _Sequence.apply
        return apply(options, *inputs)
    return _forward(options, inputs, training=False)[0]


def _forward(
    options: Options, inputs: Inputs, training: bool
) -> tuple[tuple[Tensor, Tensor, Tensor], Saved, LayerCall]:
    inputs = _dense_inputs(inputs)
    _, saved, call = prepared = prepare(options, inputs, training)
    run(options.engine.forward[inputs.x.dtype], call, options, saved)
    return prepared


def prepare(options: Options, inputs: Inputs, training: bool) -> tuple[tuple[Tensor, Tensor, Tensor], Saved, LayerCall]:
    """Memory for a forward pass over dense inputs, and the call that computes it.

    Returns:
        Outputs, final h and final c, as `sequence`; what the backward pass reads; the call, which reads the inputs.
    """
    family, x, U = options.family, inputs.x, inputs.U
    B, T, I = x.shape  # noqa: E741
    H = U.shape[1]
    size, has_c = x.element_size(), family in (Family.LSTM, Family.NORM)
    rows, padded = (B * T if training else 2 * B), -(-H // _LANES) * _LANES
    gates_width = {Family.GRU: 4 * H, Family.NORM: 13 * H + 3}.get(family, options.num_gates * H)
    rows_stride, gates_stride = row_stride(H + 1 + I, size), row_stride(gates_width, size)
    out, hT, cT = x.new_empty(B, T, H), x.new_empty(B, H), x.new_empty(B, H if has_c else 0)
    noise = options.noise
    copied = noise is not None and noise.masks_state and (family is Family.GRU or noise.reads_state)
    saved = Saved(
        rows=x.new_empty(rows, rows_stride),
        gates=x.new_empty(rows if training or family is Family.NORM else 0, gates_stride),
        cells=x.new_empty(rows if has_c else 0, padded),
        tanhs=x.new_empty(rows if has_c and training else 0, padded),
        before=x.new_empty(rows if copied else 0, padded),
    )
    call = LayerCall(family, options.flags, options.threads, training, options.reverse, B, T, I, H)
    call.rows_stride, call.gates_stride = rows_stride, gates_stride
    _set_pointers(call, options.lengths, inputs, saved)
    call.out, call.hT, call.cT = out.data_ptr(), hT.data_ptr(), cT.data_ptr()
    return (out, hT, cT), saved, call


def pointer(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _set_pointers(call: LayerCall, lengths: Tensor, inputs: Inputs, saved: Saved) -> None:
    call.lengths = lengths.data_ptr()
    call.x, call.h0, call.c0, call.W, call.U, call.b_ih, call.b_hh, call.extra = map(pointer, inputs)
    call.x_stride_b, call.x_stride_t = inputs.x.stride(0), inputs.x.stride(1)
    call.rows, call.gates, call.cells, call.tanhs = map(pointer, saved[:4])


def dense(tensor: Tensor) -> Tensor:
    """Contiguous, but for the first two dimensions of a batch."""
    if tensor.is_contiguous() or (tensor.dim() == 3 and tensor.stride(2) == 1):
        return tensor
    return tensor.contiguous()


def _dense_inputs(inputs: Inputs) -> Inputs:
    return Inputs(*(None if tensor is None else dense(tensor) for tensor in inputs))  # type: ignore[arg-type]


def run(function: Callable[[LayerCall], int], call: LayerCall, options: Options, saved: Saved) -> None:
    noise: NoiseCall | None = None if options.noise is None else options.noise.to_call(saved.before)
    call.noise = None if noise is None else ctypes.addressof(noise)
    code = function(call)
    if code == -1:
        raise ValueError(f"every length must lie in 0..{call.T}, the steps of the batch")
    if code < 0:
        raise MemoryError(NO_MEMORY)


def first_order_only(grads: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    """Gradients that raise an error when they are differentiated themselves, as after create_graph=True."""
    if not torch.is_grad_enabled():
        return grads
    # Any: torch declares that it takes one list.
    error: Any = torch._C._functions.DelayedError(_NO_SECOND_DERIVATIVES, len(grads))
    found: tuple[Tensor | None, ...] = error(*(None if g is None else g.detach().requires_grad_() for g in grads))
    return found


class _Context(Context, Protocol):
    options: Options
    layer_call: LayerCall
    gates_overwritten: bool


class _Sequence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: _Context, options: Options, x: Tensor, h0: Tensor | None, c0: Tensor | None, W: Tensor, U: Tensor,
        b_ih: Tensor | None, b_hh: Tensor | None, extra: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        inputs = Inputs(x, h0, c0, W, U, b_ih, b_hh, extra)
        ctx.options, ctx.gates_overwritten = options, False
        outputs, saved, ctx.layer_call = _forward(options, inputs, training=True)
        ctx.save_for_backward(*inputs, outputs[2], *saved)
        ctx.set_materialize_grads(False)
        return outputs

    @staticmethod
    def backward(ctx: _Context, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        with torch.no_grad():
            results = _Sequence.gradients(ctx, *grads)
        return (None, *first_order_only(results))

    @staticmethod
    def gradients(
        ctx: _Context, dout: Tensor | None, dhT: Tensor | None, dcT: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """Gradients of `Inputs`."""
        options, call = ctx.options, ctx.layer_call
        *tensors, cT, rows, gates, cells, tanhs, before = ctx.saved_tensors
        inputs, saved = Inputs(*tensors), Saved(rows, gates, cells, tanhs, before)
        if ctx.gates_overwritten:  # by the gradients of an earlier backward pass: compute them again
            (_, _, cT), saved, call = _forward(options, inputs, training=True)
        ctx.gates_overwritten = True
        inputs = _dense_inputs(inputs)
        x, extra = inputs.x, inputs.extra
        dout, dhT, dcT = (None if grad is None else dense(grad) for grad in (dout, dhT, dcT))
        _set_pointers(call, options.lengths, inputs, saved)
        call.cT = cT.data_ptr()
        call.dout, call.dhT, call.dcT = pointer(dout), pointer(dhT), pointer(dcT)
        if dout is not None:
            call.dout_stride_b, call.dout_stride_t = dout.stride(0), dout.stride(1)
        needed = ctx.needs_input_grad[1:]
        weights = any(needed[3:7])  # one product gives all of these
        grads = [
            x.new_empty(tensor.shape) if tensor is not None and (weights if 3 <= i < 7 else needed[i]) else None
            for i, tensor in enumerate(inputs)
        ]
        if extra is not None and needed[7]:  # each thread adds up its own
            grads[7] = x.new_empty(options.engine.threads(call), *extra.shape)
        call.dx, call.dh0, call.dc0, call.dW, call.dU, call.db_ih, call.db_hh, call.d_extra = map(pointer, grads)
        run(options.engine.backward[x.dtype], call, options, saved)
        if (d_extra := grads[7]) is not None:
            grads[7] = d_extra.sum(0)
        return tuple(grad if needs else None for grad, needs in zip(grads, needed, strict=True))
