"""A graph layer around any cell: each node of a graph reads its own series and those of its neighbours."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

import lstm_lab.cells.lstm
from lstm_lab import config
from lstm_lab.cells import Cell
from lstm_lab.cells.base import CellState, unroll
from lstm_lab.config.registry import Named, OneOf
from lstm_lab.data.base import Dataset
from lstm_lab.data.kinds.graph_series import GraphInfo, GraphSeries
from lstm_lab.models.base import Model, Output, TaskConfig, TaskInfo
from lstm_lab.models.encoder import Encoded, Encoder
from lstm_lab.models.graph_filters import Chebyshev, Graph, GraphFilter
from lstm_lab.models.sites import IN_EVERY_MODEL, Place, Site


class GraphModel(Model, name="graph"):
    """Graph convolution of inputs and states, for any cell (Seo et al. 2018; Li et al. 2018).

    With G(x) = [x; G_1 x; ..; G_M x], own values and the blocks of a filter, one cell for all N nodes does at each step

        h_t, state_t = step([G(x_t); G_1 h_{t-1}; ..; G_M h_{t-1}], state_{t-1})

    and multiplies h_{t-1} of the node itself by its own recurrent weights: W [..] + U h = sum_k G_k x W_k + sum_k G_k h
    U_k, with G_0 = 1. A `peephole` cell with `chebyshev` is the GConvLSTM of Seo et al. In a GRU the reset gate acts on
    the node's own state alone, where DCRNN also lets it act on the neighbours'. The head is one for all nodes too: a
    node is known by its neighbours, not by its number, and to number them otherwise changes nothing.
    """

    class Config(Model.Config):
        cell: Annotated[Cell.Config, OneOf(Cell, default="lstm")] = lstm_lab.cells.lstm.LSTM.Config()
        """The recurrent cell."""
        hidden_size: config.Count = 32
        """Units of the cell, H, for each node."""
        filter: Annotated[Named, OneOf(GraphFilter, default="chebyshev")] = Chebyshev.Config()
        """What a node reads of its neighbours."""
        states: bool = True
        """Whether the states of the neighbours are read too, or their inputs alone."""
        edges: Literal["given", "none", "shuffled"] = "given"
        """Those of the data; or as a control none, so that each series is alone; or the same between other series,
        drawn at random by the seed of the training."""
        dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
        """Share of values zeroed before the head."""

        def places(self, data: Dataset.Config) -> frozenset[Place]:
            found = IN_EVERY_MODEL | {Place.OUTPUT, Place.ACTIVATIONS}
            return found if self.states else found | {Place.INPUT, Place.RECURRENCE, Place.RECURRENT_WEIGHTS}

        def recurrent_cell(self) -> Named | None:
            return None if self.states else self.cell

        def check(self, task: TaskConfig, data: Dataset.Config) -> None:
            if not issubclass(data.dataset, GraphSeries):
                known = sorted(name for name, each in Dataset.members.items() if issubclass(each, GraphSeries))
                raise ValueError(
                    f"model 'graph' needs data with edges, which data '{data.name}' has not: choose data: "
                    f"{', '.join(known)}, or model: sequence"
                )
            if task.input_steps(data) is None:
                raise ValueError(f"model 'graph' forecasts the series of a graph; task '{task.name}' needs another one")
            self.cell.owner.check(self.cell, self.hidden_size)

    def __init__(
        self,
        info: GraphInfo,
        task: TaskInfo,
        *,
        cell: Named,
        hidden_size: int,
        filter: Named,
        states: bool,
        edges: str,
        dropout: float,
    ) -> None:
        super().__init__()
        N, H = len(info.targets), hidden_size
        self.hidden_size, self.nodes, self.columns = H, N, len(info.columns)
        self.has_masks = info.num_mask_channels == len(info.columns)
        self.shape = (info.horizon, task.output_size // (info.horizon * N))
        graph = Graph(N, (), ()) if edges == "none" else Graph(N, info.edges, info.edge_weights)
        self.filter: GraphFilter = filter.build(graph)
        self.order: Tensor | None
        self.register_buffer("order", torch.randperm(N) if edges == "shuffled" else None)
        M, own = self.filter.num_blocks, 1 + self.has_masks
        inputs = (1 + M) * (own + info.input_size - own * N)
        self.encoder: Encoder | None = None
        self.cell: Cell | None = None
        if states:
            self.cell = cell.build(inputs + M * H, H)
        else:
            self.encoder = Encoder(cell, input_size=inputs, hidden_size=H)
        self.output_site = Site(Place.OUTPUT, dropout)
        self.head = nn.Linear(H, self.shape[0] * self.shape[1])

    def forward(self, x: Tensor, lengths: Tensor) -> Output:
        B, N = x.shape[0], self.nodes
        values = self.node_values(x)  # (B, T, N, F)
        read = torch.cat([values, self.of_neighbours(values)], -1)
        rows, lengths = read.transpose(1, 2).flatten(0, 1), lengths.repeat_interleave(N)  # of B N sequences
        if self.encoder is not None:
            encoded = self.encoder(rows, lengths)
        else:
            assert self.cell is not None
            outputs, state = unroll(self.step, rows, lengths, self.cell.initial_state(rows))
            encoded = Encoded(outputs, state.h, ((state,),), lengths)
        y = self.head(self.output_site(encoded.final)).view(B, N, *self.shape)
        return Output(y.transpose(1, 2).flatten(1), encoded)

    def step(self, x: Tensor, state: CellState) -> tuple[Tensor, CellState]:
        """One step of all nodes: x (B N, I), nodes of a sample in turn, without what is read of the states."""
        assert self.cell is not None
        h = state.h.unflatten(0, (-1, self.nodes))
        stepped: tuple[Tensor, CellState] = self.cell.step(
            torch.cat([x, self.of_neighbours(h).flatten(0, 1)], 1), state
        )
        return stepped

    def node_values(self, x: Tensor) -> Tensor:
        """x (B, T, I) -> (B, T, N, F): of each node its series, the mask of that, and what belongs to none."""
        N, C = self.nodes, self.columns
        own, others = [x[..., :N]], [x[..., N:C], x[..., C:]]
        if self.has_masks:
            own, others = [*own, x[..., C : C + N]], [x[..., N:C], x[..., C + N :]]
        shared = torch.cat(others, -1).unsqueeze(-2)
        return torch.cat([torch.stack(own, -1), shared.expand(*x.shape[:2], N, shared.shape[-1])], -1)

    def of_neighbours(self, values: Tensor) -> Tensor:
        """The blocks of the filter for each node, beside each other: (..., N, F) -> (..., N, M F)."""
        nodes = values.movedim(-2, 0)
        flat = nodes.reshape(self.nodes, -1)
        if self.order is None:
            blocks = self.filter(flat)
        else:  # The edges are between the nodes that have these places in the order.
            back = self.order.argsort()
            blocks = [block[back] for block in self.filter(flat[self.order])]
        return torch.cat([block.view(nodes.shape).movedim(0, -2) for block in blocks], -1)
