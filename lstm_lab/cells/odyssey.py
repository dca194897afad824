"""The variants that "LSTM: A Search Space Odyssey" compares, as data over one implementation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn.functional import linear

from lstm_lab import kernels
from lstm_lab.cells.base import Memory, Spelled, weight
from lstm_lab.cells.lstm import LSTMState, Remembering
from lstm_lab.kernels import PLAIN, Variant, reference

VARIANTS = {
    "none": PLAIN,
    "nig": Variant(input_gate=False),
    "nfg": Variant(forget_gate=False),
    "nog": Variant(output_gate=False),
    "niaf": Variant(input_activation=False),
    "noaf": Variant(output_activation=False),
    "np": PLAIN,
    "cifg": Variant(coupled=True),
    "fgr": PLAIN,
}


class GatesState(NamedTuple):
    """State of full gate recurrence: the gates remember themselves."""

    h: Tensor
    c: Tensor
    i: Tensor
    f: Tensor
    o: Tensor
    """(B, H) each; the gates are those of the step before."""


class OdysseyLSTM(Spelled, name="odyssey"):
    """Greff et al. (2017): the LSTM with peepholes (`none`) and eight ways to change one thing about it.

    i = sigmoid(W_i x + R_i y + p_i * c + b_i)       f = sigmoid(W_f x + R_f y + p_f * c + b_f)
    z = tanh(W_z x + R_z y + b_z)                    c' = z * i + c * f
    o = sigmoid(W_o x + R_o y + p_o * c' + b_o)      y' = tanh(c') * o

    nig, nfg, nog: no input, forget, output gate (it is 1). The LSTM of Hochreiter & Schmidhuber (1997) is nfg.
    niaf, noaf: no tanh on z, on c'.  np: no peepholes.  cifg: coupled gates, f = 1 - i.
    fgr: full gate recurrence: each of i, f, o also sees all three of the step before, R_ii i + R_fi f + R_oi o, ...
    """

    State: Any = LSTMState

    class Config(Remembering):
        variant: Literal["none", "nig", "nfg", "nog", "niaf", "noaf", "np", "cifg", "fgr"] = "none"
        """What is changed: `none`, no Input/Forget/Output Gate, no Input/Output Activation Function, No Peepholes,
        Coupled Input and Forget Gate, Full Gate Recurrence."""

        @model_validator(mode="after")
        def _bias_has_a_gate(self) -> OdysseyLSTM.Config:
            if self.variant in ("nfg", "cifg") and self.forget_bias != 1.0:
                raise ValueError(
                    f"forget_bias={self.forget_bias} would do nothing: variant {self.variant} has no forget gate "
                    "of its own; leave it out, or choose another variant"
                )
            return self

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0, variant: str = "none") -> None:
        super().__init__(input_size, hidden_size)
        H, self.variant = hidden_size, VARIANTS[variant]
        gates = self.variant.gates
        self.W = weight(H, len(gates) * H, input_size)  # gates in the order i, f, g (z in the paper), o
        self.R = weight(H, len(gates) * H, H)
        self.b = weight(H, len(gates) * H)
        # Only gates with weights of their own have a peephole.
        seeing = "" if variant == "np" else gates.replace("g", "")
        self.rows = ["ifo".index(gate) for gate in seeing]
        self.p: Any = weight(H, len(seeing), H) if seeing else None
        self.R_gates: Any = None
        if variant == "fgr":
            self.State = GatesState
            self.R_gates = weight(H, 3 * H, 3 * H)  # i, f, o from i, f, o
        if "f" in gates:
            start = gates.index("f") * H
            with torch.no_grad():
                nn.init.constant_(self.b[start : start + H], forget_bias)

    def _peepholes(self) -> Tensor | None:
        """(3, H) for i, f, o, zero where there is none."""
        if self.p is None or len(self.p) == 3:
            return self.p
        index = torch.tensor(self.rows, device=self.p.device)
        return self.p.new_zeros(3, self.hidden_size).index_copy(0, index, self.p)

    def letters(self, x: Tensor, state: Any) -> dict[str, Tensor]:
        if self.R_gates is not None:
            return self._recur(x, state)
        p = self._peepholes()
        return reference.lstm_letters(x, state.h, state.c, self.W, self.R, self.b, None, p, self.variant)

    def _recur(self, x: Tensor, state: GatesState) -> dict[str, Tensor]:
        """Full gate recurrence."""
        i, f, z, o = (linear(x, self.W, self.b) + state.h @ self.R.T).chunk(4, 1)  # (B, H) each
        seen_i, seen_f, seen_o = (torch.cat((state.i, state.f, state.o), 1) @ self.R_gates.T).chunk(3, 1)
        p_i, p_f, p_o = self.p.unbind(0)
        i = torch.sigmoid(i + p_i * state.c + seen_i)
        f = torch.sigmoid(f + p_f * state.c + seen_f)
        z = torch.tanh(z)
        c = z * i + state.c * f
        o = torch.sigmoid(o + p_o * c + seen_o)
        h = torch.tanh(c) * o
        return {"i": i, "f": f, "g": z, "o": o, "c": c, "h": h}

    def recurrent_blocks(self) -> Sequence[Tensor]:
        return self.R.chunk(len(self.variant.gates))

    def gate_memory(self) -> Memory | None:
        if not self.variant.forget_gate:
            return None
        b = dict(zip(self.variant.gates, self.b.split(self.hidden_size), strict=True))
        return Memory(*(tuple(b[gate] for gate in gates if gate in b) for gates in ("f", "i")))

    def forward(self, x: Tensor, lengths: Tensor, state: Any = None, reverse: bool = False) -> tuple[Tensor, Any]:
        if self.R_gates is not None:
            return super().forward(x, lengths, state, reverse)
        state = self.initial_state(x) if state is None else state
        outputs, h, c = kernels.lstm(
            x,
            lengths,
            state.h,
            state.c,
            self.W,
            self.R,
            self.b,
            peephole=self._peepholes(),
            variant=self.variant,
            reverse=reverse,
        )
        return outputs, LSTMState(h, c)
