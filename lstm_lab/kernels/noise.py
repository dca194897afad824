"""Noise inside the recurrence: which there is, its random masks, and the steps with it in torch, which define it.

With masks of 0 and 1 / (1 - rate), of shape (B, H) at each step:

- `state_dropout` (Gal & Ghahramani 2016, "A theoretically grounded application of dropout in recurrent neural
  networks"): h_{t-1} is multiplied by its mask in the products with U, and nowhere else; a sample has one mask for
  all steps.
- `update_dropout` (Semeniuta et al. 2016, "Recurrent dropout without memory loss"): the candidate, g of an LSTM or n of
  a GRU, is multiplied by its mask; a mask for each step, or one for all.
- `zoneout_h`, `zoneout_c` (Krueger et al. 2017, "Zoneout: regularizing RNNs by randomly preserving hidden
  activations"): each unit keeps its old h, or c, with this probability at each step; h' is computed from the c' before
  zoneout. In evaluation a state is the mean of both, weighted by the probability.

Without a key there is no dropout, and zoneout is its expectation: the form for evaluation.
"""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lstm_lab.kernels import draws
from lstm_lab.kernels.lengths import length_mask, mask_padding, reverse_padded
from lstm_lab.kernels.philox import NoiseKey, threshold

Kind = Literal["state_dropout", "update_dropout", "zoneout_h", "zoneout_c"]
"""A rate of `RecurrentNoise`."""


@dataclass(frozen=True)
class RecurrentNoise:
    """Which noise a layer has. All rates are probabilities, 0 <= rate < 1."""

    key: NoiseKey | None = None
    """Of this layer and direction; None for evaluation."""
    state_dropout: float = 0.0
    update_dropout: float = 0.0
    update_locked: bool = False
    """Whether a sample has one mask of the candidate for all steps, instead of one for each."""
    zoneout_h: float = 0.0
    zoneout_c: float = 0.0
    """Of a cell without c: ignored."""
    first: int = 0
    """Steps of the sequences that were read before, in another call with the same key."""

    def __post_init__(self) -> None:
        for name in ("state_dropout", "update_dropout", "zoneout_h", "zoneout_c"):
            rate = vars(self)[name]
            try:
                threshold(rate)
            except ValueError:
                raise ValueError(f"{name}: expected 0 <= rate < 1, got {rate}") from None

    @property
    def active(self) -> bool:
        """Whether it changes anything."""
        dropout = self.key is not None and bool(self.state_dropout or self.update_dropout)
        return dropout or bool(self.zoneout_h or self.zoneout_c)

    @property
    def kinds(self) -> frozenset[Kind]:
        """The rates that are set."""
        rates: dict[Kind, float] = {
            "state_dropout": self.state_dropout,
            "update_dropout": self.update_dropout,
            "zoneout_h": self.zoneout_h,
            "zoneout_c": self.zoneout_c,
        }
        return frozenset(kind for kind, rate in rates.items() if rate)

    def checked(self, batch_size: int) -> RecurrentNoise | None:
        """The noise of a batch, or None where it changes nothing.

        Raises:
            ValueError: another number of samples than the key has.
        """
        if not self.active:
            return None
        if self.key is not None and len(self.key.samples) != batch_size:
            raise ValueError(f"noise: a key of {len(self.key.samples)} samples for a batch of {batch_size}")
        return self


class NoiseWeights(NamedTuple):
    """The masks of a batch in torch, (B, T, H), or (B, 1, H) where all steps share one; None where nothing acts."""

    state: Tensor | None = None
    """Factor of h_{t-1} in the products."""
    update: Tensor | None = None
    """Factor of the candidate."""
    zoneout: tuple[Tensor | float, Tensor | float] = (0.0, 0.0)
    """The share of the old value in the new one, of h and of every other part of the state."""

    def at(self, t: int) -> NoiseWeights:
        """Those of the t-th step that is read, (B, H) each."""
        h, c = self.zoneout
        return NoiseWeights(_factor_at(self.state, t), _factor_at(self.update, t), (_share_at(h, t), _share_at(c, t)))

    def mixed(self, before: tuple[Tensor, ...], after: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The state after zoneout of one step; h comes first."""
        h, c = self.zoneout
        shares = (h, *[c] * (len(after) - 1))
        return tuple(
            new if isinstance(share, float) and not share else share * old + (1 - share) * new
            for share, old, new in zip(shares, before, after, strict=True)
        )


def _factor_at(factor: Tensor | None, t: int) -> Tensor | None:
    return None if factor is None else factor[:, min(t, factor.shape[1] - 1)]


def _share_at(share: Tensor | float, t: int) -> Tensor | float:
    return share if isinstance(share, float) else share[:, t]


def draw_weights(noise: RecurrentNoise, steps: int, like: Tensor) -> NoiseWeights:
    """The masks of a batch, of the units, dtype and device of `like` (B, H)."""
    key, units = noise.key, like.shape[1]
    if key is None:
        return NoiseWeights(zoneout=(float(noise.zoneout_h), float(noise.zoneout_c)))
    key = dataclasses.replace(key, samples=key.samples.to(like.device))

    def dropout(site: str, rate: float, steps: int) -> Tensor | None:
        return draws.keep(key.at(site), rate, steps, units).to(like.dtype) / (1 - rate) if rate else None

    def dropout_by_step(site: str, rate: float) -> Tensor | None:
        found = dropout(site, rate, noise.first + steps)
        return None if found is None else found[:, noise.first :]

    def zoneout(site: str, rate: float) -> Tensor | float:
        kept = draws.keep(key.at(site), rate, noise.first + steps, units)[:, noise.first :] if rate else None
        return 0.0 if kept is None else (~kept).to(like.dtype)

    return NoiseWeights(
        dropout(STATE, noise.state_dropout, 1),
        dropout(UPDATE, noise.update_dropout, 1)
        if noise.update_locked
        else dropout_by_step(UPDATE, noise.update_dropout),
        (zoneout(ZONEOUT_H, noise.zoneout_h), zoneout(ZONEOUT_C, noise.zoneout_c)),
    )


STATE, UPDATE, ZONEOUT_H, ZONEOUT_C = "state", "update", "zoneout_h", "zoneout_c"
"""The sites of a layer's key."""


def unroll(
    step: Callable[..., tuple[Tensor, ...]],
    x: Tensor,
    lengths: Tensor,
    state: tuple[Tensor, ...],
    reverse: bool,
    noise: RecurrentNoise,
) -> tuple[Tensor, ...]:
    """`reference.unroll` with noise.

    Args:
        step: `step(x_t, *state, products_of=h, update=mask)` -> state, as `reference.lstm_step`.
    """
    lengths = lengths.to(x.device)
    if reverse:
        outputs, *end = unroll(step, reverse_padded(x, lengths), lengths, state, False, noise)
        return (reverse_padded(outputs, lengths), *end)
    weights = draw_weights(noise, x.shape[1], state[0])
    mask = length_mask(lengths, x.shape[1])  # (B, T)
    found = []
    for t, x_t in enumerate(mask_padding(x, lengths).unbind(1)):
        now, valid = weights.at(t), mask[:, t].unsqueeze(1)
        h = state[0] if now.state is None else state[0] * now.state
        new = now.mixed(state, step(x_t, *state, products_of=h, update=now.update))
        state = tuple(torch.where(valid, after, before) for after, before in zip(new, state, strict=True))
        found.append(torch.where(valid, state[0], torch.zeros_like(state[0])))
    if not found:
        return (x.new_zeros(x.shape[0], 0, state[0].shape[1]), *state)
    return (torch.stack(found, 1), *state)


@functools.cache
def say_slow(device: str, engine: str) -> None:
    """Warn, once, that noise in the recurrence runs step by step.

    Args:
        device: type of the tensors' device.
        engine: what there is for a CPU, in a line.
    """
    why = engine if device == "cpu" else f"the kernels for {device} have no noise; the engine for the CPU has"
    warnings.warn(f"recurrent dropout and zoneout run step by step in torch, which is slow: {why}", stacklevel=4)
