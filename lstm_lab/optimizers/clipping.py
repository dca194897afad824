"""Clipping of gradients: what changes them between the backward pass and the optimizer's step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


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
        if not gradients:
            return torch.zeros(())
        # As `torch.nn.utils.clip_grad_norm_`, whose checks cost more than this does for a small model.
        norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        if self.limit < float("inf"):
            torch._foreach_mul_(gradients, torch.clamp(self.limit / (norm + 1e-6), max=1.0))
        return norm


class ClipByValue(Clipping):
    """Every component of the gradient is within -limit and `limit`."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def clip(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None], foreach=True)
        torch.nn.utils.clip_grad_value_(parameters, self.limit)
        return norm


def clipping_of(value: float | None, algorithm: str | None) -> Clipping:
    """The clipping that a Trainer's `gradient_clip_val` and `gradient_clip_algorithm` mean."""
    return ClipByValue(value) if algorithm == "value" and value is not None else ClipByNorm(value)
