"""The quasi-recurrent network: gates by a convolution over the inputs, and a weighted sum over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from lstm_lab.cells.base import GateBiases, TraceableCell, uniform_weight
from lstm_lab.cells.lstm import ForgetBiasConfig, LSTMState
from lstm_lab.cells.scan import at_last_step, scan
from lstm_lab.kernels.lengths import mask_padding


class WindowState(NamedTuple):
    """State of a QRNN with a window of two steps: it holds what the last input adds to the gates of the next step."""

    h: Tensor
    c: Tensor
    next_z: Tensor
    next_f: Tensor
    next_o: Tensor
    """(B, H) each; zeros before the first step."""


class QRNN(TraceableCell[LSTMState | WindowState], name="qrnn"):
    """Bradbury et al. (2017), "Quasi-Recurrent Neural Networks", section 2, with fo-pooling.

    With x- the input of the step before, for a window of two steps; without V for a window of one:

    z = tanh(W_z x + V_z x- + b_z)         f = sigmoid(W_f x + V_f x- + b_f)
    o = sigmoid(W_o x + V_o x- + b_o)      c' = f * c + (1 - f) * z      h' = o * c'

    Zoneout of c is the regularization that the paper proposes. Where the engine cannot run it, as on a GPU, whole
    sequences are computed by a parallel scan instead of step by step.
    """

    State: type[LSTMState] | type[WindowState] = LSTMState
    noises = frozenset({"update_dropout", "zoneout_c"})  # no weights multiply h, and no gate reads it
    gates = ("f", "o")

    class Config(ForgetBiasConfig):
        window: Literal[1, 2] = 2
        """Steps whose inputs the gates read."""

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0, window: int = 2) -> None:
        super().__init__(input_size, hidden_size)
        H, self.window = hidden_size, window
        if window == 2:
            self.State = WindowState
        self.W = uniform_weight(H, 3 * H, input_size)  # z, f, o
        self.V = uniform_weight(H, 3 * H, input_size) if window == 2 else None
        self.b = uniform_weight(H, 3 * H)
        with torch.no_grad():
            nn.init.constant_(self.b[H : 2 * H], forget_bias)

    def unit_axes(self) -> Mapping[str, tuple[str, ...]]:
        axes: dict[str, tuple[str, ...]] = {"W": ("HHH", "I"), "b": ("HHH",)}
        return axes if self.V is None else {**axes, "V": ("HHH", "I")}

    def gate_biases(self) -> GateBiases:
        return GateBiases(forget=(self.b.chunk(3)[1],))

    def activations(self, x: Tensor, state: LSTMState | WindowState) -> dict[str, Tensor]:
        z, f, o = linear(x, self.W, self.b).chunk(3, 1)  # (B, H) each
        ahead: dict[str, Tensor] = {}
        if self.V is not None and isinstance(state, WindowState):
            z, f, o = z + state.next_z, f + state.next_f, o + state.next_o
            ahead = dict(zip(("next_z", "next_f", "next_o"), linear(x, self.V).chunk(3, 1), strict=True))
        z, f, o = torch.tanh(z), torch.sigmoid(f), torch.sigmoid(o)
        c = f * state.c + (1 - f) * self.dropped_update(z)
        return {"z": z, "f": f, "o": o, "c": c, "h": o * c, **ahead}

    def retention(self, activations: dict[str, Tensor]) -> Tensor:
        return activations["f"]

    def run_in_torch(
        self, x: Tensor, lengths: Tensor, state: LSTMState | WindowState
    ) -> tuple[Tensor, LSTMState | WindowState]:
        if not x.shape[1]:
            return super().run_in_torch(x, lengths, state)
        x, ahead = mask_padding(x, lengths), None
        gates = linear(x, self.W, self.b)  # (B, T, 3 H)
        if self.V is not None and isinstance(state, WindowState):
            before = torch.cat(state[2:], 1)  # (B, 3 H)
            ahead = linear(x, self.V)
            gates = gates + torch.cat((before.unsqueeze(1), ahead[:, :-1]), 1)
            ahead = at_last_step(ahead, lengths, before)
        z, f, o = gates.chunk(3, 2)
        z, f, o = torch.tanh(z), torch.sigmoid(f), torch.sigmoid(o)
        cells = scan(f, (1 - f) * z, state.c, lengths)
        outputs = mask_padding(o * cells, lengths)
        h, c = at_last_step(outputs, lengths, state.h), cells[:, -1]
        return outputs, LSTMState(h, c) if ahead is None else WindowState(h, c, *ahead.chunk(3, 1))
