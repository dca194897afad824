"""The LSTM with layer normalisation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from lstm_lab import kernels
from lstm_lab.cells.base import ALL_NOISES, GateBiases, TraceableCell, uniform_weight
from lstm_lab.cells.lstm import ForgetBiasConfig, LSTMState
from lstm_lab.kernels import EngineLayer, RecurrentNoise
from lstm_lab.kernels.native_layers import Family


class NormLSTM(TraceableCell[LSTMState], name="norm_lstm"):
    """Ba et al. (2016), "Layer Normalization", equations 20-22; LN(z; a, b) = a * (z - mean) / std + b.

    (i, f, g, o) = LN(W_h h; a_1) + LN(W_x x; a_2) + b
    c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h' = sigmoid(o) * tanh(LN(c'; a_3, b_3))

    The shifts of the first two would only be added to b, so b stands for all three.
    """

    State = LSTMState
    supports_reverse = True
    noises = ALL_NOISES
    gates = ("i", "f", "o")

    class Config(ForgetBiasConfig):
        """Options of the LSTM with layer normalisation."""

    roles = {"a_1": "norm", "a_2": "norm", "a_3": "norm"}

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0) -> None:
        super().__init__(input_size, hidden_size)
        H = hidden_size
        self.W_x = uniform_weight(H, 4 * H, input_size)  # gates in the order i, f, g, o
        self.W_h = uniform_weight(H, 4 * H, H)
        self.b = nn.Parameter(torch.zeros(4 * H))
        self.a_1, self.a_2 = nn.Parameter(torch.ones(4 * H)), nn.Parameter(torch.ones(4 * H))
        self.a_3, self.b_3 = nn.Parameter(torch.ones(H)), nn.Parameter(torch.zeros(H))
        with torch.no_grad():
            nn.init.constant_(self.b[H : 2 * H], forget_bias)

    def activations(self, x: Tensor, state: LSTMState) -> dict[str, Tensor]:
        H = self.hidden_size
        W_hh = self.dropped_state(state.h) @ self.W_h.T  # (B, 4 H)
        z = layer_norm(W_hh, (4 * H,), self.a_1) + layer_norm(x @ self.W_x.T, (4 * H,), self.a_2)
        i, f, g, o = (z + self.b).chunk(4, 1)  # (B, H) each
        i, f, g, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)
        c = f * state.c + i * self.dropped_update(g)
        h = o * torch.tanh(layer_norm(c, (H,), self.a_3, self.b_3))
        return {"i": i, "f": f, "g": g, "o": o, "c": c, "h": h}

    def retention(self, activations: dict[str, Tensor]) -> Tensor:
        return activations["f"]

    def recurrent_blocks(self) -> Sequence[Tensor]:
        return self.W_h.chunk(4)

    def gate_biases(self) -> GateBiases:
        i, f, _, _ = self.b.chunk(4)
        return GateBiases(forget=(f,), input=(i,))

    def engine_layer(self) -> EngineLayer:
        return EngineLayer(
            Family.NORM, 4, self.W_x, self.W_h, None, extra=torch.cat((self.a_1, self.a_2, self.b, self.a_3, self.b_3))
        )

    def forward(
        self,
        x: Tensor,
        lengths: Tensor,
        state: LSTMState | None = None,
        reverse: bool = False,
        noise: RecurrentNoise | None = None,
    ) -> tuple[Tensor, LSTMState]:
        state = self.initial_state(x) if state is None else state
        outputs, h, c = kernels.norm_lstm(
            x,
            lengths,
            state.h,
            state.c,
            self.W_x,
            self.W_h,
            self.b,
            self.a_2,
            self.a_1,
            self.a_3,
            self.b_3,
            reverse=reverse,
            noise=noise,
        )
        return outputs, LSTMState(h, c)
