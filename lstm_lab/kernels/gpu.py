"""The Triton kernels: whether they can serve, calling them, their place in autograd.

cuDNN has the plain LSTM, GRU and RNN; these have the LSTM's variants, with peepholes or without. Nothing here imports
triton before a layer on a GPU needs it. TRITON_INTERPRET=1, set before python starts, runs the kernels in Triton's
interpreter on tensors of the CPU: slow, and how they are proven where there is no GPU.
"""

from __future__ import annotations

import functools
import os
from importlib import util
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, linear

from lstm_lab.kernels import gpu_layers, native, reference
from lstm_lab.kernels.reference import Variant

MOST = 512
"""Hidden size above which one program, reading all of U at each step, is taken to lose to a whole GPU per product."""


_TYPES = (torch.float32, torch.float16, torch.bfloat16)


@functools.cache
def _fault() -> str | None:
    """Why there are no kernels for this machine's GPU, if there are none."""
    if os.environ.get("LSTM_LAB_KERNELS") == "off":
        return "switched off by LSTM_LAB_KERNELS=off"
    if not interpreted():
        if not torch.cuda.is_available():
            return "no GPU"
        if torch.version.cuda is None:
            return "the GPU is not NVIDIA's"
        major, minor = torch.cuda.get_device_capability()
        if major < 8:
            return f"the GPU has compute capability {major}.{minor}, and they need 8.0"
    return None if util.find_spec("triton") else "triton is not installed"


def interpreted() -> bool:
    """Whether they run in Triton's interpreter."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def status() -> str:
    """One line for a person: whether there are Triton kernels, and why not."""
    fault = _fault()
    if fault:
        return f"no Triton kernels for LSTM variants: {fault}"
    import triton

    where = "in the interpreter, on the CPU" if interpreted() else f"on {torch.cuda.get_device_name()}"
    return f"kernels of Triton {triton.__version__} {where}, for LSTM variants up to {MOST} units"


def serves(x: Tensor, U: Tensor, *others: Tensor | None) -> bool:
    """Whether the kernels can take these tensors: on one GPU, of one type or under autocast, no transform at work."""
    if x.device.type != ("cpu" if interpreted() else "cuda") or native.switched_off() or _fault():
        return False
    if U.shape[1] > MOST or torch.jit.is_tracing():
        return False
    tensors = [tensor for tensor in (x, U, *others) if tensor is not None]
    types = {tensor.dtype for tensor in tensors}
    if not types <= {*_TYPES} or (len(types) > 1 and not torch.is_autocast_enabled(x.device.type)):
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
    x, h0, c0, W, U, b, b_h, peephole = _one_type(x, h0, c0, W, U, b, b_h, peephole)
    with torch.autocast(x.device.type, enabled=False):
        lengths = lengths.to(x.device).clamp(0, x.shape[1])
        x = reference.turned(x, lengths) if reverse else x
        z = linear(_steps(x, lengths), W, b)  # (T, B, G H)
        z = z if b_h is None else z + b_h
        outputs, h, c = gpu_layers.LSTM.apply(z, U, h0, c0, peephole, lengths, variant)
        return reference.turned(outputs, lengths) if reverse else outputs, h, c


def norm_lstm(
    x: Tensor,
    lengths: Tensor,
    h0: Tensor,
    c0: Tensor,
    W: Tensor,
    U: Tensor,
    b: Tensor,
    gain_x: Tensor,
    gain_h: Tensor,
    gain_c: Tensor,
    shift_c: Tensor,
    reverse: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """`kernels.norm_lstm` for tensors that `serves` takes."""
    tensors = _one_type(x, h0, c0, W, U, b, gain_x, gain_h, gain_c, shift_c)
    x, h0, c0, W, U, b, gain_x, gain_h, gain_c, shift_c = tensors
    with torch.autocast(x.device.type, enabled=False):
        lengths = lengths.to(x.device).clamp(0, x.shape[1])
        x = reference.turned(x, lengths) if reverse else x
        z = layer_norm(linear(_steps(x, lengths), W), (len(U),), gain_x, b)  # (T, B, 4 H)
        outputs, h, c = gpu_layers.NormLSTM.apply(z, U, h0, c0, gain_h, gain_c, shift_c, lengths)
        return reference.turned(outputs, lengths) if reverse else outputs, h, c


def _one_type(*tensors: Any) -> tuple[Any, ...]:
    """Under autocast as its type, else as they are."""
    device = tensors[0].device.type
    if not torch.is_autocast_enabled(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(None if tensor is None else tensor.to(dtype) for tensor in tensors)


def _steps(x: Tensor, lengths: Tensor) -> Tensor:
    """x (B, T, I) -> (T, B, I), with zeros where there was padding: what stood there might be nan."""
    inside = torch.arange(x.shape[1], device=x.device) < lengths.unsqueeze(1)  # (B, T)
    return torch.where(inside.unsqueeze(-1), x, torch.zeros_like(x)).transpose(0, 1).contiguous()
