"""Noise as the engine reads it: masks of one bit per unit, drawn before a layer runs."""

from __future__ import annotations

import ctypes
from ctypes import c_double, c_int64, c_void_p
from typing import NamedTuple

from torch import Tensor

from lstm_lab.kernels import draws
from lstm_lab.kernels import noise as sites
from lstm_lab.kernels.noise import RecurrentNoise
from lstm_lab.kernels.philox import threshold


class _Mask(ctypes.Structure):
    """Mirrors `struct Mask` in csrc/noise.h, field by field."""

    _fields_ = [
        ("bits", c_void_p), ("stride_b", c_int64), ("stride_t", c_int64), ("one", c_double), ("zero", c_double),
    ]  # fmt: skip


class NoiseCall(ctypes.Structure):
    """Mirrors `struct Noise` in csrc/noise.h, field by field."""

    _fields_ = [*((name, _Mask) for name in ("state", "update", "zoneout_h", "zoneout_c")), ("before", c_void_p)]


class _Site(NamedTuple):
    """One mask: its bits as `draw_bits` returns them, or None where the value is `one` everywhere."""

    bits: Tensor | None
    one: float
    zero: float = 0.0

    def to_call(self) -> _Mask:
        if self.bits is None:
            return _Mask(None, 0, 0, self.one, self.zero)
        T = self.bits.shape[1]
        stride_b, stride_t, _ = self.bits.stride()
        return _Mask(self.bits.data_ptr(), stride_b, stride_t if T > 1 else 0, self.one, self.zero)


class DrawnNoise(NamedTuple):
    """The masks of one batch."""

    state: _Site
    update: _Site
    zoneout_h: _Site
    zoneout_c: _Site

    @property
    def masks_state(self) -> bool:
        """Whether h in the rows is multiplied by a mask, so that a step that reads it elsewhere needs a copy."""
        return self.state.bits is not None

    @property
    def reads_state(self) -> bool:
        """Whether zoneout reads the old h."""
        return self.zoneout_h.bits is not None or self.zoneout_h.one > 0

    def to_call(self, before: Tensor) -> NoiseCall:
        """The structure for a pass; `before` is empty where no copy of h is needed."""
        call = NoiseCall(*(site.to_call() for site in self))
        call.before = before.data_ptr() if before.numel() else None
        return call


def draw(noise: RecurrentNoise, steps: int, units: int) -> DrawnNoise:
    """The masks of a batch of `noise.key.samples`."""
    key, first = noise.key, noise.first

    def dropout(site: str, rate: float, locked: bool) -> _Site:
        if key is None or not rate:
            return _Site(None, 1.0)
        begin, end = (0, 1) if locked else (first, first + steps)
        return _Site(draws.draw_bits(key.at(site), threshold(rate), False, end, units)[:, begin:], 1 / (1 - rate))

    def zoneout(site: str, rate: float) -> _Site:
        if key is None or not rate:
            return _Site(None, rate)
        return _Site(draws.draw_bits(key.at(site), threshold(rate), True, first + steps, units)[:, first:], 1.0)

    return DrawnNoise(
        dropout(sites.STATE, noise.state_dropout, True),
        dropout(sites.UPDATE, noise.update_dropout, noise.update_locked),
        zoneout(sites.ZONEOUT_H, noise.zoneout_h),
        zoneout(sites.ZONEOUT_C, noise.zoneout_c),
    )
