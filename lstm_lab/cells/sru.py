"""The simple recurrent unit: no matrix multiplies the state, so that all products run over whole sequences at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from lstm_lab.cells.base import GateBiases, TraceableCell
from lstm_lab.cells.lstm import ForgetBiasConfig, LSTMState


class SRU(TraceableCell[LSTMState], name="sru"):
    """Lei et al. (2018), "Simple Recurrent Units for Highly Parallelizable Recurrence", equations 1-4 and section 3.2.

    f = sigmoid(W_f x + v_f * c + b_f)      c' = f * c + (1 - f) * (W x)
    r = sigmoid(W_r x + v_r * c + b_r)      h' = r * c' + (1 - r) * s

    Both gates read the old c, each unit its own. The highway term s is alpha x with alpha = sqrt(1 + 2 exp(b_r)) at the
    start of training where x has H channels; else W_s x, whose weights start alpha times as large.

    Weights start as in the authors' code, uniform with variance 1 / I, in the gates half of that, and v with variance
    1/2; the paper starts both biases from 0, which is `forget_bias: 0`.
    """

    State = LSTMState
    noises = frozenset({"update_dropout", "zoneout_c"})  # no weights multiply h, and no gate reads it
    gates = ("f", "r")

    class Config(ForgetBiasConfig):
        highway_bias: float = 0.0
        """Initial bias of the gate r between the cell and the input; the paper takes -3 for deep language models."""

    roles = {"v_f": "recurrent", "v_r": "recurrent"}

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0, highway_bias: float = 0.0) -> None:
        super().__init__(input_size, hidden_size)
        H, bound = hidden_size, math.sqrt(3 / max(input_size, 1))  # of a uniform distribution with variance 1 / I
        self.alpha = math.sqrt(1 + 2 * math.exp(highway_bias))
        self.projects = input_size != hidden_size
        self.W = nn.Parameter(torch.empty(3 * H, input_size).uniform_(-bound, bound))  # candidate, f, r
        self.W_s = nn.Parameter(torch.empty(H, input_size).uniform_(-bound, bound)) if self.projects else None
        self.v_f, self.v_r = (nn.Parameter(torch.empty(H).uniform_(-(1.5**0.5), 1.5**0.5)) for _ in range(2))
        self.b = nn.Parameter(torch.cat((torch.full((H,), forget_bias), torch.full((H,), highway_bias))))  # f, r
        with torch.no_grad():
            self.W[H:].mul_(0.5**0.5)
            if self.W_s is not None:
                self.W_s.mul_(self.alpha)

    def gate_biases(self) -> GateBiases:
        return GateBiases(forget=(self.b.chunk(2)[0],))

    def activations(self, x: Tensor, state: LSTMState) -> dict[str, Tensor]:
        candidate, W_f, W_r = linear(x, self.W).chunk(3, 1)  # (B, H) each
        b_f, b_r = self.b.chunk(2)
        f = torch.sigmoid(W_f + b_f + self.v_f * state.c)
        r = torch.sigmoid(W_r + b_r + self.v_r * state.c)
        c = f * state.c + (1 - f) * self.dropped_update(candidate)
        s = self.alpha * x if self.W_s is None else linear(x, self.W_s)
        h = r * c + (1 - r) * s
        return {"f": f, "r": r, "candidate": candidate, "c": c, "h": h}

    def retention(self, activations: dict[str, Tensor]) -> Tensor:
        return activations["f"]
