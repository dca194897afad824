"""The Triton kernels as autograd functions. All tensors are time first; torch computes z = W x + b before.

Products over all steps at once, as for the gradient of U, are torch's too. Triton is imported at the first call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from lstm_lab.kernels import native_layers
from lstm_lab.kernels.reference import Variant

_ROWS = 16  # samples per program: the minimum of tensor cores


class _Kernel(Protocol):
    """A function that Triton compiles."""

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., object]: ...


class _Context(native_layers.Context, Protocol):
    options: dict[str, object]
    """Compile-time arguments."""


class _LSTMContext(_Context, Protocol):
    variant: Variant
    has_peephole: bool


def options(dtype: torch.dtype, H: int) -> dict[str, object]:
    """Compile-time arguments of all kernels. The tiles fit into 99 KiB of shared memory, that of a small GPU."""
    wide = min(64, max(16, 1 << (H - 1).bit_length()))
    return {
        "H": H,
        "BM": _ROWS,
        "BN": wide,
        # Three products on tensor cores: nearly as exact as float32. Other dtypes have no alternatives.
        "PRECISION": "tf32x3" if dtype is torch.float32 else "ieee",
        "num_warps": 4 if wide < 64 else 8,
        "num_stages": 2,
    }


def variant_options(variant: Variant, peephole: Tensor | None) -> dict[str, object]:
    """Compile-time arguments of triton_lstm.py alone."""
    return {
        **{f"AT_{gate.upper()}": variant.gates.find(gate) for gate in "ifgo"},
        "G": len(variant.gates),
        "COUPLED": variant.coupled,
        "IN_TANH": variant.input_activation,
        "OUT_TANH": variant.output_activation,
        "PEEP": peephole is not None,
    }


def _launch(kernel: _Kernel, on: Tensor, B: int, *arguments: object, **compiled: object) -> None:
    if on.numel():
        with torch.cuda.device_of(on):
            kernel[(-(-B // _ROWS),)](*arguments, **compiled)


def _allocate_states(z: Tensor, h0: Tensor, c0: Tensor) -> tuple[Tensor, Tensor]:
    """All states, (T + 1, B, H) with the initial ones in place; c in float32.

    Zeros in the padding, since 0 * NaN is NaN in the products of the backward pass.
    """
    shape = (len(z) + 1, *h0.shape)
    hs, cs = z.new_zeros(shape), z.new_zeros(shape, dtype=torch.float32)
    hs[0], cs[0] = h0, c0
    return hs, cs


def _last(lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Index of the last state of each sample."""
    return lengths, torch.arange(len(lengths), device=lengths.device)


def _results(hs: Tensor, cs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    outputs = hs[1:].transpose(0, 1).clone(memory_format=torch.contiguous_format)  # (B, T, H), not sharing memory
    return outputs, hs[_last(lengths)], cs[_last(lengths)].to(hs.dtype)


def _result_gradients(hs: Tensor, cs: Tensor, lengths: Tensor, grads: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """Gradients of the results at each state: dh, dc (T + 1, B, H)."""
    d_outputs, d_h, d_c = grads
    dh, dc = torch.zeros_like(hs), torch.zeros_like(cs)
    dh[1:] = d_outputs.transpose(0, 1)
    dh[_last(lengths)] += d_h
    dc[_last(lengths)] = d_c.to(dc.dtype)
    return dh, dc


def _recurrent_gradients(d: Tensor, U: Tensor, hs: Tensor, dh: Tensor) -> tuple[Tensor, Tensor]:
    """dU and dh0, from the gradient d (T, B, G H) of U h."""
    return d.flatten(0, 1).T @ hs[:-1].flatten(0, 1), dh[0] + d[0] @ U if len(d) else dh[0]


class LSTM(torch.autograd.Function):
    """z (T, B, G H), U, h0, c0 (B, H), peephole (3, H), lengths, variant -> outputs (B, T, H), final h and c."""

    @staticmethod
    def forward(
        ctx: _LSTMContext, z: Tensor, U: Tensor, h0: Tensor, c0: Tensor, peephole: Tensor | None, lengths: Tensor,
        variant: Variant,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        from lstm_lab.kernels import triton_lstm

        z, U, p = z.contiguous(), U.contiguous(), U if peephole is None else peephole.contiguous()
        hs, cs = _allocate_states(z, h0, c0)
        save = any(ctx.needs_input_grad)
        gates, B = torch.empty_like(z) if save else z, len(h0)
        ctx.options = {**options(z.dtype, U.shape[1]), **variant_options(variant, peephole)}
        ctx.variant, ctx.has_peephole = variant, peephole is not None
        _launch(triton_lstm.forward, z, B, z, U, p, lengths, hs, cs, gates, B, SAVE=save, **ctx.options)
        ctx.save_for_backward(U, p, lengths, hs, cs, gates)
        return _results(hs, cs, lengths)

    @staticmethod
    def backward(ctx: _LSTMContext, *grads: Tensor) -> tuple[Tensor | None, ...]:
        with torch.no_grad():
            results = LSTM.gradients(ctx, grads)
        return native_layers.first_order_only(results)

    @staticmethod
    def gradients(ctx: _LSTMContext, grads: tuple[Tensor, ...]) -> tuple[Tensor | None, ...]:
        """Gradients of the inputs, in their order."""
        from lstm_lab.kernels import triton_lstm

        U, p, lengths, hs, cs, gates = ctx.saved_tensors
        dh, dc = _result_gradients(hs, cs, lengths, grads)
        dz, B = torch.zeros_like(gates), len(lengths)
        _launch(triton_lstm.backward, dz, B, dh, dc, U, p, lengths, cs, gates, dz, B, **ctx.options)
        dU, dh0 = _recurrent_gradients(dz, U, hs, dh)
        dp = _peephole_gradient(dz, cs, ctx.variant).to(U.dtype) if ctx.has_peephole else None
        return dz, dU, dh0, dc[0].to(U.dtype), dp, None, None


def _peephole_gradient(dz: Tensor, cs: Tensor, variant: Variant) -> Tensor:
    """(3, H): i and f read c_t-1, o reads c_t; zeros for a missing gate."""
    H, gradient = cs.shape[2], cs.new_zeros(3, cs.shape[2])
    for row, (gate, c) in enumerate((("i", cs[:-1]), ("f", cs[:-1]), ("o", cs[1:]))):
        at = variant.gates.find(gate)
        if at >= 0:
            gradient[row] = (dz[..., at * H :][..., :H] * c).sum((0, 1))
    return gradient


class NormLSTM(torch.autograd.Function):
    """z (T, B, 4 H), U, h0, c0, gain_h (4 H,), gain_c, shift_c (H,), lengths -> outputs (B, T, H), final h and c."""

    @staticmethod
    def forward(
        ctx: _Context, z: Tensor, U: Tensor, h0: Tensor, c0: Tensor, gain_h: Tensor, gain_c: Tensor, shift_c: Tensor,
        lengths: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        from lstm_lab.kernels import triton_norm

        z, U, norms = z.contiguous(), U.contiguous(), [part.contiguous() for part in (gain_h, gain_c, shift_c)]
        hs, cs = _allocate_states(z, h0, c0)
        T, B, _ = z.shape
        gates, a, stats = torch.empty_like(z), torch.zeros_like(z, dtype=torch.float32), cs.new_zeros(4, T, B)
        ctx.options = options(z.dtype, U.shape[1])
        _launch(triton_norm.forward, z, B, z, U, *norms, lengths, hs, cs, gates, a, stats, B, T, **ctx.options)
        ctx.save_for_backward(U, *norms, lengths, hs, cs, gates, a, stats)
        return _results(hs, cs, lengths)

    @staticmethod
    def backward(ctx: _Context, *grads: Tensor) -> tuple[Tensor | None, ...]:
        with torch.no_grad():
            results = NormLSTM.gradients(ctx, grads)
        return native_layers.first_order_only(results)

    @staticmethod
    def gradients(ctx: _Context, grads: tuple[Tensor, ...]) -> tuple[Tensor | None, ...]:
        """Gradients of the inputs, in their order."""
        from lstm_lab.kernels import triton_norm

        U, *norms, lengths, hs, cs, gates, a, stats = ctx.saved_tensors
        dh, dc = _result_gradients(hs, cs, lengths, grads)
        dz, du, dn = torch.zeros_like(gates), torch.zeros_like(gates), torch.zeros_like(cs[1:])
        T, B, _ = gates.shape
        into = (dn, dz, du, B, T)
        _launch(
            triton_norm.backward, dz, B, dh, dc, U, *norms, lengths, cs, gates, a, stats, *into, **ctx.options
        )  # fmt: skip
        dU, dh0 = _recurrent_gradients(du, U, hs, dh)
        mean, scale, mean_c, scale_c = stats.unsqueeze(-1)  # (T, B, 1) each
        d_gain_h = (dz * (a - mean) * scale).sum((0, 1))
        d_gain_c, d_shift_c = (dn * (cs[1:] - mean_c) * scale_c).sum((0, 1)), dn.sum((0, 1))
        d_norms = (part.to(U.dtype) for part in (d_gain_h, d_gain_c, d_shift_c))
        return dz, dU, dh0, dc[0].to(U.dtype), *d_norms, None
