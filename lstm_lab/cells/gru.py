"""The gated recurrent unit: two gates, one state, three quarters of an LSTM's weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from lstm_lab import kernels
from lstm_lab.cells.base import ALL_NOISES, GateBiases, Hidden, TraceableCell
from lstm_lab.cells.torch_layer import rnn_unit_axes, rnn_weights
from lstm_lab.kernels import EngineLayer, RecurrentNoise
from lstm_lab.kernels.native_layers import Family


class GRU(TraceableCell[Hidden], name="gru"):
    """Cho et al. (2014), in the form that cuDNN and torch compute (the reset gate acts after U).

    r = sigmoid(W_r x + U_r h + b_r)
    z = sigmoid(W_z x + U_z h + b_z)
    n = tanh(W_n x + b_n + r * (U_n h + b'_n))
    h' = (1 - z) * n + z * h
    """

    supports_reverse = True
    noises = ALL_NOISES - {"zoneout_c"}
    gates = ("r", "z")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.layer = nn.GRU(input_size, hidden_size, batch_first=True)

    def activations(self, x: Tensor, state: Hidden) -> dict[str, Tensor]:
        W, U, b, b_h = rnn_weights(self.layer)
        W_rx, W_zx, W_nx = (x @ W.T + b).chunk(3, 1)
        U_rh, U_zh, U_nh = (self.dropped_state(state.h) @ U.T + b_h).chunk(3, 1)
        r = torch.sigmoid(W_rx + U_rh)  # (B, H)
        z = torch.sigmoid(W_zx + U_zh)
        n = torch.tanh(W_nx + r * U_nh)
        h = (1 - z) * self.dropped_update(n) + z * state.h
        return {"r": r, "z": z, "n": n, "h": h}

    def retention(self, activations: dict[str, Tensor]) -> Tensor:
        return activations["z"]

    def engine_layer(self) -> EngineLayer:
        return EngineLayer(Family.GRU, 3, *rnn_weights(self.layer))

    def unit_axes(self) -> Mapping[str, tuple[str, ...]]:
        return rnn_unit_axes(3)

    def recurrent_blocks(self) -> Sequence[Tensor]:
        return rnn_weights(self.layer)[1].chunk(3)

    def gate_biases(self) -> GateBiases:
        _, _, b, b_h = rnn_weights(self.layer)
        return GateBiases(forget=(b.chunk(3)[1], b_h.chunk(3)[1]))  # z multiplies the old h, 1 - z the candidate

    def forward(
        self,
        x: Tensor,
        lengths: Tensor,
        state: Hidden | None = None,
        reverse: bool = False,
        noise: RecurrentNoise | None = None,
    ) -> tuple[Tensor, Hidden]:
        h = None if state is None else state.h
        outputs, h = kernels.gru(x, lengths, h, *rnn_weights(self.layer), reverse=reverse, noise=noise)
        return outputs, Hidden(h)
