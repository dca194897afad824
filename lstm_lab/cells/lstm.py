"""The long short-term memory cell with forget gate, as torch and cuDNN compute it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lstm_lab import kernels
from lstm_lab.cells.base import ALL_NOISES, Cell, GateBiases, TraceableCell
from lstm_lab.cells.torch_layer import rnn_unit_axes, rnn_weights
from lstm_lab.kernels import EngineLayer, RecurrentNoise
from lstm_lab.kernels.native_layers import Family


class LSTMState(NamedTuple):
    """State of an LSTM."""

    h: Tensor
    """(B, H) hidden state, the output."""
    c: Tensor
    """(B, H) cell state."""


class ForgetBiasConfig(Cell.Config):
    """Options of every cell with a forget gate."""

    forget_bias: float = 1.0
    """Initial bias of the forget gate (Jozefowicz et al. 2015: 1)."""


class LSTM(TraceableCell[LSTMState], name="lstm"):
    """Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000).

    i = sigmoid(W_i x + U_i h + b_i)      f = sigmoid(W_f x + U_f h + b_f)
    g = tanh(W_g x + U_g h + b_g)         o = sigmoid(W_o x + U_o h + b_o)
    c' = f * c + i * g                    h' = o * tanh(c')
    """

    State = LSTMState
    supports_reverse = True
    noises = ALL_NOISES
    gates = ("i", "f", "o")

    class Config(ForgetBiasConfig):
        """Options of the LSTM."""

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0) -> None:
        super().__init__(input_size, hidden_size)
        self.layer = nn.LSTM(input_size, hidden_size, batch_first=True)
        # An open forget gate at the start: at f = 0.5 the gradient halves every step. torch adds two biases: one is 0.
        _, _, b, b_h = rnn_weights(self.layer)
        with torch.no_grad():
            b[hidden_size : 2 * hidden_size] = forget_bias
            b_h[hidden_size : 2 * hidden_size] = 0.0

    def activations(self, x: Tensor, state: LSTMState) -> dict[str, Tensor]:
        W, U, b, b_h = rnn_weights(self.layer)
        i, f, g, o = (x @ W.T + b + self.dropped_state(state.h) @ U.T + b_h).chunk(4, 1)  # (B, H) each
        i, f, g, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)
        c = f * state.c + i * self.dropped_update(g)
        h = o * torch.tanh(c)
        return {"i": i, "f": f, "g": g, "o": o, "c": c, "h": h}

    def retention(self, activations: dict[str, Tensor]) -> Tensor:
        return activations["f"]

    def engine_layer(self) -> EngineLayer:
        return EngineLayer(Family.LSTM, 4, *rnn_weights(self.layer))

    def unit_axes(self) -> Mapping[str, tuple[str, ...]]:
        return rnn_unit_axes(4)

    def recurrent_blocks(self) -> Sequence[Tensor]:
        return rnn_weights(self.layer)[1].chunk(4)

    def gate_biases(self) -> GateBiases:
        _, _, b, b_h = rnn_weights(self.layer)
        (i, f, _, _), (i_h, f_h, _, _) = b.chunk(4), b_h.chunk(4)
        return GateBiases(forget=(f, f_h), input=(i, i_h))

    def forward(
        self,
        x: Tensor,
        lengths: Tensor,
        state: LSTMState | None = None,
        reverse: bool = False,
        noise: RecurrentNoise | None = None,
    ) -> tuple[Tensor, LSTMState]:
        h, c = (None, None) if state is None else state
        outputs, h, c = kernels.lstm(x, lengths, h, c, *rnn_weights(self.layer), reverse=reverse, noise=noise)
        return outputs, LSTMState(h, c)
