"""Pooling that learns the weight of each step."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from lstm_lab.models.encoder import Encoded
from lstm_lab.models.pooling import Pooling, valid_steps


class Attention(Pooling):
    """Mean of the outputs h_t, weighted by a_t = softmax over valid steps of a score of each."""

    @abstractmethod
    def scores(self, h: Tensor) -> Tensor:
        """h (B, T, D) -> (B, T)."""

    def forward(self, encoded: Encoded, lengths: Tensor) -> tuple[Tensor, Tensor]:
        valid = valid_steps(encoded, lengths)  # (B, T, 1)
        h = encoded.outputs.masked_fill(~valid, 0.0)
        a = self.scores(h).masked_fill(~valid.squeeze(-1), -torch.inf).softmax(1)  # (B, T), zero on padding
        return (a.unsqueeze(-1) * h).sum(1), a


class Additive(Attention, name="additive"):
    """Score v . tanh(W h + b) (Bahdanau et al. 2015; without a query: Yang et al. 2016, equations 5-7)."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.W = nn.Linear(size, size)
        self.v = nn.Linear(size, 1, bias=False)

    def scores(self, h: Tensor) -> Tensor:
        scores: Tensor = self.v(torch.tanh(self.W(h)))
        return scores.squeeze(-1)


class Dot(Attention, name="dot"):
    """Score q . h / sqrt(D) with a learned query q (scaled as in Vaswani et al. 2017, equation 1).

    A key projection K would only turn q into K^T q. Training starts from q = 0: the mean.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.q = nn.Parameter(torch.zeros(size))

    def scores(self, h: Tensor) -> Tensor:
        scores: Tensor = h @ self.q * len(self.q) ** -0.5
        return scores
