"""How the next step is chosen from a model's logits: the most likely one, a draw, or the best of several beams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lstm_lab.config import ConfigError

DEFAULT_LENGTH = 200


@dataclass(frozen=True)
class Sampling:
    """How a sequence is continued.

    Raises:
        ConfigError: a value that is not possible, or that would have no effect.
    """

    length: int = DEFAULT_LENGTH
    """Steps to generate at most."""
    temperature: float = 1.0
    """Logits are divided by it: below 1, likely steps become likelier; 0 takes the most likely step."""
    top_k: int | None = None
    """Draw among this many of the most likely tokens."""
    top_p: float | None = None
    """Draw among the fewest most likely tokens that have this probability together (Holtzman et al. 2020); of those
    that `top_k` leaves, where both are given."""
    beams: int | None = None
    """Beam search of this width: the continuation with the largest probability that it finds, without drawing."""
    stop: tuple[str, ...] = ()
    """Texts that end a continuation, which does not have them."""
    seed: int | None = None
    """Of the draws; None: 0."""

    def __post_init__(self) -> None:
        for name, value in (("length", self.length), ("top_k", self.top_k), ("beams", self.beams)):
            if value is not None and value < 1:
                raise ConfigError(f"{name}={value}: must be at least 1")
        if not 0 <= self.temperature < float("inf"):
            raise ConfigError(f"temperature={self.temperature}: must be 0 or more; 0 takes the most likely step")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p={self.top_p}: must be above 0 and at most 1")
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed={self.seed}: must be from 0 to 2^63 - 1")
        if any(not text for text in self.stop):
            raise ConfigError("stop: an empty text would stop before the first step; leave it out")
        if self.beams is not None or self.temperature == 0:
            self._refuse(("top_k", "top_p", "seed"), "beams" if self.beams is not None else "temperature=0")
        if self.beams is not None and self.temperature != 1:
            raise ConfigError(f"temperature={self.temperature} would do nothing with beams: leave one of them out")

    def _refuse(self, names: Sequence[str], reason: str) -> None:
        """Raise where any of these options is given."""
        for name in names:
            value = vars(self)[name]
            if value not in (None, ()):
                raise ConfigError(f"{name}={value} would do nothing with {reason}: leave one of them out")

    def for_frames(self) -> Sampling:
        """Itself, where each channel of a frame is drawn on its own.

        Raises:
            ConfigError: an option that chooses among tokens.
        """
        self._refuse(("top_k", "top_p", "beams", "stop"), "frames, whose channels are drawn one by one")
        return self

    @property
    def generator(self) -> torch.Generator:
        """A new random number generator, from the seed."""
        return torch.Generator().manual_seed(self.seed or 0)

    def probabilities(self, logits: Tensor) -> Tensor:
        """(B, V) logits -> what tokens are drawn by, (B, V) float64: zero outside of `top_k` and `top_p`."""
        if self.temperature == 0:
            chosen = logits.argmax(-1, keepdim=True)
            return torch.zeros(logits.shape, dtype=torch.float64).scatter_(-1, chosen, 1.0)
        p, order = (logits.double() / self.temperature).softmax(-1).sort(stable=True, dim=-1, descending=True)
        if self.top_k is not None:
            p[..., self.top_k :] = 0
        if self.top_p is not None:
            before = p.cumsum(-1) - p
            p[before >= self.top_p * p.sum(-1, keepdim=True)] = 0
        kept = p / p.sum(-1, keepdim=True)
        return torch.zeros_like(kept).scatter_(-1, order, kept)

    def draw_token(self, logits: Tensor, generator: torch.Generator) -> Tensor:
        """(B, V) logits -> (B,) token numbers."""
        return self.probabilities(logits).multinomial(1, generator=generator).squeeze(-1)

    def draw_frame(self, logits: Tensor, generator: torch.Generator) -> Tensor:
        """(B, K) logits -> (B, K) frames of 0 and 1: each channel is on with its own probability."""
        if self.temperature == 0:
            return (logits > 0).float()
        return (logits.double() / self.temperature).sigmoid().bernoulli(generator=generator).float()
