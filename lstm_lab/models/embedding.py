"""A vector for each token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from lstm_lab import config
from lstm_lab.config import Count
from lstm_lab.data.readers.vectors import read_vectors


class TiedHead(nn.Module):
    """(..., E) -> logits of tokens (..., V): the product with each one's vector, of padding none, and a bias."""

    def __init__(self, embedding: TokenEmbedding) -> None:
        super().__init__()
        self.weight = embedding.weight
        self.bias = nn.Parameter(torch.zeros(len(embedding.weight)))

    def forward(self, shown: Tensor) -> Tensor:
        vectors = torch.cat([torch.zeros_like(self.weight[:1]), self.weight[1:]])
        return nn.functional.linear(shown, vectors, self.bias)


class TokenEmbedding(nn.Embedding):
    """Token numbers (B, T) -> vectors (B, T, E); number 0 is padding and stays the zero vector."""

    class Config(config.Config):
        dim: Count = 100
        """Numbers in the vector of a token, E."""
        dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
        """Share of the vocabulary whose vectors are zeroed for a step of training (Gal & Ghahramani 2016)."""

        tie_weights: bool = False
        """Whether the head that names the next token reads with these vectors too (Press & Wolf 2017)."""
        pretrained: Annotated[str, Field(min_length=1)] | None = None
        """Text file of trained vectors, a token and its E numbers a line (GloVe, word2vec, fastText): where training
        begins; null: at random."""

        def build(self, tokens: int) -> TokenEmbedding:
            return TokenEmbedding(tokens, self.dim, self.dropout)

    def __init__(self, tokens: int, size: int, dropout: float = 0.0) -> None:
        super().__init__(tokens, size, padding_idx=0)
        self.dropout = dropout
        with torch.no_grad():
            self.weight.uniform_(-0.1, 0.1)[0] = 0.0

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not self.dropout:
            return super().forward(input)
        kept = torch.empty(len(self.weight), 1, device=self.weight.device).bernoulli_(1 - self.dropout)
        return nn.functional.embedding(input, self.weight * kept / (1 - self.dropout), self.padding_idx)

    def load_pretrained(self, path: str, tokens: Sequence[str]) -> int:
        """Take the vectors that a file has for `tokens`, named by their number; returns how many those are."""
        found = read_vectors(path, set(tokens[1:]), self.embedding_dim)
        rows = [number for number, token in enumerate(tokens) if number and token in found]
        with torch.no_grad():
            self.weight[rows] = torch.stack([torch.from_numpy(found[tokens[row]]) for row in rows]).to(self.weight)
        return len(rows)
