"""The independently recurrent network: each unit depends on its own previous state alone."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from lstm_lab.cells.base import Hidden, TraceableCell, uniform_weight


class IndRNN(TraceableCell[Hidden], name="indrnn"):
    """Li et al. (2018), "Independently Recurrent Neural Network (IndRNN)", equation 2.

    h' = relu(W x + u * h + b)

    u (H,) is initialised uniformly in [0, 1): the paper's [0, 2^(1/T)] for long memory, whose upper end tends to 1 with
    the length T. Over T steps the gradient through a unit is scaled by u^T. The paper also clips |u| to 2^(1/T) after
    each update; nothing does so here, so where |u| exceeds 1 on long sequences, the trainer's gradient clipping is the
    only bound.
    """

    roles = {"u": "recurrent"}
    noises = frozenset({"state_dropout", "zoneout_h"})

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        H = hidden_size
        self.W = uniform_weight(H, H, input_size)
        self.u = nn.Parameter(torch.empty(H).uniform_(0, 1))
        self.b = uniform_weight(H, H)

    def unit_axes(self) -> Mapping[str, tuple[str, ...]]:
        return {"W": ("H", "I"), "u": ("H",), "b": ("H",)}

    def activations(self, x: Tensor, state: Hidden) -> dict[str, Tensor]:
        h = torch.relu(linear(x, self.W, self.b) + self.u * self.dropped_state(state.h))  # (B, H)
        return {"h": h}

    def retention(self, activations: dict[str, Tensor]) -> Tensor:
        return self.u.abs() * (activations["h"] > 0)
