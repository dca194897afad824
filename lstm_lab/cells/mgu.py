"""The minimal gated unit: one gate that both forgets and resets, half an LSTM's weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear

from lstm_lab.cells.base import ALL_NOISES, GateBiases, Hidden, TraceableCell, uniform_weight


class MGU(TraceableCell[Hidden], name="mgu"):
    """Zhou et al. (2016), "Minimal Gated Unit for Recurrent Neural Networks".

    f = sigmoid(W_f x + U_f h + b_f)
    n = tanh(W_n x + U_n (f * h) + b_n)
    h' = (1 - f) * h + f * n

    The paper calls the gate f, but f = 1 replaces the state and f = 0 keeps it: a GRU's update gate that is also its
    reset gate.
    """

    gates = ("f",)
    noises = ALL_NOISES - {"zoneout_c"}

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        H = hidden_size
        self.W = uniform_weight(H, 2 * H, input_size)  # f, n
        self.U_f = uniform_weight(H, H, H)
        self.U_n = uniform_weight(H, H, H)
        self.b = uniform_weight(H, 2 * H)

    def unit_axes(self) -> Mapping[str, tuple[str, ...]]:
        return {"W": ("HH", "I"), "U_f": ("H", "H"), "U_n": ("H", "H"), "b": ("HH",)}

    def recurrent_blocks(self) -> Sequence[Tensor]:
        return (self.U_f, self.U_n)

    def gate_biases(self) -> GateBiases:
        return GateBiases(forget=(), input=(self.b.chunk(2)[0],))  # f multiplies the candidate

    def activations(self, x: Tensor, state: Hidden) -> dict[str, Tensor]:
        W_fx, W_nx = linear(x, self.W, self.b).chunk(2, 1)  # (B, H) each
        read = self.dropped_state(state.h)
        f = torch.sigmoid(W_fx + read @ self.U_f.T)
        n = torch.tanh(W_nx + (f * read) @ self.U_n.T)
        h = (1 - f) * state.h + f * self.dropped_update(n)
        return {"f": f, "n": n, "h": h}

    def retention(self, activations: dict[str, Tensor]) -> Tensor:
        return 1 - activations["f"]
