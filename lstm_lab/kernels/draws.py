"""Random masks by key: the numbers of `philox`, drawn by the engine where there is one."""

from __future__ import annotations

import ctypes
import math
from ctypes import c_int64, c_void_p

import torch
from torch import Tensor

from lstm_lab.kernels import native
from lstm_lab.kernels.philox import NoiseKey, counters, in_order, threshold, words

UNITS_PER_WORD = 16


class _DrawCall(ctypes.Structure):
    """Mirrors `struct DrawCall` in csrc/philox.h, field by field."""

    _fields_ = [
        *((name, c_int64) for name in ("threads", "B", "T", "H", "key0", "key1", "step", "threshold", "below")),
        *((name, c_void_p) for name in ("samples", "bits", "bytes")),
    ]


def available() -> bool:
    """Whether there is an engine to draw."""
    return native.engine() is not None and not torch.jit.is_tracing()


def keep(key: NoiseKey, rate: float, steps: int, units: int) -> Tensor:
    """(B, T, H) bool, False with probability `rate`, on the device of `key.samples`; the same by engine and by torch.

    Raises:
        ValueError: a rate outside 0 <= rate < 1.
    """
    limit = threshold(rate)
    if key.samples.device.type == "cpu" and available():
        return draw_bytes(key, limit, steps, units)
    return words(key, steps, units) >= limit


def normal(key: NoiseKey, steps: int, units: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """(B, T, H) standard normal, on the device of `key.samples`, by Box and Muller's transform of pairs of numbers."""
    even = steps + steps % 2
    found = _words(key, even, units).to(torch.float64).add_(0.5).mul_(2.0**-32)  # (B, T, H) uniform in (0, 1)
    r, angle = (-2 * found[:, 0::2].log()).sqrt_(), 2 * math.pi * found[:, 1::2]
    pairs = torch.stack((r * angle.cos(), r * angle.sin()), 2)  # (B, T / 2, 2, H)
    return pairs.flatten(1, 2)[:, :steps].to(dtype)


def _words(key: NoiseKey, steps: int, units: int) -> Tensor:
    """`words`, by the engine where there is one."""
    if key.samples.device.type != "cpu" or not available():
        return words(key, steps, units)
    numbers = counters(key, steps, units).to(torch.uint32).contiguous()
    out = torch.empty_like(numbers)
    native.require_engine().philox(numbers.data_ptr(), numbers.numel() // 4, *key.words, out.data_ptr())
    return in_order(out.to(torch.int64), steps)


def draw_bytes(key: NoiseKey, limit: int, steps: int, units: int) -> Tensor:
    """(B, T, H) bool: whether the number at each place is not below the limit."""
    out = torch.empty(len(key.samples), steps, units, dtype=torch.bool)
    _draw(key, limit, False, steps, units, None, out)
    return out


def draw_bits(key: NoiseKey, limit: int, below: bool, steps: int, units: int) -> Tensor:
    """(B, T, ceil(H / 16)) int16: unit u in bit u % 16 of word u // 16.

    Args:
        below: whether a bit stands for a number below the limit, or for one that is not.
    """
    out = torch.empty(len(key.samples), steps, -(-units // UNITS_PER_WORD), dtype=torch.int16)
    _draw(key, limit, below, steps, units, out, None)
    return out


def _draw(
    key: NoiseKey, limit: int, below: bool, steps: int, units: int, bits: Tensor | None, data: Tensor | None
) -> None:
    samples = key.samples.to("cpu", torch.int64).contiguous()
    call = _DrawCall(torch.get_num_threads(), len(samples), steps, units, *key.words, key.step, limit, below)
    call.samples = samples.data_ptr()
    call.bits = None if bits is None else bits.data_ptr()
    call.bytes = None if data is None else data.data_ptr()
    native.require_engine().draw(ctypes.byref(call))
