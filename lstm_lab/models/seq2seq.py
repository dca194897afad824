"""Encoder and decoder: each forecast is the input of the next step, with attention over the whole window."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

import lstm_lab.cells.lstm
from lstm_lab import config
from lstm_lab.cells import Cell
from lstm_lab.cells.base import CellState
from lstm_lab.config.registry import Named, OneOf
from lstm_lab.data.base import Dataset
from lstm_lab.data.kinds.series import SeriesInfo
from lstm_lab.models.base import Model, Output, TaskConfig, TaskInfo
from lstm_lab.models.encoder import Encoder
from lstm_lab.models.sites import IN_EVERY_MODEL, Place, Site


class Seq2Seq(Model, name="seq2seq"):
    """Sutskever et al. (2014) with the attention of Luong et al. (2015), "general" score.

    The encoder returns outputs e_1..e_T and a state, from which the decoder continues, one step ahead at a time:
        h_t = cell([y_{t-1}; k_t], h_{t-1})
        a_t = softmax over s of h_t W_a e_s,  c_t = sum of a_ts e_s
        y_t = W_y dropout([h_t; c_t]) + b_y
    y_0 are the last values of the targets, k_t the columns that are known ahead at step t. In training as in
    prediction, y_{t-1} is the model's own forecast: no teacher forcing.
    """

    class Config(Model.Config):
        cell: Annotated[Named, OneOf(Cell, default="lstm")] = lstm_lab.cells.lstm.LSTM.Config()
        """The recurrent cell, of encoder and decoder."""
        hidden_size: config.Count = 64
        """Units of each cell, H."""
        attention: bool = True
        """Attention over every step of the window; false: the decoder has the encoder's last state alone."""
        dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
        """Share of values zeroed before the head."""

        def places(self, data: Dataset.Config) -> frozenset[Place]:
            return IN_EVERY_MODEL | {Place.INPUT, Place.OUTPUT, Place.ACTIVATIONS}

        def check(self, task: TaskConfig, data: Dataset.Config) -> None:
            if task.input_steps(data) is None:
                raise ValueError(f"model 'seq2seq' forecasts a series; task '{task.name}' needs model: sequence")

    def __init__(
        self, info: SeriesInfo, task: TaskInfo, *, cell: Named, hidden_size: int, attention: bool, dropout: float
    ) -> None:
        super().__init__()
        self.horizon, self.targets = info.horizon, len(info.targets)
        self.numbers = task.output_size // info.horizon  # K P of one step
        self.known, self.num_mask_channels = len(info.known), info.num_mask_channels
        self.encoder = Encoder(cell, input_size=info.input_size, hidden_size=hidden_size)
        self.decoder = cell.build(self.numbers + self.known, hidden_size)
        self.attention = nn.Linear(hidden_size, hidden_size, bias=False) if attention else None
        self.output_site = Site(Place.OUTPUT, dropout)
        self.head = nn.Linear((2 if attention else 1) * hidden_size, self.numbers)

    def forward(self, x: Tensor, lengths: Tensor) -> Output:
        T = x.shape[1] - (self.horizon if self.known else 0)
        encoded = self.encoder(x[:, :T].contiguous(), lengths - (x.shape[1] - T))
        forecasts, weights = self.decode(x, T, encoded.outputs, encoded.state[0][0])
        return Output(forecasts, encoded, weights)

    def decode(self, x: Tensor, T: int, outputs: Tensor, state: CellState) -> tuple[Tensor, Tensor | None]:
        """The forecasts (B, horizon K P), and of an attention its weights (B, horizon, T).

        Args:
            x: (B, T, I), or (B, T + horizon, I) where columns are known ahead.
            T: steps of the window.
            outputs: (B, T, H) of the encoder.
            state: after its last step.
        """
        end = x.shape[2] - self.num_mask_channels
        known = x[:, T:, end - self.known : end].unbind(1) if self.known else ()  # (B, known) for each step ahead
        y = x[:, T - 1, : self.targets].repeat_interleave(self.numbers // self.targets, 1)  # (B, K P)
        forecasts, weights = [], []
        for t in range(self.horizon):
            h, state = self.decoder.step(torch.cat([y, known[t]], 1) if self.known else y, state)
            if self.attention is not None:
                a = torch.softmax((outputs @ self.attention(h).unsqueeze(2)).squeeze(2), 1)  # (B, T)
                h = torch.cat([h, (a.unsqueeze(1) @ outputs).squeeze(1)], 1)
                weights.append(a)
            y = self.head(self.output_site(h))
            forecasts.append(y)
        return torch.cat(forecasts, 1), torch.stack(weights, 1) if weights else None
