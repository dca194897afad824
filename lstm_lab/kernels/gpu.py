"""The Triton kernels: whether they can serve, calling them, their place in autograd.

cuDNN has the plain LSTM, GRU and RNN; these have the LSTM's variants, with peepholes or without. Nothing here imports
triton before a layer on a GPU needs it. TRITON_INTERPRET=1, set before python starts, runs the kernels in Triton's
interpreter on tensors of the CPU: slow, and how they are proven where there is no GPU.
"""

from __future__ import annotations

import functools
import os
from importlib import metadata, util
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from lstm_lab.kernels import native, reference
from lstm_lab.kernels.reference import Variant

MOST = 512
"""Hidden size above which one program, reading all of U at each step, is taken to lose to a whole GPU per product."""
_ROWS = 16  # samples of a program: the fewest that tensor cores take


@functools.cache
def _fault() -> str | None:
    """Why there are no kernels for this machine's GPU, if there are none."""
    if os.environ.get("LSTM_LAB_KERNELS") == "off":
        return "switched off by LSTM_LAB_KERNELS=off"
    if util.find_spec("triton") is None:
        return "triton is not installed"
    if interpreted():
        return None
    if not torch.cuda.is_available():
        return "no GPU"
    if torch.version.cuda is None:
        return "the GPU is not NVIDIA's"
    major, minor = torch.cuda.get_device_capability()
    return None if major >= 8 else f"compute capability {major}.{minor}, and they need 8.0"


def interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"


def status() -> str:
    """One line for a person: what computes LSTM variants on a GPU, and why."""
    fault = _fault()
    if fault:
        return f"no Triton kernels: {fault}; a GPU would use torch"
    where = "in the interpreter, on the CPU" if interpreted() else f"on {torch.cuda.get_device_name()}"
    return f"Triton {metadata.version('triton')} {where}"


def serves(x: Tensor, U: Tensor, *others: Tensor | None) -> bool:
    """Whether the kernels can take these tensors: on one GPU, of one type or under autocast, no transform at work."""
    if x.device.type != ("cpu" if interpreted() else "cuda") or native.switched_off() or _fault():
        return False
    if U.shape[1] > MOST or torch.jit.is_tracing():
        return False
    kinds = (torch.float64,) if interpreted() else ()
    tensors = [tensor for tensor in (x, U, *others) if tensor is not None]
    if not torch.is_autocast_enabled(x.device.type):
        kinds = (torch.float32, torch.float16, torch.bfloat16, *kinds)
        if x.dtype not in kinds or any(tensor.dtype is not x.dtype for tensor in tensors):
            return False
    return all(tensor.device == x.device and not native.wrapped(tensor) for tensor in tensors)


def lstm(
    x: Tensor,
    lengths: Tensor,
    h0: Tensor,
    c0: Tensor,
    W: Tensor,
    U: Tensor,
    b: Tensor | None,
    b_h: Tensor | None,
    peephole: Tensor | None,
    variant: Variant,
    reverse: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """`kernels.lstm` for tensors that `serves` takes. Under autocast all results have its type."""
    device = x.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        x, h0, c0, W, U, b, b_h, peephole = (
            None if t is None else t.to(dtype) for t in (x, h0, c0, W, U, b, b_h, peephole)
        )
    with torch.autocast(device, enabled=False):
        lengths = lengths.to(x.device).clamp(0, x.shape[1])
        x = reference.turned(x, lengths) if reverse else x
        z = linear(_steps(x, lengths), W, b)  # (T, B, G H)
        z = z if b_h is None else z + b_h
        outputs, h, c = _LSTM.apply(z, U, h0, c0, peephole, lengths, variant)
        return reference.turned(outputs, lengths) if reverse else outputs, h, c


def _steps(x: Tensor, lengths: Tensor) -> Tensor:
    """x (B, T, I) -> (T, B, I), with zeros where there was padding: what stood there might be nan."""
    inside = torch.arange(x.shape[1], device=x.device) < lengths.unsqueeze(1)  # (B, T)
    return torch.where(inside.unsqueeze(-1), x, torch.zeros_like(x)).transpose(0, 1).contiguous()


def _options(z: Tensor, H: int, variant: Variant, peephole: Tensor | None) -> dict[str, Any]:
    """Compile-time arguments that forward and backward share."""
    import triton.language as tl

    wide = min(64, max(16, 1 << (H - 1).bit_length()))
    at = {name: variant.gates.find(gate) for name, gate in zip("IFJO", "ifgo", strict=True)}
    return {
        **at,
        "H": H,
        "G": len(variant.gates),
        "COUPLED": variant.coupled,
        "IN_TANH": variant.input_activation,
        "OUT_TANH": variant.output_activation,
        "PEEP": peephole is not None,
        "BM": _ROWS,
        "BN": wide,
        "ACC": tl.float64 if z.dtype is torch.float64 else tl.float32,
        # Three products of tensor cores: as exact as float32, and no matter for the shorter types.
        "PRECISION": "tf32x3" if z.dtype is torch.float32 else "ieee",
        "num_warps": 4 if wide < 64 else 8,
        "num_stages": 2,
    }


class _LSTM(torch.autograd.Function):
    """z (T, B, G H), U, h0, c0 (B, H), peephole (3, H) -> outputs (B, T, H), final h and c; see triton_lstm.py."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
        from lstm_lab.kernels import triton_lstm

        z, U, h0, c0, peephole, lengths, variant = inputs
        (T, B, _), H = z.shape, U.shape[1]
        z, U = z.contiguous(), U.contiguous()
        wide = torch.promote_types(z.dtype, torch.float32)
        # Zeros behind a sample's end, as 0 * nan is nan in the products of the way back.
        hs, cs = z.new_zeros(T + 1, B, H), z.new_zeros(T + 1, B, H, dtype=wide)
        hs[0], cs[0] = h0, c0
        save = any(ctx.needs_input_grad)
        gates = torch.empty_like(z) if save else z
        options = _options(z, H, variant, peephole)
        p = U if peephole is None else peephole.contiguous()
        if z.numel():
            with torch.cuda.device_of(z):
                grid = (-(-B // _ROWS),)
                triton_lstm.forward[grid](z, U, p, lengths, hs, cs, gates, B, SAVE=save, **options)
        ctx.options = options
        ctx.save_for_backward(U, peephole, lengths, hs, cs, gates)
        last = lengths, torch.arange(B, device=z.device)
        outputs = hs[1:].transpose(0, 1).clone(memory_format=torch.contiguous_format)
        return outputs, hs[last], cs[last].to(z.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple:
        with torch.no_grad():
            results = _LSTM.way_back(ctx, *grads)
        return native.once(results)

    @staticmethod
    def way_back(ctx: Any, d_outputs: Tensor, d_h: Tensor, d_c: Tensor) -> tuple:
        from lstm_lab.kernels import triton_lstm

        U, peephole, lengths, hs, cs, gates = ctx.saved_tensors
        B, H = d_h.shape
        last = lengths, torch.arange(B, device=U.device)
        dh, dc, dz = torch.zeros_like(hs), torch.zeros_like(cs), torch.zeros_like(gates)
        dh[1:] = d_outputs.transpose(0, 1)
        dh[last] += d_h
        dc[last] = d_c.to(dc.dtype)
        p = U if peephole is None else peephole.contiguous()
        if gates.numel():
            with torch.cuda.device_of(U):
                grid = (-(-B // _ROWS),)
                triton_lstm.backward[grid](dh, dc, U, p, lengths, cs, gates, dz, B, **ctx.options)
        dh0 = dh[0] + dz[0] @ U if len(dz) else dh[0]
        dU = dz.flatten(0, 1).T @ hs[:-1].flatten(0, 1)
        dp = None if peephole is None else _peephole_slope(dz, cs, ctx.options).to(U.dtype)
        return dz, dU, dh0, dc[0].to(U.dtype), dp, None, None


def _peephole_slope(dz: Tensor, cs: Tensor, options: dict[str, Any]) -> Tensor:
    """(3, H): i and f see c_t-1, o sees c_t; zeros for a gate that is not there."""
    H, slope = options["H"], cs.new_zeros(3, cs.shape[2])
    for row, (name, seen) in enumerate((("I", cs[:-1]), ("F", cs[:-1]), ("O", cs[1:]))):
        if options[name] >= 0:
            slope[row] = (dz[..., options[name] * H :][..., :H] * seen).sum((0, 1))
    return slope
