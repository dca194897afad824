"""A vector for each token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from lstm_lab import config
from lstm_lab.config import Count
from lstm_lab.config.paths import InitialFilePath
from lstm_lab.data.base import Dataset
from lstm_lab.data.readers.vectors import read_vectors
from lstm_lab.kernels import draws
from lstm_lab.models.sites import MaskNoise, Place, Site, rescaled


class TiedHead(nn.Module):
    """(..., E) -> logits of tokens (..., V): the product with the embedding of each token, and a bias.

    The vector of padding is 0 in it.
    """

    def __init__(self, embedding: TokenEmbedding) -> None:
        super().__init__()
        self.weight = embedding.weight
        self.bias = nn.Parameter(torch.zeros(len(embedding.weight)))

    def forward(self, features: Tensor) -> Tensor:
        vectors = torch.cat([torch.zeros_like(self.weight[:1]), self.weight[1:]])
        return nn.functional.linear(features, vectors, self.bias)


class WordDropout(MaskNoise):
    """Zeroes the vectors (V, E) of a share p of the tokens, wherever they occur (Gal & Ghahramani 2016)."""

    is_dropout = True

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def factor(self, x: Tensor) -> Tensor:
        kept = draws.keep(self.noise_key(len(x), x.device, same=True, samples=False), self.p, 1, 1)  # (V, 1, 1)
        return rescaled(kept.view(-1, 1), self.p, x)


class TokenEmbedding(nn.Embedding):
    """Token numbers (B, T) -> vectors (B, T, E); number 0 is padding, whose vector stays zero.

    Args:
        num_tokens: V, the size of the vocabulary.
        dim: E.
        dropout: share of the vocabulary whose vectors are zeroed for a step of training.
    """

    class Config(config.Config):
        dim: Count = 100
        """Size of the vector of a token, E."""
        dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
        """Share of the vocabulary whose vectors are zeroed for a step of training (Gal & Ghahramani 2016)."""

        tie_weights: bool = False
        """Whether the head that predicts the next token shares these vectors (Press & Wolf 2017)."""
        pretrained: InitialFilePath | None = None
        """Text file of pretrained vectors to start from, a token and its E numbers per line (GloVe, word2vec,
        fastText); null: random vectors."""

        def check(self, data: Dataset.Config) -> None:
            """Raise ValueError where fields that somebody chose would do nothing."""
            if not data.dataset.tokens and self != type(self)():
                raise ValueError(
                    f"model.embedding would do nothing: data '{data.name}' holds numbers, not tokens; leave it out"
                )

        def build(self, num_tokens: int) -> TokenEmbedding:
            return TokenEmbedding(num_tokens, self.dim, self.dropout)

    def __init__(self, num_tokens: int, dim: int, dropout: float = 0.0) -> None:
        super().__init__(num_tokens, dim, padding_idx=0)
        self.site = Site(Place.EMBEDDING)
        if dropout:
            self.site.add(WordDropout(dropout))
        with torch.no_grad():
            self.weight.uniform_(-0.1, 0.1)[0] = 0.0

    def forward(self, input: Tensor) -> Tensor:
        weight = self.site(self.weight)
        if weight is self.weight:
            return super().forward(input)
        return nn.functional.embedding(input, weight, self.padding_idx)

    def load_pretrained(self, path: str, tokens: Sequence[str]) -> int:
        """Copy the vectors that a file has for the vocabulary.

        Args:
            tokens: text of each token, by its number.

        Returns:
            How many tokens the file has.

        Raises:
            DataError: the file cannot be read, or its vectors are not E numbers.
        """
        found = read_vectors(path, set(tokens[1:]), self.embedding_dim)
        rows = [number for number, token in enumerate(tokens) if number and token in found]
        with torch.no_grad():
            self.weight[rows] = torch.stack([torch.from_numpy(found[tokens[row]]) for row in rows]).to(self.weight)
        return len(rows)
