"""minGRU and minLSTM: gates that depend on the input alone, so that the state is a weighted sum of candidates."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, logsigmoid

from lstm_lab.cells.base import GateBiases, Hidden, TraceableCell, uniform_weight
from lstm_lab.cells.lstm import ForgetBiasConfig


class MinGRU(TraceableCell[Hidden], name="min_gru"):
    """Feng et al. (2024), "Were RNNs All We Needed?", section 3.1, the form without logarithms.

    z = sigmoid(W_z x + b_z)
    h~ = W_h x + b_h
    h' = (1 - z) * h + z * h~

    The candidate h~ is linear, of any sign: the map g that their logarithmic scan needs for h~ > 0 is not used.
    """

    gates = ("z",)
    noises = frozenset({"update_dropout", "zoneout_h"})

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        H = hidden_size
        self.W = uniform_weight(H, 2 * H, input_size)  # z, h~
        self.b = uniform_weight(H, 2 * H)

    def gate_biases(self) -> GateBiases:
        return GateBiases(forget=(), input=(self.b.chunk(2)[0],))

    def activations(self, x: Tensor, state: Hidden) -> dict[str, Tensor]:
        z, candidate = linear(x, self.W, self.b).chunk(2, 1)  # (B, H) each
        z = torch.sigmoid(z)
        h = (1 - z) * state.h + z * self.dropped_update(candidate)
        return {"z": z, "candidate": candidate, "h": h}

    def retention(self, activations: dict[str, Tensor]) -> Tensor:
        return 1 - activations["z"]


class MinLSTM(TraceableCell[Hidden], name="min_lstm"):
    """Feng et al. (2024), "Were RNNs All We Needed?", section 3.2, the form without logarithms.

    f = sigmoid(W_f x + b_f)      i = sigmoid(W_i x + b_i)      h~ = W_h x + b_h
    h' = f / (f + i) * h + i / (f + i) * h~

    The weights are computed as f / (f + i) = sigmoid(log f - log i), which is stable where f and i are too small to
    divide.
    """

    gates = ("f", "i")
    noises = frozenset({"update_dropout", "zoneout_h"})

    class Config(ForgetBiasConfig):
        """Options of the minLSTM."""

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0) -> None:
        super().__init__(input_size, hidden_size)
        H = hidden_size
        self.W = uniform_weight(H, 3 * H, input_size)  # f, i, h~
        self.b = uniform_weight(H, 3 * H)
        with torch.no_grad():
            nn.init.constant_(self.b[:H], forget_bias)

    def gate_biases(self) -> GateBiases:
        f, i, _ = self.b.chunk(3)
        return GateBiases(forget=(f,), input=(i,))

    def activations(self, x: Tensor, state: Hidden) -> dict[str, Tensor]:
        f, i, candidate = linear(x, self.W, self.b).chunk(3, 1)  # (B, H) each
        keep = torch.sigmoid(logsigmoid(f) - logsigmoid(i))  # f / (f + i)
        h = keep * state.h + (1 - keep) * self.dropped_update(candidate)
        return {"f": torch.sigmoid(f), "i": torch.sigmoid(i), "keep": keep, "candidate": candidate, "h": h}

    def retention(self, activations: dict[str, Tensor]) -> Tensor:
        return activations["keep"]
