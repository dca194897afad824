"""The variants that "LSTM: A Search Space Odyssey" compares, as configurations of one implementation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn.functional import linear

from lstm_lab import kernels
from lstm_lab.cells.base import ALL_NOISES, GateBiases, TraceableCell, uniform_weight
from lstm_lab.cells.lstm import ForgetBiasConfig, LSTMState
from lstm_lab.kernels import PLAIN, EngineLayer, RecurrentNoise, Variant, reference
from lstm_lab.kernels.native_layers import Family, lstm_flags

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


class GateRecurrentState(NamedTuple):
    """State of full gate recurrence: the gates of the previous step are part of it."""

    h: Tensor
    c: Tensor
    i: Tensor
    f: Tensor
    o: Tensor
    """(B, H) each; the gates are those of the previous step."""


class OdysseyLSTM(TraceableCell[LSTMState | GateRecurrentState], name="odyssey"):
    """Greff et al. (2017): the LSTM with peepholes (`none`) and eight variants, each with one change.

    i = sigmoid(W_i x + R_i y + p_i * c + b_i)       f = sigmoid(W_f x + R_f y + p_f * c + b_f)
    z = tanh(W_z x + R_z y + b_z)                    c' = z * i + c * f
    o = sigmoid(W_o x + R_o y + p_o * c' + b_o)      y' = tanh(c') * o

    nig, nfg, nog: no input, forget, output gate (it is 1). nfg keeps the peepholes of the other two gates; the cell of
    Hochreiter & Schmidhuber (1997), with neither a forget gate nor peepholes, is `lstm_1997`.
    niaf, noaf: no tanh on z, on c'.  np: no peepholes.  cifg: coupled gates, f = 1 - i.
    fgr: full gate recurrence: each of i, f, o also reads all three of the previous step, R_ii i + R_fi f + R_oi o, ...
    """

    State: type[LSTMState] | type[GateRecurrentState] = LSTMState
    supports_reverse = True
    noises = ALL_NOISES
    gates = ("i", "f", "o")

    class Config(ForgetBiasConfig):
        variant: Literal["none", "nig", "nfg", "nog", "niaf", "noaf", "np", "cifg", "fgr"] = "none"
        """The change: `none`, No Input/Forget/Output Gate, no Input/Output Activation Function, No Peepholes,
        Coupled Input and Forget Gate, Full Gate Recurrence."""

        @model_validator(mode="after")
        def _check_bias_has_a_gate(self) -> OdysseyLSTM.Config:
            if "f" not in VARIANTS[self.variant].gates and self.forget_bias != 1.0:
                raise ValueError(
                    f"forget_bias={self.forget_bias} would do nothing: variant {self.variant} has no forget-gate "
                    "bias; leave forget_bias out, or choose another variant"
                )
            return self

    roles = {"p": "recurrent", "R_gates": "recurrent"}

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0, variant: str = "none") -> None:
        super().__init__(input_size, hidden_size)
        H, self.variant = hidden_size, VARIANTS[variant]
        gates = self.variant.gates
        self.W = uniform_weight(H, len(gates) * H, input_size)  # gates in the order i, f, g (z in the paper), o
        self.R = uniform_weight(H, len(gates) * H, H)
        self.b = uniform_weight(H, len(gates) * H)
        # Only gates with weights have a peephole.
        peepholes = gates.replace("g", "") if variant != "np" else ""
        self.rows = ["ifo".index(gate) for gate in peepholes]
        self.p = uniform_weight(H, len(peepholes), H) if peepholes else None
        self.R_gates: nn.Parameter | None = None
        if variant == "fgr":
            self.State = GateRecurrentState
            self.R_gates = uniform_weight(H, 3 * H, 3 * H)  # i, f, o from i, f, o
        if "f" in gates:
            start = gates.index("f") * H
            with torch.no_grad():
                nn.init.constant_(self.b[start : start + H], forget_bias)

    def _peepholes(self) -> Tensor | None:
        """(3, H) for i, f, o, zero where a gate has none."""
        if self.p is None or len(self.p) == 3:
            return self.p
        index = torch.tensor(self.rows, device=self.p.device)
        return self.p.new_zeros(3, self.hidden_size).index_copy(0, index, self.p)

    def activations(self, x: Tensor, state: LSTMState | GateRecurrentState) -> dict[str, Tensor]:
        if self.R_gates is not None:
            assert isinstance(state, GateRecurrentState)
            return self._full_gate_recurrence(x, state, self.R_gates)
        h, p = state.h, self._peepholes()
        masks = (self.dropped_state(h), None if self.masks is None else self.masks.update)
        return reference.lstm_activations(x, h, state.c, self.W, self.R, self.b, None, p, self.variant, *masks)

    def _full_gate_recurrence(self, x: Tensor, state: GateRecurrentState, R_gates: Tensor) -> dict[str, Tensor]:
        assert self.p is not None
        i, f, z, o = (linear(x, self.W, self.b) + self.dropped_state(state.h) @ self.R.T).chunk(4, 1)  # (B, H) each
        R_i, R_f, R_o = (torch.cat((state.i, state.f, state.o), 1) @ R_gates.T).chunk(3, 1)
        p_i, p_f, p_o = self.p.unbind(0)
        i = torch.sigmoid(i + p_i * state.c + R_i)
        f = torch.sigmoid(f + p_f * state.c + R_f)
        z = torch.tanh(z)
        c = self.dropped_update(z) * i + state.c * f
        o = torch.sigmoid(o + p_o * c + R_o)
        h = torch.tanh(c) * o
        return {"i": i, "f": f, "g": z, "o": o, "c": c, "h": h}

    def retention(self, activations: dict[str, Tensor]) -> Tensor:
        return activations["f"]

    def unit_axes(self) -> Mapping[str, tuple[str, ...]]:
        rows = "H" * len(self.variant.gates)
        axes: dict[str, tuple[str, ...]] = {"W": (rows, "I"), "R": (rows, "H"), "b": (rows,)}
        if self.p is not None:
            axes["p"] = ("." * len(self.rows), "H")
        if self.R_gates is not None:
            axes["R_gates"] = ("HHH", "HHH")
        return axes

    def recurrent_blocks(self) -> Sequence[Tensor]:
        return self.R.chunk(len(self.variant.gates))

    def gate_biases(self) -> GateBiases | None:
        if not self.variant.forget_gate:
            return None
        b = dict(zip(self.variant.gates, torch.split(self.b, self.hidden_size), strict=True))
        return GateBiases(*(tuple(b[gate] for gate in gates if gate in b) for gates in ("f", "i")))

    def engine_layer(self) -> EngineLayer | None:
        if self.R_gates is not None:
            return None
        gates, peepholes = len(self.variant.gates), self._peepholes()
        flags = lstm_flags(self.variant, peepholes is not None)
        return EngineLayer(Family.LSTM, gates, self.W, self.R, self.b, extra=peepholes, flags=flags)

    def forward(
        self,
        x: Tensor,
        lengths: Tensor,
        state: LSTMState | GateRecurrentState | None = None,
        reverse: bool = False,
        noise: RecurrentNoise | None = None,
    ) -> tuple[Tensor, LSTMState | GateRecurrentState]:
        state = self.initial_state(x) if state is None else state
        if self.R_gates is not None:
            return super().forward(x, lengths, state, reverse, noise)
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
            noise=noise,
        )
        return outputs, LSTMState(h, c)
