"""Random masks by key: the numbers of `philox`, drawn by the engine where there is one."""

from __future__ import annotations

import ctypes
from ctypes import c_int64, c_void_p

import torch
from torch import Tensor

from lstm_lab.kernels import native
from lstm_lab.kernels.philox import NoiseKey, threshold, words

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
