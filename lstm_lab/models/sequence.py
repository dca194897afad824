"""The model of most experiments: token embedding -> encoder -> pooling -> linear head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator
from torch import Tensor, nn

import lstm_lab.cells.lstm
from lstm_lab import config
from lstm_lab.cells import Cell
from lstm_lab.config.registry import Named, OneOf
from lstm_lab.data.base import DataInfo, Dataset
from lstm_lab.models.base import Output, StatefulModel, TaskConfig, TaskInfo, TokenDataInfo
from lstm_lab.models.embedding import TiedHead, TokenEmbedding
from lstm_lab.models.encoder import Encoder
from lstm_lab.models.initialization import LearnedInitialState, WeightInit
from lstm_lab.models.pooling import Last, Pooling, check_pooling
from lstm_lab.models.sites import IN_EVERY_MODEL, Place, Site
from lstm_lab.models.size_budget import largest_hidden_size
from lstm_lab.models.skip import NoSkip, Skip
from lstm_lab.models.state import EncoderState
from lstm_lab.records.files import Row

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
DEFAULT_HIDDEN_SIZE = 64


class Dropout(config.Config):
    """Where values are zeroed in training, and which share of them."""

    input: Fraction = 0.0
    """Fraction of input values."""
    between: Fraction = 0.0
    """Fraction of the values that pass from one layer to the next."""
    output: Fraction = 0.0
    """Fraction of the values before the head."""


class SequenceModel(StatefulModel, name="sequence"):
    """One stack of cells. For a task with a target per step there is no pooling: the head reads each step's output."""

    class Config(StatefulModel.Config):
        embedding: TokenEmbedding.Config = TokenEmbedding.Config()
        """Vectors of tokens, for data that hold tokens."""
        cell: Annotated[Cell.Config, OneOf(Cell, default="lstm")] = lstm_lab.cells.lstm.LSTM.Config()
        """The recurrent cell."""
        hidden_size: config.Count | None = DEFAULT_HIDDEN_SIZE
        """Units of each cell, H; null: as many as `max_parameters` allows."""
        max_parameters: config.Count | None = None
        """Parameters of the whole model at most, from embedding to head: sets the largest hidden size within it."""
        num_layers: config.Count = 1
        """Layers of cells."""
        bidirectional: bool = False
        """Read in both directions."""
        dilation: config.Count = 1
        """Layer k = 0, 1, ... takes its state from dilation^k steps back, as in 1, 2, 4 (Chang et al. 2017)."""
        skip: Annotated[Named, OneOf(Skip, default="none")] = NoSkip.Config()
        """How the input of each layer but the first, whose input has another width, bypasses it."""
        init: WeightInit = WeightInit()
        """How weights are initialised."""
        learn_initial_state: bool = False
        """Whether the state before the first step is a parameter, for each layer and direction; else it is zero."""
        dropout: Dropout = Dropout()
        """Share of values zeroed in training, by place."""
        pooling: Annotated[Named, OneOf(Pooling, default="last")] = Last.Config()
        """How a sequence becomes one vector."""

        @model_validator(mode="before")
        @classmethod
        def _budget_replaces_default(cls, data: object) -> object:
            # A dumped config holds the default hidden size too: an override of `max_parameters` must win over it.
            if not isinstance(data, Mapping) or data.get("max_parameters") is None:
                return data
            default = data.get("hidden_size", DEFAULT_HIDDEN_SIZE) == DEFAULT_HIDDEN_SIZE
            return {**data, "hidden_size": None} if default else data

        @model_validator(mode="after")
        def _one_of_two_sizes(self) -> SequenceModel.Config:
            if self.hidden_size is not None and self.max_parameters is not None:
                raise ValueError(
                    f"hidden_size={self.hidden_size} and max_parameters={self.max_parameters} both "
                    "set the size of the model; leave one of them out, or set it to null"
                )
            if self.hidden_size is None and self.max_parameters is None:
                raise ValueError("no size for the model: set hidden_size or max_parameters")
            return self

        @model_validator(mode="after")
        def _no_choice_without_effect(self) -> SequenceModel.Config:
            if self.num_layers == 1:
                if self.dropout.between > 0:
                    raise ValueError(
                        f"dropout.between={self.dropout.between} would do nothing: num_layers is 1; "
                        "set num_layers to 2 or use dropout.output"
                    )
                if self.dilation > 1:
                    raise ValueError(
                        f"dilation={self.dilation} would do nothing: num_layers is 1, and the first layer has "
                        "dilation 1; set num_layers to 2"
                    )
                if not isinstance(self.skip, NoSkip.Config):
                    raise ValueError(
                        f"skip={self.skip.name} would do nothing: num_layers is 1, and the first layer has none; "
                        "set num_layers to 2"
                    )
            hidden_size = self.hidden_size or DEFAULT_HIDDEN_SIZE
            self.cell.owner.check(self.cell, hidden_size)
            self.init.check(self.cell, hidden_size)
            if self.learn_initial_state:
                LearnedInitialState.check(self.cell, hidden_size)
            return self

        def options(self) -> dict[str, object]:
            return {key: value for key, value in super().options().items() if key != "max_parameters"}

        def build(self, *info: Any, **more: Any) -> Any:
            """The model; within `max_parameters`, if that is set.

            Raises:
                ConfigError: too few parameters for any hidden size.
            """
            if self.max_parameters is None:
                return super().build(*info, **more)
            size = largest_hidden_size(lambda H: self._sized(H).build(*info, **more), self.max_parameters)
            return self._sized(size).build(*info, **more)

        def _sized(self, hidden_size: int) -> SequenceModel.Config:
            return self.model_copy(update={"hidden_size": hidden_size, "max_parameters": None})

        def places(self, data: Dataset.Config) -> frozenset[Place]:
            found = {Place.INPUT, Place.OUTPUT, Place.ACTIVATIONS, Place.RECURRENCE, Place.RECURRENT_WEIGHTS}
            found |= {Place.BETWEEN} if self.num_layers > 1 else set()
            found |= {Place.EMBEDDING} if data.dataset.tokens else set()
            return IN_EVERY_MODEL | found

        def recurrent_cell(self) -> Named:
            return self.cell

        def check(self, task: TaskConfig, data: Dataset.Config) -> None:
            self.embedding.check(data)
            if self.embedding.tie_weights:
                if not (task.owner.causal and data.dataset.tokens):
                    raise ValueError(
                        f"model.embedding.tie_weights: task '{task.name}' on data '{data.name}' does not "
                        "predict tokens; leave it out"
                    )
                if self.embedding.dim != self.hidden_size:
                    raise ValueError(
                        f"model.embedding.tie_weights: embedding.dim={self.embedding.dim} and "
                        f"hidden_size={self.hidden_size} must be equal"
                    )
            check_pooling(self.pooling, type(self)().pooling, task)
            if task.owner.causal and self.bidirectional:
                raise ValueError(
                    f"model.bidirectional: task '{task.name}' predicts the next step, which the backward direction "
                    "has read; set it to false"
                )

    def __init__(
        self,
        info: DataInfo,
        task: TaskInfo,
        *,
        embedding: TokenEmbedding.Config,
        cell: Named,
        hidden_size: int,
        num_layers: int,
        bidirectional: bool,
        dilation: int,
        skip: Named,
        init: WeightInit,
        learn_initial_state: bool,
        dropout: Dropout,
        pooling: Named,
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.embedding = embedding.build(info.input_size) if isinstance(info, TokenDataInfo) else None
        self.pretrained = embedding.pretrained
        self.encoder = Encoder(
            cell,
            input_size=info.input_size if self.embedding is None else embedding.dim,
            hidden_size=hidden_size,
            num_layers=num_layers,
            bidirectional=bidirectional,
            dilation=dilation,
            skip=skip,
            init=init,
            learn_initial_state=learn_initial_state,
            input_dropout=dropout.input,
            between_dropout=dropout.between,
        )
        self.pooling = None if task.per_step else pooling.build(self.encoder.output_size)
        self.output_site = Site(Place.OUTPUT, dropout.output)
        self.head = (
            TiedHead(self.embedding)
            if self.embedding is not None and embedding.tie_weights
            else nn.Linear(self.encoder.output_size, task.output_size)
        )

    def load_pretrained(self, info: DataInfo) -> Row:
        if self.embedding is None or self.pretrained is None or not isinstance(info, TokenDataInfo):
            return {}
        found = self.embedding.load_pretrained(self.pretrained, info.tokens)
        return {"pretrained": {"file": self.pretrained, "tokens": found}}

    def forward_stateful(self, x: Tensor, lengths: Tensor, state: EncoderState | None) -> tuple[Output, EncoderState]:
        encoded = self.encoder(x if self.embedding is None else self.embedding(x), lengths, state)
        features, attention = (encoded.outputs, None) if self.pooling is None else self.pooling(encoded, lengths)
        dropped = self.output_site(features)
        steps, whole = (dropped, None) if self.pooling is None else (None, dropped)
        return Output(self.head(dropped), encoded, attention, steps, whole), encoded.state

    def initial_state(self, batch_size: int) -> EncoderState:
        return self.encoder.initial_state(batch_size)
