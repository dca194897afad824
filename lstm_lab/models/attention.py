"""Pooling that learns which steps to look at; `weights` shows where it looked."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from lstm_lab.models.encoder import Encoded
from lstm_lab.models.pooling import Pooling, valid_steps


class Attention(Pooling):
    """Mean of the outputs h_t, weighted by softmax over valid steps of a score of each."""

    @abstractmethod
    def scores(self, h: Tensor) -> Tensor:
        """h (B, T, D) -> (B, T)."""

    def weights(self, encoded: Encoded, lengths: Tensor) -> Tensor:
        """(B, T): zero on padding, each row sums to 1."""
        return self._look(encoded, lengths)[1]

    def forward(self, encoded: Encoded, lengths: Tensor) -> Tensor:
        h, a = self._look(encoded, lengths)
        return (a.unsqueeze(-1) * h).sum(1)

    def _look(self, encoded: Encoded, lengths: Tensor) -> tuple[Tensor, Tensor]:
        valid = valid_steps(encoded, lengths)  # (B, T, 1)
        h = encoded.outputs.masked_fill(~valid, 0.0)
        return h, self.scores(h).masked_fill(~valid.squeeze(-1), -torch.inf).softmax(1)


class Additive(Attention, name="additive"):
    """Score v . tanh(W h + b) (Bahdanau et al. 2015; without a query: Yang et al. 2016, equations 5-7)."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.W = nn.Linear(size, size)
        self.v = nn.Linear(size, 1, bias=False)

    def scores(self, h: Tensor) -> Tensor:
        return self.v(torch.tanh(self.W(h))).squeeze(-1)


class Dot(Attention, name="dot"):
    """Score q . h / sqrt(D) with a learned query q (scaled as in Vaswani et al. 2017, equation 1).

    A key projection K would only turn q into K^T q. At the start q is 0: the mean.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.q = nn.Parameter(torch.zeros(size))

    def scores(self, h: Tensor) -> Tensor:
        return h @ self.q * len(self.q) ** -0.5
