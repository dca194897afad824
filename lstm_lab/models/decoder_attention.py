"""Attention of a decoder over what an encoder has read."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from lstm_lab.config.registry import Named, Registered
from lstm_lab.kernels.lengths import length_mask


class Memory(NamedTuple):
    """What a decoder attends to."""

    outputs: Tensor
    """(B, T, D) of the encoder, zero on padding."""
    keys: Tensor
    """(B, T, H) what queries are compared with."""
    valid: Tensor
    """(B, T) bool: which steps are no padding."""

    def select(self, rows: Tensor) -> Memory:
        """Of some of the samples."""
        return Memory(*(tensor[rows] for tensor in self))


class DecoderAttention(Registered, nn.Module, kind="decoder_attention"):
    """a_us = softmax over the valid steps s of score(q_u, e_s); the context is c_u = sum over s of a_us e_s.

    Args:
        query_size: H of the decoder's cells.
        size: D, the width of the encoder's outputs e.
        coverage: whether the score reads how much weight each step has had so far.
    """

    class Config(Named):
        """Base of every attention's Config."""

        owner: ClassVar[type[DecoderAttention]]

    before_step: ClassVar[bool] = False
    """Whether the query is the decoder's output before the step, so that its cell can read the context."""
    takes_coverage: ClassVar[bool] = False
    """Whether the score has a place for coverage."""
    needs_equal_sizes: ClassVar[bool] = False
    """Whether D must be H."""

    def __init__(self, query_size: int, size: int, coverage: bool) -> None:
        super().__init__()

    @abstractmethod
    def keys(self, outputs: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, H), once for each source."""

    @abstractmethod
    def scores(self, q: Tensor, keys: Tensor, coverage: Tensor | None) -> Tensor:
        """q (B, U, H), keys (B, T, H), coverage (B, U, T) -> (B, U, T)."""

    def memory(self, outputs: Tensor, lengths: Tensor) -> Memory:
        """Of outputs (B, T, D) with `lengths` valid steps."""
        valid = length_mask(lengths.to(outputs.device), outputs.shape[1])
        return Memory(outputs, self.keys(outputs), valid)

    def forward(self, q: Tensor, memory: Memory, coverage: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Contexts (B, U, D) and weights (B, U, T) of U queries (B, U, H) for each source."""
        scores = self.scores(q, memory.keys, coverage).masked_fill(~memory.valid.unsqueeze(1), -torch.inf)
        a = scores.softmax(2)
        return a @ memory.outputs, a


class Dot(DecoderAttention, name="dot"):
    """score(q, e) = q . e (Luong, Pham & Manning 2015)."""

    needs_equal_sizes = True

    def keys(self, outputs: Tensor) -> Tensor:
        return outputs

    def scores(self, q: Tensor, keys: Tensor, coverage: Tensor | None) -> Tensor:
        return q @ keys.transpose(1, 2)


class General(DecoderAttention, name="general"):
    """score(q, e) = q . W e (Luong, Pham & Manning 2015)."""

    def __init__(self, query_size: int, size: int, coverage: bool) -> None:
        super().__init__(query_size, size, coverage)
        self.W = nn.Linear(size, query_size, bias=False)

    def keys(self, outputs: Tensor) -> Tensor:
        keys: Tensor = self.W(outputs)
        return keys

    def scores(self, q: Tensor, keys: Tensor, coverage: Tensor | None) -> Tensor:
        return q @ keys.transpose(1, 2)


class Concat(DecoderAttention, name="concat"):
    """score(q, e) = v . tanh(W [q; e] + b) (Luong, Pham & Manning 2015); with coverage k, + w_k k inside of tanh (Tu et
    al. 2016; See, Liu & Manning 2017, equation 11)."""

    takes_coverage = True

    def __init__(self, query_size: int, size: int, coverage: bool) -> None:
        super().__init__(query_size, size, coverage)
        self.W_q = nn.Linear(query_size, query_size)
        self.W_e = nn.Linear(size, query_size, bias=False)
        self.w_k = nn.Linear(1, query_size, bias=False) if coverage else None
        self.v = nn.Linear(query_size, 1, bias=False)

    def keys(self, outputs: Tensor) -> Tensor:
        keys: Tensor = self.W_e(outputs)
        return keys

    def scores(self, q: Tensor, keys: Tensor, coverage: Tensor | None) -> Tensor:
        sums = self.W_q(q).unsqueeze(2) + keys.unsqueeze(1)  # (B, U, T, H)
        if self.w_k is not None and coverage is not None:
            sums = sums + self.w_k(coverage.unsqueeze(3))
        scores: Tensor = self.v(sums.tanh())
        return scores.squeeze(3)


class Additive(Concat, name="additive"):
    """The same score, of the decoder's output before the step, whose cell reads the context (Bahdanau, Cho & Bengio
    2015)."""

    before_step = True
