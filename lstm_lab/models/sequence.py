"""The model of most experiments: embedding of tokens -> encoder -> pooling -> linear head."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator
from torch import Tensor, nn

import lstm_lab.cells.lstm
from lstm_lab import config
from lstm_lab.cells import Cell
from lstm_lab.models.base import Asked, Model, Seen
from lstm_lab.models.embedding import TokenEmbedding
from lstm_lab.models.encoder import Encoder
from lstm_lab.models.pooling import Last, Pooling
from lstm_lab.registry import Choice, Named

Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class Dropout(config.Config):
    """Where values are zeroed in training, and how many."""

    input: Share = 0.0
    """Share of input values."""
    between: Share = 0.0
    """Share of the values that pass from one layer to the next."""
    output: Share = 0.0
    """Share of the pooled values before the head."""


class SequenceModel(Model, name="sequence"):
    """One stack of cells. A task that asks for every step has no pooling: the head reads each step's output."""

    class Config(Named):
        embedding: TokenEmbedding.Config = TokenEmbedding.Config()
        """How tokens become vectors, where the data holds tokens."""
        cell: Annotated[Named, Choice(Cell, default="lstm")] = lstm_lab.cells.lstm.LSTM.Config()  # type: ignore[call-arg]
        """The recurrent cell."""
        hidden_size: config.Count = 64
        """Units of each cell, H: kept when another cell is chosen."""
        depth: config.Count = 1
        """Layers of cells."""
        bidirectional: bool = False
        """Read in both directions."""
        dropout: Dropout = Dropout()
        """Sites of dropout."""
        pooling: Annotated[Named, Choice(Pooling, default="last")] = Last.Config()  # type: ignore[call-arg]
        """How a sequence becomes one vector."""

        @model_validator(mode="after")
        def _no_dead_site(self) -> SequenceModel.Config:
            if self.dropout.between > 0 and self.depth == 1:
                raise ValueError(
                    f"dropout.between={self.dropout.between} would do nothing: depth is 1, there is no between; "
                    "set depth to 2 or use dropout.output"
                )
            return self

    @classmethod
    def check(cls, model: Any, task: Any, data: Any) -> None:
        defaults = cls.Config()  # type: ignore[call-arg]
        if not data.owner.tokens and model.embedding != defaults.embedding:
            raise ValueError(
                f"model.embedding would do nothing: data '{data.name}' holds numbers, not tokens; leave the section out"
            )
        if task.owner.per_step and model.pooling != defaults.pooling:
            raise ValueError(
                f"model.pooling={model.pooling.name} would do nothing: task '{task.name}' asks for every step; "
                "leave it out"
            )
        if task.owner.causal and model.bidirectional:
            raise ValueError(
                f"model.bidirectional: task '{task.name}' asks for what comes next, and the backward direction has "
                "seen it; set it to false"
            )

    def __init__(
        self,
        facts: Seen,
        task: Asked,
        *,
        embedding: TokenEmbedding.Config,
        cell: Named,
        hidden_size: int,
        depth: int,
        bidirectional: bool,
        dropout: Dropout,
        pooling: Named,
    ) -> None:
        super().__init__()
        tokens = hasattr(facts, "tokens")
        self.embedding = embedding.build(facts.input_size) if tokens else None
        self.vectors = embedding.vectors
        self.encoder = Encoder(
            cell,
            input_size=embedding.size if tokens else facts.input_size,
            hidden_size=hidden_size,
            depth=depth,
            bidirectional=bidirectional,
            input_dropout=dropout.input,
            between_dropout=dropout.between,
        )
        self.pooling = None if task.per_step else pooling.build()
        self.dropout = nn.Dropout(dropout.output)
        self.head = nn.Linear(self.encoder.output_size, task.output_size)

    def begin(self, facts: Any) -> dict[str, Any]:
        if self.embedding is None or self.vectors is None:
            return {}
        return {"vectors": {"file": self.vectors, "tokens": self.embedding.begin_with(self.vectors, facts.tokens)}}

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return self.carry(x, lengths, None)[0]

    def carry(self, x: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, Any]:
        """`forward` from the state that the chunk before left (None: none was), and the state that this one leaves."""
        encoded = self.encoder(x if self.embedding is None else self.embedding(x), lengths, state)
        shown = encoded.outputs if self.pooling is None else self.pooling(encoded, lengths)
        return self.head(self.dropout(shown)), encoded.state
