"""minGRU and minLSTM: gates that depend on the input alone, so that the state is a weighted sum of candidates.

Where the engine cannot run them, as on a GPU, whole sequences are computed by a parallel scan instead of step by step.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, logsigmoid

from lstm_lab.cells.base import GateBiases, Hidden, TraceableCell, uniform_weight
from lstm_lab.cells.lstm import ForgetBiasConfig
from lstm_lab.cells.scan import scan_hidden
from lstm_lab.kernels.lengths import mask_padding


class MinGRU(TraceableCell[Hidden], name="min_gru"):
    """Feng et al. (2024), "Were RNNs All We Needed?", section 3.1, the form without logarithms.

    z = sigmoid(W_z x + b_z)
    h~ = W_h x + b_h
    h' = (1 - z) * h + z * h~

    The candidate h~ is linear, of any sign: the map g that makes h~ > 0 for their scan in logarithms is not used; the
    scan here needs no logarithm.
    """

    gates = ("z",)
    noises = frozenset({"update_dropout", "zoneout_h"})

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        H = hidden_size
        self.W = uniform_weight(H, 2 * H, input_size)  # z, h~
        self.b = uniform_weight(H, 2 * H)

    def unit_axes(self) -> Mapping[str, tuple[str, ...]]:
        return {"W": ("HH", "I"), "b": ("HH",)}

    def gate_biases(self) -> GateBiases:
        return GateBiases(forget=(), input=(self.b.chunk(2)[0],))

    def gates_of(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (..., I) -> z and h~, (..., H) each."""
        z, candidate = linear(x, self.W, self.b).chunk(2, -1)
        return torch.sigmoid(z), candidate

    def activations(self, x: Tensor, state: Hidden) -> dict[str, Tensor]:
        z, candidate = self.gates_of(x)  # (B, H) each
        h = (1 - z) * state.h + z * self.dropped_update(candidate)
        return {"z": z, "candidate": candidate, "h": h}

    def run_in_torch(self, x: Tensor, lengths: Tensor, state: Hidden) -> tuple[Tensor, Hidden]:
        z, candidate = self.gates_of(mask_padding(x, lengths))
        return scan_hidden(1 - z, z * candidate, lengths, state)

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

    def unit_axes(self) -> Mapping[str, tuple[str, ...]]:
        return {"W": ("HHH", "I"), "b": ("HHH",)}

    def gate_biases(self) -> GateBiases:
        f, i, _ = self.b.chunk(3)
        return GateBiases(forget=(f,), input=(i,))

    def gates_of(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x (..., I) -> f and i before their sigmoid, f / (f + i) after it, and h~; (..., H) each."""
        f, i, candidate = linear(x, self.W, self.b).chunk(3, -1)
        return f, i, torch.sigmoid(logsigmoid(f) - logsigmoid(i)), candidate

    def run_in_torch(self, x: Tensor, lengths: Tensor, state: Hidden) -> tuple[Tensor, Hidden]:
        _, _, keep, candidate = self.gates_of(mask_padding(x, lengths))
        return scan_hidden(keep, (1 - keep) * candidate, lengths, state)

    def activations(self, x: Tensor, state: Hidden) -> dict[str, Tensor]:
        f, i, keep, candidate = self.gates_of(x)  # (B, H) each
        h = keep * state.h + (1 - keep) * self.dropped_update(candidate)
        return {"f": torch.sigmoid(f), "i": torch.sigmoid(i), "keep": keep, "candidate": candidate, "h": h}

    def retention(self, activations: dict[str, Tensor]) -> Tensor:
        return activations["keep"]
