"""The model of most experiments: embedding of tokens -> encoder -> pooling -> linear head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator
from torch import Tensor, nn

import lstm_lab.cells.lstm
from lstm_lab import config
from lstm_lab.cells import Cell
from lstm_lab.models.base import DataInfo, Model, TaskInfo
from lstm_lab.models.embedding import TiedHead, TokenEmbedding
from lstm_lab.models.encoder import Encoder
from lstm_lab.models.initialization import LearnedInitialState, WeightInit
from lstm_lab.models.pooling import Last, Pooling
from lstm_lab.models.size_budget import largest
from lstm_lab.models.skip import Skip, Without
from lstm_lab.registry import Choice, Named

Share = Annotated[float, Field(ge=0.0, lt=1.0)]
SIZE = 64
"""Hidden size where nothing is said."""


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
        hidden_size: config.Count | None = SIZE
        """Units of each cell, H: kept when another cell is chosen. null: as many as `max_parameters` allows."""
        max_parameters: config.Count | None = None
        """Most parameters of the whole model, from embedding to head: the largest hidden size within it is taken."""
        num_layers: config.Count = 1
        """Layers of cells."""
        bidirectional: bool = False
        """Read in both directions."""
        dilation: config.Count = 1
        """Layer k = 0, 1, ... takes its state from dilation^k steps back, as in 1, 2, 4 (Chang et al. 2017)."""
        skip: Annotated[Named, Choice(Skip, default="none")] = Without.Config()  # type: ignore[call-arg]
        """What every layer but the first, whose input has another width, hands on of its input."""
        init: WeightInit = WeightInit()
        """How weights start."""
        learn_initial_state: bool = False
        """Whether training adjusts the state before the first step, of each layer and direction; else it is zero."""
        dropout: Dropout = Dropout()
        """Sites of dropout."""
        pooling: Annotated[Named, Choice(Pooling, default="last")] = Last.Config()  # type: ignore[call-arg]
        """How a sequence becomes one vector."""

        @model_validator(mode="before")
        @classmethod
        def _default_gives_way(cls, data: Any) -> Any:
            # What was dumped holds the default too, and an override of `max_parameters` must still be possible.
            budget = data.get("max_parameters") if isinstance(data, Mapping) else None
            if budget is not None and data.get("hidden_size", SIZE) == SIZE:
                return {**data, "hidden_size": None}
            return data

        @model_validator(mode="after")
        def _one_size(self) -> SequenceModel.Config:
            if self.hidden_size is not None and self.max_parameters is not None:
                raise ValueError(
                    f"hidden_size={self.hidden_size} and max_parameters={self.max_parameters} both "
                    "set the size of the model; leave one of them out, or set it to null"
                )
            if self.hidden_size is None and self.max_parameters is None:
                raise ValueError("no size for the model: set hidden_size or max_parameters")
            return self

        @model_validator(mode="after")
        def _no_dead_choice(self) -> SequenceModel.Config:
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
                if not isinstance(self.skip, Without.Config):
                    raise ValueError(
                        f"skip={self.skip.name} would do nothing: num_layers is 1, and the first layer has none; "
                        "set num_layers to 2"
                    )
            cell: Any = self.cell.owner
            cell.check(self.cell, self.hidden_size or SIZE)
            self.init.check(self.cell, self.hidden_size or SIZE)
            if self.learn_initial_state:
                LearnedInitialState.check(self.cell, self.hidden_size or SIZE)
            return self

        def choices(self) -> dict[str, Any]:
            return {key: value for key, value in super().choices().items() if key != "max_parameters"}

        def build(self, *info: Any, **more: Any) -> Any:
            """The model; within its `max_parameters`, if those are given.

            Raises:
                ConfigError: too few parameters for any hidden size.
            """
            if self.max_parameters is None:
                return super().build(*info, **more)
            size = largest(lambda H: self.sized(H).build(*info, **more), self.max_parameters)
            return self.sized(size).build(*info, **more)

        def sized(self, hidden_size: int) -> SequenceModel.Config:
            """The same with this hidden size."""
            return self.model_copy(update={"hidden_size": hidden_size, "max_parameters": None})

    @classmethod
    def check(cls, model: Any, task: Any, data: Any) -> None:
        defaults = cls.Config()  # type: ignore[call-arg]
        if not data.owner.tokens and model.embedding != defaults.embedding:
            raise ValueError(
                f"model.embedding would do nothing: data '{data.name}' holds numbers, not tokens; leave the section out"
            )
        if model.embedding.tie_weights:
            if not (task.owner.causal and data.owner.tokens):
                raise ValueError(
                    f"model.embedding.tie_weights: task '{task.name}' on data '{data.name}' does not "
                    "predict tokens; leave it out"
                )
            if model.embedding.dim != model.hidden_size:
                raise ValueError(
                    f"model.embedding.tie_weights: embedding.dim={model.embedding.dim} and "
                    f"hidden_size={model.hidden_size} must be equal"
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
        tokens = hasattr(info, "tokens")
        self.embedding = embedding.build(info.input_size) if tokens else None
        self.vectors = embedding.pretrained
        self.encoder = Encoder(
            cell,
            input_size=embedding.dim if tokens else info.input_size,
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
        self.dropout = nn.Dropout(dropout.output)
        self.head = (
            TiedHead(self.embedding)
            if self.embedding is not None and embedding.tie_weights
            else nn.Linear(self.encoder.output_size, task.output_size)
        )

    def load_pretrained(self, info: Any) -> dict[str, Any]:
        if self.embedding is None or self.vectors is None:
            return {}
        return {"vectors": {"file": self.vectors, "tokens": self.embedding.load_pretrained(self.vectors, info.tokens)}}

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return self.forward_stateful(x, lengths, None)[0]

    def forward_stateful(self, x: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, Any]:
        """`forward` from the state that the chunk before left (None: none was), and the state that this one leaves."""
        encoded = self.encoder(x if self.embedding is None else self.embedding(x), lengths, state)
        shown = encoded.outputs if self.pooling is None else self.pooling(encoded, lengths)
        return self.head(self.dropout(shown)), encoded.state
