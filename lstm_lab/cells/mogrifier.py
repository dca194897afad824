"""The Mogrifier LSTM: input and hidden state gate each other in turn before the LSTM step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import linear

from lstm_lab.cells.base import ALL_NOISES, GateBiases, Role, TraceableCell, uniform_weight
from lstm_lab.cells.lstm import ForgetBiasConfig, LSTMState
from lstm_lab.config import Count


class MogrifierLSTM(TraceableCell[LSTMState], name="mogrifier"):
    """Melis et al. (2020), "Mogrifier LSTM", equations 1 and 2, before the step of `lstm`.

    x^i = 2 sigmoid(Q^i h^(i-1)) * x^(i-2)      for odd i in 1..rounds
    h^i = 2 sigmoid(R^i x^(i-1)) * h^(i-2)      for even i in 1..rounds

    with x^(-1) = x and h^0 = h; the last of each goes into the LSTM. With rounds=0 it is the LSTM itself.
    """

    State = LSTMState
    gates = ("i", "f", "o")
    noises = ALL_NOISES

    class Config(ForgetBiasConfig):
        rounds: Annotated[int, Field(ge=0, le=100)] = 5
        """Number of gatings of x and h, in turn and x first; the paper finds 5 and 6 best."""
        rank: Count | None = None
        """Rank of each Q = Q_left Q_right and R = R_left R_right; null for full matrices."""

        @model_validator(mode="after")
        def _check_rank_has_rounds(self) -> MogrifierLSTM.Config:
            if self.rank is not None and self.rounds == 0:
                raise ValueError(
                    f"rank={self.rank} would do nothing with rounds=0; set rounds to 1 or more, or leave rank out"
                )
            return self

    roles = {"U": "recurrent"}

    def __init__(
        self, input_size: int, hidden_size: int, forget_bias: float = 1.0, rounds: int = 5, rank: int | None = None
    ) -> None:
        super().__init__(input_size, hidden_size)
        I, H, self.rank = input_size, hidden_size, rank  # noqa: E741
        self.W = uniform_weight(H, 4 * H, I)  # gates in the order i, f, g, o
        self.U = uniform_weight(H, 4 * H, H)
        self.b = uniform_weight(H, 4 * H)
        with torch.no_grad():
            nn.init.constant_(self.b[H : 2 * H], forget_bias)
        # Q^1, R^2, Q^3, ...: each one matrix, or two factors of the given rank.
        self.QR = nn.ModuleList(
            nn.ParameterList(
                uniform_weight(H, rows, columns)
                for rows, columns in ([(gated, gating)] if rank is None else [(gated, rank), (rank, gating)])
            )
            for gated, gating in ((H, I) if i % 2 else (I, H) for i in range(rounds))
        )

    def parameter_role(self, name: str) -> Role:
        if name.startswith("QR."):  # Q^i multiplies h, R^i multiplies x.
            return "input" if int(name.split(".")[1]) % 2 else "recurrent"
        return super().parameter_role(name)

    def unit_axes(self) -> Mapping[str, tuple[str, ...]]:
        axes: dict[str, tuple[str, ...]] = {"W": ("HHHH", "I"), "U": ("HHHH", "H"), "b": ("HHHH",)}
        for i in range(len(self.QR)):
            ends, inside = ("H", "I") if i % 2 else ("I", "H"), "." * (self.rank or 0)
            shapes = [ends] if self.rank is None else [(ends[0], inside), (inside, ends[1])]
            axes |= {f"QR.{i}.{k}": shape for k, shape in enumerate(shapes)}
        return axes

    def gate_biases(self) -> GateBiases:
        i, f, _, _ = self.b.chunk(4)
        return GateBiases(forget=(f,), input=(i,))

    def activations(self, x: Tensor, state: LSTMState) -> dict[str, Tensor]:
        x, h = self._mogrify(x, self.dropped_state(state.h))
        i, f, g, o = (linear(x, self.W, self.b) + h @ self.U.T).chunk(4, 1)  # (B, H) each
        i, f, g, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)
        c = f * state.c + i * self.dropped_update(g)
        h = o * torch.tanh(c)
        return {"i": i, "f": f, "g": g, "o": o, "c": c, "h": h}

    def retention(self, activations: dict[str, Tensor]) -> Tensor:
        return activations["f"]

    def _mogrify(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        gated, gating = x, h
        for factors in self.QR:
            z = gating
            for factor in reversed(list(factors.parameters())):
                z = z @ factor.T
            gated, gating = gating, 2 * torch.sigmoid(z) * gated
        return (gated, gating) if len(self.QR) % 2 == 0 else (gating, gated)
