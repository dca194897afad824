"""The long short-term memory cell with forget gate, as torch and cuDNN compute it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lstm_lab import kernels
from lstm_lab.cells.base import Memory, Spelled, weights
from lstm_lab.registry import Named


class LSTMState(NamedTuple):
    """What the LSTM carries from step to step."""

    h: Tensor
    """(B, H) what the cell shows."""
    c: Tensor
    """(B, H) what it remembers."""


class Remembering(Named):
    """The choice that every cell with a forget gate has."""

    forget_bias: float = 1.0
    """Forget-gate bias at the start (Jozefowicz et al. 2015: 1)."""


class LSTM(Spelled, name="lstm"):
    """Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000).

    i = sigmoid(W_i x + U_i h + b_i)      f = sigmoid(W_f x + U_f h + b_f)
    g = tanh(W_g x + U_g h + b_g)         o = sigmoid(W_o x + U_o h + b_o)
    c' = f * c + i * g                    h' = o * tanh(c')
    """

    State = LSTMState

    class Config(Remembering):
        """How it starts."""

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0) -> None:
        super().__init__(input_size, hidden_size)
        self.layer = nn.LSTM(input_size, hidden_size, batch_first=True)
        # Start by remembering: at f = 0.5 the gradient halves every step. torch adds two biases, so one of them is 0.
        _, _, b, b_h = weights(self.layer)
        with torch.no_grad():
            b[hidden_size : 2 * hidden_size] = forget_bias
            b_h[hidden_size : 2 * hidden_size] = 0.0

    def letters(self, x: Tensor, state: LSTMState) -> dict[str, Tensor]:
        W, U, b, b_h = weights(self.layer)
        i, f, g, o = (x @ W.T + b + state.h @ U.T + b_h).chunk(4, 1)  # (B, H) each
        i, f, g, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)
        c = f * state.c + i * g
        h = o * torch.tanh(c)
        return {"i": i, "f": f, "g": g, "o": o, "c": c, "h": h}

    def recurrent_blocks(self) -> Sequence[Tensor]:
        return weights(self.layer)[1].chunk(4)

    def gate_memory(self) -> Memory:
        _, _, b, b_h = weights(self.layer)
        (i, f, _, _), (i_h, f_h, _, _) = b.chunk(4), b_h.chunk(4)
        return Memory(keep=(f, f_h), write=(i, i_h))

    def forward(self, x: Tensor, lengths: Tensor, state: Any = None, reverse: bool = False) -> tuple[Tensor, LSTMState]:
        state = self.initial_state(x) if state is None else state
        outputs, h, c = kernels.lstm(x, lengths, state.h, state.c, *weights(self.layer), reverse=reverse)
        return outputs, LSTMState(h, c)
