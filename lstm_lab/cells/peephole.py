"""The LSTM with peephole connections from the cell state to the gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from lstm_lab import kernels
from lstm_lab.cells.base import ALL_NOISES, GateBiases, TraceableCell, uniform_weight
from lstm_lab.cells.lstm import ForgetBiasConfig, LSTMState
from lstm_lab.kernels import PLAIN, EngineLayer, RecurrentNoise
from lstm_lab.kernels.native_layers import Family, lstm_flags


class PeepholeLSTM(TraceableCell[LSTMState], name="peephole"):
    """Gers & Schmidhuber (2000), "Recurrent nets that time and count"; the output gate reads the new cell state.

    i = sigmoid(W_xi x + W_hi h + W_ci c + b_i)      f = sigmoid(W_xf x + W_hf h + W_cf c + b_f)
    g = tanh(W_xg x + W_hg h + b_g)                  c' = f * c + i * g
    o = sigmoid(W_xo x + W_ho h + W_co c' + b_o)     h' = o * tanh(c')

    The peepholes W_ci, W_cf, W_co are diagonal, as in the paper and in Graves (2013), or full matrices.
    """

    State = LSTMState
    supports_reverse = True
    noises = ALL_NOISES
    gates = ("i", "f", "o")

    class Config(ForgetBiasConfig):
        full: bool = False
        """Whether each gate reads all cells through a full matrix, instead of its own cell alone."""

    roles = {"W_c": "recurrent"}

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0, full: bool = False) -> None:
        super().__init__(input_size, hidden_size)
        H, self.full = hidden_size, full
        self.W_x = uniform_weight(H, 4 * H, input_size)  # gates in the order i, f, g, o
        self.W_h = uniform_weight(H, 4 * H, H)
        self.W_c = uniform_weight(H, 3, H, H) if full else uniform_weight(H, 3, H)  # i, f, o
        self.b = uniform_weight(H, 4 * H)
        with torch.no_grad():
            nn.init.constant_(self.b[H : 2 * H], forget_bias)

    def activations(self, x: Tensor, state: LSTMState) -> dict[str, Tensor]:
        W_xx = linear(x, self.W_x, self.b)  # (B, 4 H)
        i, f, g, o = (W_xx + self.dropped_state(state.h) @ self.W_h.T).chunk(4, 1)  # (B, H) each
        W_ci, W_cf, W_co = self.W_c.unbind(0)
        i = torch.sigmoid(i + self._peephole(state.c, W_ci))
        f = torch.sigmoid(f + self._peephole(state.c, W_cf))
        g = torch.tanh(g)
        c = f * state.c + i * self.dropped_update(g)
        o = torch.sigmoid(o + self._peephole(c, W_co))
        h = o * torch.tanh(c)
        return {"i": i, "f": f, "g": g, "o": o, "c": c, "h": h}

    def retention(self, activations: dict[str, Tensor]) -> Tensor:
        return activations["f"]

    def _peephole(self, c: Tensor, W: Tensor) -> Tensor:
        return c @ W.T if self.full else c * W

    def unit_axes(self) -> Mapping[str, tuple[str, ...]]:
        peepholes = ("...", "H", "H") if self.full else ("...", "H")
        return {"W_x": ("HHHH", "I"), "W_h": ("HHHH", "H"), "W_c": peepholes, "b": ("HHHH",)}

    def recurrent_blocks(self) -> Sequence[Tensor]:
        return self.W_h.chunk(4)

    def gate_biases(self) -> GateBiases:
        i, f, _, _ = self.b.chunk(4)
        return GateBiases(forget=(f,), input=(i,))

    def engine_layer(self) -> EngineLayer | None:
        if self.full:
            return None
        return EngineLayer(Family.LSTM, 4, self.W_x, self.W_h, self.b, extra=self.W_c, flags=lstm_flags(PLAIN, True))

    def forward(
        self,
        x: Tensor,
        lengths: Tensor,
        state: LSTMState | None = None,
        reverse: bool = False,
        noise: RecurrentNoise | None = None,
    ) -> tuple[Tensor, LSTMState]:
        if self.full:
            return super().forward(x, lengths, state, reverse, noise)
        state = self.initial_state(x) if state is None else state
        outputs, h, c = kernels.lstm(
            x, lengths, state.h, state.c, self.W_x, self.W_h, self.b, peephole=self.W_c, reverse=reverse, noise=noise
        )
        return outputs, LSTMState(h, c)
