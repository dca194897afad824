"""The part of examples.json for models that write texts."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from lstm_lab.records.example_shapes import Examples, Plain, has_shape


class Translation(Plain):
    """A text, and what it should become."""

    quantile: float
    """Of its mean loss among all samples: 1 is the largest."""
    nll: float
    """Mean loss of a token of the target, in nats."""
    source: str
    target: str
    written: str
    """By the model."""


class AttentionMap(Plain):
    """Where a decoder looked while it wrote."""

    quantile: float
    """Of the translation."""
    source: list[str]
    """Tokens."""
    written: list[str]
    weights: list[list[float]]
    """A row for each token that was written, with a weight for each of the source."""

    @model_validator(mode="after")
    def _tokens_agree(self) -> Self:
        if not has_shape(self.weights, len(self.written), len(self.source)):
            raise ValueError("weights must have a row for each written token, and a number for each of the source")
        return self


class TranslationExamples(Examples):
    """Of a model that writes texts."""

    kind: Literal["translations"] = "translations"
    translations: list[Translation]
    attention: list[AttentionMap] = []
