"""The Elman network: one state and no gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from lstm_lab import kernels
from lstm_lab.cells.base import Hidden, TraceableCell
from lstm_lab.cells.torch_layer import rnn_unit_axes, rnn_weights
from lstm_lab.kernels import EngineLayer, RecurrentNoise
from lstm_lab.kernels.native_layers import Family


class RNN(TraceableCell[Hidden], name="rnn"):
    """h_t = tanh(W x_t + b + U h_{t-1} + b')  (Elman, 1990)."""

    supports_reverse = True
    noises = frozenset({"state_dropout", "zoneout_h"})

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.layer = nn.RNN(input_size, hidden_size, batch_first=True)

    def activations(self, x: Tensor, state: Hidden) -> dict[str, Tensor]:
        W, U, b, b_h = rnn_weights(self.layer)
        h = torch.tanh(x @ W.T + b + self.dropped_state(state.h) @ U.T + b_h)  # (B, H)
        return {"h": h}

    def engine_layer(self) -> EngineLayer:
        return EngineLayer(Family.RNN, 1, *rnn_weights(self.layer))

    def unit_axes(self) -> Mapping[str, tuple[str, ...]]:
        return rnn_unit_axes(1)

    def recurrent_blocks(self) -> Sequence[Tensor]:
        return (rnn_weights(self.layer)[1],)

    def forward(
        self,
        x: Tensor,
        lengths: Tensor,
        state: Hidden | None = None,
        reverse: bool = False,
        noise: RecurrentNoise | None = None,
    ) -> tuple[Tensor, Hidden]:
        state = self.initial_state(x) if state is None else state
        outputs, h = kernels.rnn(x, lengths, state.h, *rnn_weights(self.layer), reverse=reverse, noise=noise)
        return outputs, Hidden(h)
