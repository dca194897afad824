"""The Triton kernels: which tensors they support, and calling them.

cuDNN computes the plain LSTM, GRU and RNN; these kernels compute the LSTM's variants, with and without peepholes, and
its layer normalisation. Triton is imported when a layer on a GPU first needs it. TRITON_INTERPRET=1, set before Python
starts, runs the kernels in Triton's interpreter on tensors of the CPU: slowly, to test them without a GPU.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from importlib import util
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, linear

from lstm_lab.kernels import gpu_layers, native
from lstm_lab.kernels.lengths import mask_padding, reverse_padded
from lstm_lab.kernels.reference import Variant

MAX_HIDDEN_SIZE = 512
"""Above it, one program that reads all of U at each step is assumed to be slower than a product over the whole GPU."""
_Results = tuple[Tensor, Tensor, Tensor]
_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


@functools.cache
def _find_fault() -> str | None:
    """Why this machine cannot run the kernels; None if it can."""
    if os.environ.get("LSTM_LAB_KERNELS") == "off":
        return "switched off by LSTM_LAB_KERNELS=off"
    if not interpreted():
        if not torch.cuda.is_available():
            return "no GPU"
        if torch.version.cuda is None:
            return "the GPU is not from NVIDIA"
        major, minor = torch.cuda.get_device_capability()
        if major < 8:
            return f"the GPU has compute capability {major}.{minor}, and the kernels need 8.0"
    return None if util.find_spec("triton") else "triton is not installed"


def interpreted() -> bool:
    """Whether the kernels run in Triton's interpreter."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def status() -> str:
    """One line, for messages: whether there are Triton kernels, or why not."""
    fault = _find_fault()
    if fault:
        return f"no Triton kernels for LSTM variants: {fault}"
    import triton

    device = "in the interpreter, on the CPU" if interpreted() else f"on {torch.cuda.get_device_name()}"
    return f"kernels of Triton {triton.__version__} {device}, for LSTM variants up to {MAX_HIDDEN_SIZE} units"


def supports(x: Tensor, U: Tensor, *others: Tensor | None) -> bool:
    """Whether the kernels can take these tensors: on one GPU, of one dtype or under autocast, under no transform."""
    if x.device.type != ("cpu" if interpreted() else "cuda") or native.switched_off() or _find_fault():
        return False
    if U.shape[1] > MAX_HIDDEN_SIZE or torch.jit.is_tracing():
        return False
    tensors = [tensor for tensor in (x, U, *others) if tensor is not None]
    dtypes = {tensor.dtype for tensor in tensors}
    if not dtypes <= {*_DTYPES} or (len(dtypes) > 1 and not torch.is_autocast_enabled(x.device.type)):
        return False
    return all(tensor.device == x.device and not native.is_wrapped(tensor) for tensor in tensors)


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
    """`kernels.lstm` for tensors that `supports` accepts. Under autocast all results have its dtype."""
    x, h0, c0, W, U, b, b_h, peephole = _to_common_dtype(x, h0, c0, W, U, b, b_h, peephole)
    with torch.autocast(x.device.type, enabled=False):
        lengths = lengths.to(x.device).clamp(0, x.shape[1])
        x = reverse_padded(x, lengths) if reverse else x
        z = linear(_time_first(x, lengths), W, b)  # (T, B, G H)
        z = z if b_h is None else z + b_h
        apply: Callable[..., _Results] = gpu_layers.LSTM.apply
        outputs, h, c = apply(z, U, h0, c0, peephole, lengths, variant)
        return reverse_padded(outputs, lengths) if reverse else outputs, h, c


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
    """`kernels.norm_lstm` for tensors that `supports` accepts."""
    tensors = _to_common_dtype(x, h0, c0, W, U, b, gain_x, gain_h, gain_c, shift_c)
    x, h0, c0, W, U, b, gain_x, gain_h, gain_c, shift_c = tensors
    with torch.autocast(x.device.type, enabled=False):
        lengths = lengths.to(x.device).clamp(0, x.shape[1])
        x = reverse_padded(x, lengths) if reverse else x
        z = layer_norm(linear(_time_first(x, lengths), W), (len(U),), gain_x, b)  # (T, B, 4 H)
        apply: Callable[..., _Results] = gpu_layers.NormLSTM.apply
        outputs, h, c = apply(z, U, h0, c0, gain_h, gain_c, shift_c, lengths)
        return reverse_padded(outputs, lengths) if reverse else outputs, h, c


def _to_common_dtype(*tensors: Any) -> tuple[Any, ...]:
    """Under autocast in its dtype, else unchanged."""
    device = tensors[0].device.type
    if not torch.is_autocast_enabled(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(None if tensor is None else tensor.to(dtype) for tensor in tensors)


def _time_first(x: Tensor, lengths: Tensor) -> Tensor:
    """x (B, T, I) -> (T, B, I), with zeros in the padding, which might hold NaN."""
    return mask_padding(x, lengths).transpose(0, 1).contiguous()
