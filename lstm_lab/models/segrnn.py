"""SegRNN: one recurrent network over segments of each channel, all segments ahead at once (Lin et al., 2023)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

import lstm_lab.cells.gru
from lstm_lab import config
from lstm_lab.cells import Cell
from lstm_lab.config.registry import Named, OneOf
from lstm_lab.data.base import Dataset
from lstm_lab.data.kinds.series import SeriesInfo, WindowedDataset
from lstm_lab.models.base import Model, Output, TaskConfig, TaskInfo
from lstm_lab.models.encoder import Encoder
from lstm_lab.models.sites import IN_EVERY_MODEL, Place, Site
from lstm_lab.models.state import map_state


class SegRNN(Model, name="segrnn"):
    """One network for every channel: channels do not see each other.

    Encoding, for each segment s_k of w steps of one channel, k = 1..n:
        h_k = cell(relu(W_p s_k + b_p), h_{k-1})
    Decoding, all m segments of the horizon in one step each from the same h_n:
        y_j = W_y dropout(cell([p_j; c], h_n)) + b_y
    p_j is the position of the segment ahead and c the channel, each a learned vector of `hidden_size` / 2. The paper
    subtracts the last value of the window and adds it again: that is `task.anchor: last`.
    """

    class Config(Model.Config):
        cell: Annotated[Named, OneOf(Cell, default="gru")] = lstm_lab.cells.gru.GRU.Config()
        """The recurrent cell."""
        hidden_size: Annotated[int, Field(ge=2, lt=2**31, multiple_of=2)] = 128
        """Units of the cell and size of a segment's vector, d; even."""
        segment_length: config.Count = 24
        """Steps in a segment, w; the steps read of the window, and the horizon, are multiples of it."""
        dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
        """Share of values zeroed before the head."""

        def places(self, data: Dataset.Config) -> frozenset[Place]:
            recurrence = {Place.RECURRENCE, Place.RECURRENT_WEIGHTS}
            return IN_EVERY_MODEL | recurrence | {Place.INPUT, Place.OUTPUT, Place.ACTIVATIONS}

        def recurrent_steps(self, task: TaskConfig, data: Dataset.Config) -> int | None:
            window = task.input_steps(data)
            return None if window is None else window // self.segment_length

        def recurrent_cell(self) -> Named:
            return self.cell

        def check(self, task: TaskConfig, data: Dataset.Config) -> None:
            window = task.input_steps(data)
            if window is None or not isinstance(data, WindowedDataset.Config):
                raise ValueError(f"model 'segrnn' forecasts a series; task '{task.name}' needs model: sequence")
            if data.covariates:
                raise ValueError(
                    f"data.{data.covariates[0]} would do nothing: model 'segrnn' reads each target alone; leave it "
                    "out, or choose model: sequence"
                )
            if data.masks_missing:
                raise ValueError("data.missing=mask: model 'segrnn' reads no mask; set it to forward_fill")
            horizon = data.horizon
            for name, steps in (("data.window", window), ("data.horizon", horizon)):
                if steps % self.segment_length:
                    divisors = [w for w in range(1, min(window, horizon) + 1) if not window % w and not horizon % w]
                    raise ValueError(
                        f"model.segment_length={self.segment_length} does not divide {name}={steps}: choose one of "
                        f"{', '.join(map(str, divisors))}, or change {name}"
                    )

    def __init__(
        self, info: SeriesInfo, task: TaskInfo, *, cell: Named, hidden_size: int, segment_length: int, dropout: float
    ) -> None:
        super().__init__()
        d, w, K = hidden_size, segment_length, len(info.targets)
        self.segment_length, self.channels, self.ahead = w, K, info.horizon // w
        self.numbers = task.output_size // (info.horizon * K)
        self.read = nn.Linear(w, d)
        self.encoder = Encoder(cell, input_size=d, hidden_size=d)
        self.position = nn.Parameter(torch.randn(self.ahead, d // 2))
        self.channel = nn.Parameter(torch.randn(K, d // 2))
        self.output_site = Site(Place.OUTPUT, dropout)
        self.head = nn.Linear(d, w * self.numbers)

    def forward(self, x: Tensor, lengths: Tensor) -> Output:
        B, K, m, w, P = x.shape[0], self.channels, self.ahead, self.segment_length, self.numbers
        s = x[..., :K].transpose(1, 2).reshape(B * K, -1, w)  # (B K, n, w)
        n = torch.full((B * K,), s.shape[1])
        encoded = self.encoder(torch.relu(self.read(s)), n)  # of B K sequences
        state = map_state(lambda tensor: tensor.repeat_interleave(m, 0), encoded.state)
        query = self.queries().expand(B, -1, -1, -1).reshape(B * K * m, 1, -1)
        h = self.encoder(query, torch.ones(query.shape[0], dtype=torch.int64), state).final  # (B K m, d)
        y = self.head(self.output_site(h)).view(B, K, m * w, P)
        return Output(y.transpose(1, 2).flatten(1), encoded)

    def queries(self) -> Tensor:
        """(K, m, d) what decodes each segment ahead of each channel: [p_j; c]."""
        K, m = self.channels, self.ahead
        return torch.cat([self.position.expand(K, m, -1), self.channel.unsqueeze(1).expand(K, m, -1)], -1)
