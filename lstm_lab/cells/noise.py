"""Noise in the recurrence of any cell: its masks are read as further inputs of a step."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from lstm_lab.kernels import RecurrentNoise
from lstm_lab.kernels.noise import NoiseWeights, draw_weights


class _State(Protocol):
    """A NamedTuple of tensors."""

    @property
    def _fields(self) -> tuple[str, ...]: ...

    def __iter__(self) -> Iterator[Tensor]: ...


S = TypeVar("S", bound=_State)
Step = Callable[[Tensor, S], tuple[Tensor, S]]
NoisyStep = Callable[[Tensor, S, NoiseWeights], tuple[Tensor, S]]


def join_masks(step: NoisyStep[S], x: Tensor, noise: RecurrentNoise, units: int) -> tuple[Tensor, Step[S], Hashable]:
    """The masks of a batch beside its input, and a step that takes both.

    Args:
        step: x (N, I), a state and masks (N, H) each -> output and new state.
        x: (B, T, I), in the order in which it is read.
        units: H.

    Returns:
        x with the masks behind its channels; the step over it; and what, beside shapes, the step depends on.
    """
    B, T, I = x.shape  # noqa: E741
    found = draw_weights(noise, T, x.new_empty(B, units))
    drawn = (found.state, found.update, *found.zoneout)
    tensors = [part.expand(B, T, units) for part in drawn if isinstance(part, Tensor)]
    places: list[tuple[int, int] | float | None] = []
    end = I
    for part in drawn:
        places.append((end, end + units) if isinstance(part, Tensor) else part)
        end += units if isinstance(part, Tensor) else 0

    def joined(x: Tensor, state: S) -> tuple[Tensor, S]:
        state_mask, update, h, c = (x[:, slice(*place)] if isinstance(place, tuple) else place for place in places)
        masks = NoiseWeights(state_mask, update, (h, c))  # type: ignore[arg-type]
        return step(x[:, :I], state, masks)

    return torch.cat((x, *tensors), 2), joined, tuple(places)


def apply_zoneout(masks: NoiseWeights, before: S, after: S) -> S:
    """The state after zoneout of a step: its parts h and c are mixed with the old ones."""
    h, c = masks.zoneout
    shares = {"h": h, "c": c}
    build: Callable[..., S] = type(after)
    return build(
        *(_mixed(shares.get(name, 0.0), old, new) for name, old, new in zip(after._fields, before, after, strict=True))
    )


def _mixed(share: Tensor | float, old: Tensor, new: Tensor) -> Tensor:
    return new if isinstance(share, float) and not share else share * old + (1 - share) * new
