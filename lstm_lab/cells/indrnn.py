"""The independently recurrent network: each unit sees its own past alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from lstm_lab.cells.base import Cell, Hidden, weight


class IndRNN(Cell, name="indrnn"):
    """Li et al. (2018), "Independently Recurrent Neural Network (IndRNN)", equation 2.

    h' = relu(W x + u * h + b)

    u (H,) starts uniform in [0, 1): the paper's [0, 2^(1/T)] for long memory, whose end tends to 1 with the length T.
    After T steps a unit's own past counts u^T times. The paper also holds |u| under 2^(1/T) after each update; here
    nothing does, so where |u| grows past 1 on long sequences the trainer's gradient clip is what holds.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        H = hidden_size
        self.W = weight(H, H, input_size)
        self.u = nn.Parameter(torch.empty(H).uniform_(0, 1))
        self.b = weight(H, H)

    def step(self, x: Tensor, state: Hidden) -> tuple[Tensor, Hidden]:
        h = torch.relu(linear(x, self.W, self.b) + self.u * state.h)  # (B, H)
        return h, Hidden(h)
