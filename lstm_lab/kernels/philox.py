"""Random numbers by key instead of by stream: Philox4x32-10, in torch, for any device.

A number is a function of seed, site, step of training, sample, time step and unit, and of nothing else: not of the
batch's other samples, of the order in which numbers are drawn, of the number of threads or workers, or of the device.
Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3". The engine draws the same (csrc/philox.h).

The key of the generator is a hash of seed and site. The counter is (unit, t // 4, sample, step), and word t % 4 is the
value at time step t.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

_WORD = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10


@dataclass(frozen=True, eq=False)
class NoiseKey:
    """What random numbers depend on, besides time step and unit."""

    seed: int
    """Of the run."""
    step: int
    """Number of the batch since the start of training; 0 .. 2^32 - 1."""
    samples: Tensor
    """(B,) int64 number of each sample in the whole batch, whichever process computes it; 0 .. 2^32 - 1."""
    site: str = ""
    """Where the numbers are used. Each site has numbers of its own."""

    def at(self, part: str) -> NoiseKey:
        """The key of a part of this site.

        >>> NoiseKey(0, 0, torch.arange(2)).at("encoder").at("layer0").site
        'encoder.layer0'
        """
        return dataclasses.replace(self, site=f"{self.site}.{part}" if self.site else part)

    @property
    def words(self) -> tuple[int, int]:
        """The generator's key, two words of 32 bits."""
        return _key_words(self.seed, self.site)


@functools.lru_cache(maxsize=4096)
def _key_words(seed: int, site: str) -> tuple[int, int]:
    value = int.from_bytes(hashlib.blake2b(f"{seed} {site}".encode(), digest_size=8).digest(), "little")
    return value & _WORD, value >> 32


def threshold(rate: float) -> int:
    """The word below which numbers are with probability `rate`, to 32 bits.

    Raises:
        ValueError: a rate outside 0 <= rate < 1.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"rate: expected 0 <= rate < 1, got {rate}")
    return min(round(rate * 2**32), _WORD)


def philox4x32(counter: Tensor, key: tuple[int, int]) -> Tensor:
    """The generator itself.

    Args:
        counter: (..., 4) int64, each 0 .. 2^32 - 1.
        key: two words of 32 bits.

    Returns:
        (..., 4) int64, each 0 .. 2^32 - 1.
    """
    c0, c1, c2, c3 = counter.unbind(-1)
    k0, k1 = key
    for _ in range(_ROUNDS):
        # The product of two words wraps at 2^64, and its bits are those of the unsigned product.
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = ((p1 >> 32) & _WORD) ^ c1 ^ k0, p1 & _WORD, ((p0 >> 32) & _WORD) ^ c3 ^ k1, p0 & _WORD
        k0, k1 = (k0 + _WEYL[0]) & _WORD, (k1 + _WEYL[1]) & _WORD
    return torch.stack((c0, c1, c2, c3), -1)


def words(key: NoiseKey, steps: int, units: int) -> Tensor:
    """(B, T, H) int64 words of 32 bits, on the device of `key.samples`."""
    return in_order(philox4x32(counters(key, steps, units), key.words), steps)


def counters(key: NoiseKey, steps: int, units: int) -> Tensor:
    """(B, ceil(T / 4), H, 4) int64: the counter of each four words."""
    samples, device = key.samples, key.samples.device
    quarters = -(-steps // 4)
    shape = (len(samples), quarters, units)
    return torch.stack(
        (
            torch.arange(units, device=device).expand(shape),
            torch.arange(quarters, device=device).view(-1, 1).expand(shape),
            samples.view(-1, 1, 1).expand(shape),
            torch.full((), key.step, device=device).expand(shape),
        ),
        -1,
    )


def in_order(found: Tensor, steps: int) -> Tensor:
    """Words (B, ceil(T / 4), H, 4) as (B, T, H)."""
    B, quarters, H, _ = found.shape
    return found.movedim(-1, 2).reshape(B, quarters * 4, H)[:, :steps]


def uniform(key: NoiseKey, steps: int, units: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """(B, T, H) uniform in (0, 1), on the device of `key.samples`."""
    return ((words(key, steps, units).to(torch.float64) + 0.5) * 2.0**-32).to(dtype).clamp(max=1 - 2**-24)
