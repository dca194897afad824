"""The LSTM as it was first published: no forget gate, and no peepholes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lstm_lab import kernels
from lstm_lab.cells.base import ALL_NOISES, GateBiases, TraceableCell, uniform_weight
from lstm_lab.cells.lstm import LSTMState
from lstm_lab.kernels import EngineLayer, RecurrentNoise, Variant, reference
from lstm_lab.kernels.native_layers import Family, lstm_flags

NO_FORGET_GATE = Variant(forget_gate=False)


class LSTM1997(TraceableCell[LSTMState], name="lstm_1997"):
    """Hochreiter & Schmidhuber (1997), "Long Short-Term Memory", section 4, with one cell for each pair of gates.

    i = sigmoid(W_i x + U_i h + b_i)      o = sigmoid(W_o x + U_o h + b_o)
    g = tanh(W_g x + U_g h + b_g)         c' = c + i * g      h' = o * tanh(c')

    Nothing is ever forgotten: c is a sum, and can grow with the length of a sequence. The squashing functions of the
    paper, 4 sigmoid(z) - 2 and 2 sigmoid(c) - 1, give the same network: with weights of g, and c, twice as large. The
    paper cuts the gradient at the inputs of gates and cell; here it is whole.
    """

    State = LSTMState
    supports_reverse = True
    noises = ALL_NOISES
    gates = ("i", "o")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        H = hidden_size
        self.W = uniform_weight(H, 3 * H, input_size)  # gates in the order i, g, o
        self.U = uniform_weight(H, 3 * H, H)
        self.b = uniform_weight(H, 3 * H)

    def activations(self, x: Tensor, state: LSTMState) -> dict[str, Tensor]:
        read, update = self.dropped_state(state.h), None if self.masks is None else self.masks.update
        return reference.lstm_activations(
            x, state.h, state.c, self.W, self.U, self.b, None, None, NO_FORGET_GATE, read, update
        )

    def retention(self, activations: dict[str, Tensor]) -> Tensor:
        return torch.ones_like(activations["c"])

    def unit_axes(self) -> Mapping[str, tuple[str, ...]]:
        return {"W": ("HHH", "I"), "U": ("HHH", "H"), "b": ("HHH",)}

    def recurrent_blocks(self) -> Sequence[Tensor]:
        return self.U.chunk(3)

    def gate_biases(self) -> GateBiases | None:
        return None

    def engine_layer(self) -> EngineLayer:
        return EngineLayer(Family.LSTM, 3, self.W, self.U, self.b, flags=lstm_flags(NO_FORGET_GATE, False))

    def forward(
        self,
        x: Tensor,
        lengths: Tensor,
        state: LSTMState | None = None,
        reverse: bool = False,
        noise: RecurrentNoise | None = None,
    ) -> tuple[Tensor, LSTMState]:
        h, c = (None, None) if state is None else state
        outputs, h, c = kernels.lstm(
            x, lengths, h, c, self.W, self.U, self.b, variant=NO_FORGET_GATE, reverse=reverse, noise=noise
        )
        return outputs, LSTMState(h, c)
