"""Clipping of gradients: what changes them between the backward pass and the optimizer's step."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import insort
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from lstm_lab.kernels import optimizer_step


class Clipping(ABC):
    """Gradients, whole and unscaled, are changed in place before the optimizer's step."""

    @abstractmethod
    def clip(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        """Change the gradients of these parameters in place.

        Returns:
            () the norm of all of them together, before.
        """

    def state_dict(self) -> dict[str, object]:
        """What `load_state_dict` needs to resume; most have no state."""
        return {}

    def load_state_dict(self, state: Mapping[str, object]) -> None:  # noqa: B027
        """Restore what `state_dict` returned."""


class ClipByNorm(Clipping):
    """The norm of all gradients together is at most `limit`; None: no limit, the norm is only measured."""

    def __init__(self, limit: float | None = None) -> None:
        self.limit = float("inf") if limit is None else limit

    def clip(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        gradients = [p.grad for p in parameters if p.grad is not None]
        return optimizer_step.clip_norm(gradients, self.limit, _clip_norm) if gradients else torch.zeros(())


def _clip_norm(gradients: list[Tensor], limit: float) -> Tensor:
    """As `torch.nn.utils.clip_grad_norm_`, whose checks cost more than this does for a small model."""
    try:
        norms, scale = torch._foreach_norm, torch._foreach_mul_
    except AttributeError:  # They are torch's own, and what it calls in these functions.
        norm: Tensor = torch.nn.utils.get_total_norm(gradients, foreach=False)
        if limit < math.inf:
            for gradient in gradients:
                gradient.mul_((limit / (norm + 1e-6)).clamp(max=1.0))
        return norm
    norm = torch.linalg.vector_norm(torch.stack(norms(gradients)))
    if limit < math.inf:
        scale(gradients, (norm + 1e-6).reciprocal_().mul_(limit).clamp_(max=1.0))
    return norm


class ClipByValue(Clipping):
    """Every component of the gradient is within -limit and `limit`."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def clip(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None], foreach=True)
        torch.nn.utils.clip_grad_value_(parameters, self.limit)
        return norm


class AutoClip(Clipping):
    """Seetharaman et al. (2020): the norm is limited by a percentile of the norms of all steps so far, with this one.

    The norm is read off the device in each step.

    Args:
        percentile: between 0 and 100, with linear interpolation.
        limit: on the norm besides; None: no other.
    """

    def __init__(self, percentile: float, limit: float | None = None) -> None:
        self.percentile, self.limit = percentile, math.inf if limit is None else limit
        self.norms: list[float] = []
        """Of all steps whose gradient was finite, in order of size."""

    def clip(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None], foreach=True)
        if math.isfinite(value := float(norm)):
            insort(self.norms, value)
            limit = min(self.limit, self._norm_at_percentile())
            torch.nn.utils.clip_grads_with_norm_(parameters, limit, norm, foreach=True)
        return norm

    def _norm_at_percentile(self) -> float:
        position = (len(self.norms) - 1) * self.percentile / 100
        below = math.floor(position)
        above = min(below + 1, len(self.norms) - 1)
        return self.norms[below] + (position - below) * (self.norms[above] - self.norms[below])

    def state_dict(self) -> dict[str, object]:
        return {"norms": torch.tensor(self.norms, dtype=torch.float64)}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        norms = state["norms"]
        assert isinstance(norms, Tensor)
        self.norms = norms.tolist()


def clipping_of(value: float | None, algorithm: str | None) -> Clipping:
    """The clipping that a Trainer's `gradient_clip_val` and `gradient_clip_algorithm` mean."""
    return ClipByValue(value) if algorithm == "value" and value is not None else ClipByNorm(value)
