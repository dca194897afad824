"""The model of every experiment: encoder -> pooling -> linear head."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator
from torch import Tensor, nn

import lstm_lab.cells.lstm
from lstm_lab import config
from lstm_lab.cells import Cell
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


class SequenceModel(nn.Module):
    """A padded batch of sequences -> one vector of outputs for each."""

    class Config(config.Config):
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

        @model_validator(mode="after")
        def _cell_fits_hidden_size(self) -> SequenceModel.Config:
            cell: Any = self.cell.owner
            cell.check(self.cell, self.hidden_size)
            return self

        def build(self, input_size: int, output_size: int) -> SequenceModel:
            return SequenceModel(self, input_size, output_size)

    def __init__(self, config: SequenceModel.Config, input_size: int, output_size: int) -> None:
        super().__init__()
        self.encoder = Encoder(
            config.cell,
            input_size=input_size,
            hidden_size=config.hidden_size,
            depth=config.depth,
            bidirectional=config.bidirectional,
            input_dropout=config.dropout.input,
            between_dropout=config.dropout.between,
        )
        self.pooling = config.pooling.build()
        self.dropout = nn.Dropout(config.dropout.output)
        self.head = nn.Linear(self.encoder.output_size, output_size)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x (B, T, I), lengths (B,) -> (B, output_size)."""
        pooled = self.pooling(self.encoder(x, lengths), lengths)
        return self.head(self.dropout(pooled))
