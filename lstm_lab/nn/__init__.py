"""Drop-ins for torch.nn.LSTM, GRU and RNN over any cell of lstm_lab, on its native engine.

    layer = lab.nn.LSTM(8, 64, num_layers=2, batch_first=True, cell="peephole")
    output, (h_n, c_n) = layer(x)

Arguments, inputs, outputs and shapes are those of torch's layers; `cell` is the only new one. Shapes throughout:
B samples, T time steps, I = input_size, H = hidden_size, L = num_layers, D = 2 where bidirectional, else 1.
"""

from __future__ import annotations

import torch

from lstm_lab.nn.recurrent import CellChoice, RecurrentLayer

__all__ = ["GRU", "LSTM", "RNN", "RecurrentLayer"]


class LSTM(RecurrentLayer):
    """As torch.nn.LSTM, over any cell: `RecurrentLayer` with cell="lstm" where none is named."""


class GRU(RecurrentLayer):
    """As torch.nn.GRU, over any cell: `RecurrentLayer` with cell="gru" where none is named."""

    default_cell = "gru"


class RNN(RecurrentLayer):
    """As torch.nn.RNN, over any cell: `RecurrentLayer` with cell="rnn" where none is named.

    Args:
        nonlinearity: only "tanh".
    """

    default_cell = "rnn"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        cell: CellChoice | None = None,
    ) -> None:
        if nonlinearity != "tanh":
            raise ValueError(f"lab.nn.RNN: nonlinearity={nonlinearity!r} is not supported: cell 'rnn' has tanh")
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size,
                         device, dtype, cell=cell)  # fmt: skip
        self.nonlinearity = nonlinearity
