"""SegRNN: one recurrent network over segments of each channel, all segments ahead at once (Lin et al., 2023)."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

import lstm_lab.cells.gru
from lstm_lab import config
from lstm_lab.cells import Cell
from lstm_lab.models.base import Model
from lstm_lab.models.encoder import Encoder
from lstm_lab.registry import Choice, Named


class Segments(Model, name="segrnn"):
    """One network for every channel: no channel sees another.

    Reading, for each segment s_k of w steps of one channel, k = 1..n:
        h_k = cell(relu(W_p s_k + b_p), h_{k-1})
    Predicting, all m segments ahead in one step each from the same h_n:
        y_j = W_y dropout(cell([p_j; c], h_n)) + b_y
    p_j says which segment ahead it is and c which channel, half of `hidden_size` each. The paper subtracts the last
    value of the window and adds it again: that is `task.anchor: last`.
    """

    class Config(Named):
        cell: Annotated[Named, Choice(Cell, default="gru")] = lstm_lab.cells.gru.GRU.Config()  # type: ignore[call-arg]
        """The recurrent cell."""
        hidden_size: Annotated[int, Field(ge=2, lt=2**31, multiple_of=2)] = 128
        """Units of the cell and size of a segment's vector, d; even."""
        segment_length: config.Count = 24
        """Steps in a segment, w; what the model reads of the window, and the horizon, are multiples of it."""
        dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
        """Share of values zeroed before the head."""

    @classmethod
    def check(cls, model: Any, task: Any, data: Any) -> None:
        if not hasattr(task.owner, "reads"):
            raise ValueError(f"model 'segrnn' forecasts a series; task '{task.name}' wants model: sequence")
        for name in ("features", "static", "future", "calendar"):
            if getattr(data, name, ()):
                raise ValueError(
                    f"data.{name} would do nothing: model 'segrnn' reads each target alone; leave it out, or take "
                    "model: sequence"
                )
        if getattr(data, "missing", "error") == "mask":
            raise ValueError("data.missing=mask: model 'segrnn' reads no mask; set it to forward_fill")
        reads = task.owner.reads(task, data)
        for name, steps in (("data.window", reads), ("data.horizon", data.horizon)):
            if steps % model.segment_length:
                fitting = [w for w in range(1, min(reads, data.horizon) + 1) if not reads % w and not data.horizon % w]
                raise ValueError(
                    f"model.segment_length={model.segment_length} does not divide {name}={steps}: take one of "
                    f"{', '.join(map(str, fitting))}, or change {name}"
                )

    def __init__(
        self, info: Any, task: Any, *, cell: Named, hidden_size: int, segment_length: int, dropout: float
    ) -> None:
        super().__init__()
        d, w, K = hidden_size, segment_length, len(info.targets)
        self.segment_length, self.channels, self.ahead = w, K, info.horizon // w
        self.numbers = task.output_size // (info.horizon * K)
        self.read = nn.Linear(w, d)
        self.encoder = Encoder(cell, input_size=d, hidden_size=d)
        self.position = nn.Parameter(torch.randn(self.ahead, d // 2))
        self.channel = nn.Parameter(torch.randn(K, d // 2))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(d, w * self.numbers)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        B, K, m, w, P = len(x), self.channels, self.ahead, self.segment_length, self.numbers
        s = x[..., :K].transpose(1, 2).reshape(B * K, -1, w)  # (B K, n, w)
        n = torch.full((B * K,), s.shape[1])
        state = self.encoder(torch.relu(self.read(s)), n).state
        asked = torch.cat([self.position.expand(K, m, -1), self.channel.unsqueeze(1).expand(K, m, -1)], -1)  # (K, m, d)
        asked = asked.expand(B, -1, -1, -1).reshape(B * K * m, 1, -1)
        h = self.encoder(asked, torch.ones(len(asked), dtype=torch.int64), repeat(state, m)).final  # (B K m, d)
        y = self.head(self.dropout(h)).view(B, K, m * w, P)
        return y.transpose(1, 2).flatten(1)


def repeat(state: Any, times: int) -> Any:
    """Each sample's state `times` over, side by side: (B, ...) -> (B times, ...) in every part."""
    if isinstance(state, Tensor):
        return state.repeat_interleave(times, 0)
    parts = [repeat(part, times) for part in state]
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
