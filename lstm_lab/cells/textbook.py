"""The LSTM in the layouts of textbooks: concatenated, split into twelve tensors, fused. Weights convert to nn.LSTM and
back.

All three compute the same as `lstm`. They serve as reading, for weights that exist in such a layout, and as proof.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from lstm_lab import kernels
from lstm_lab.cells.base import ALL_NOISES, GateBiases, TraceableCell, uniform_weight
from lstm_lab.cells.lstm import ForgetBiasConfig, LSTMState
from lstm_lab.cells.torch_layer import rnn_weights
from lstm_lab.kernels import EngineLayer, RecurrentNoise
from lstm_lab.kernels.native_layers import Family


class TextbookLSTM(TraceableCell[LSTMState]):
    """Base of the LSTMs whose parameters are laid out in another way than torch's, and convert to it and back.

    torch's layout: W (4 H, I), U (4 H, H), biases (4 H), gates in the order i, f, g, o.
    """

    State = LSTMState
    supports_reverse = True
    noises = ALL_NOISES
    gates = ("i", "f", "o")

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0) -> None:
        super().__init__(input_size, hidden_size)
        H = hidden_size
        self.create_parameters(input_size, H)
        W, U, b, b_h = (
            uniform_weight(H, *shape).detach() for shape in ((4 * H, input_size), (4 * H, H), (4 * H,), (4 * H,))
        )
        b[H : 2 * H], b_h[H : 2 * H] = forget_bias, 0.0
        self.load_weights(W, U, b, b_h)

    @abstractmethod
    def create_parameters(self, I: int, H: int) -> None:  # noqa: E741
        """Create the parameters; `load_weights` fills them."""

    @abstractmethod
    def torch_weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """W, U, b and, where there is a second bias, b_h: computed from the parameters, with gradients to them."""

    @abstractmethod
    def load_weights(self, W: Tensor, U: Tensor, b: Tensor, b_h: Tensor) -> None:
        """Set the parameters from weights in torch's layout."""

    def retention(self, activations: dict[str, Tensor]) -> Tensor:
        return activations["f"]

    def engine_layer(self) -> EngineLayer:
        return EngineLayer(Family.LSTM, 4, *self.torch_weights())

    def forward(
        self,
        x: Tensor,
        lengths: Tensor,
        state: LSTMState | None = None,
        reverse: bool = False,
        noise: RecurrentNoise | None = None,
    ) -> tuple[Tensor, LSTMState]:
        state = self.initial_state(x) if state is None else state
        outputs, h, c = kernels.lstm(x, lengths, state.h, state.c, *self.torch_weights(), reverse=reverse, noise=noise)
        return outputs, LSTMState(h, c)

    @torch.no_grad()
    def to_torch(self) -> nn.LSTM:
        """An nn.LSTM with the same weights."""
        W, U, b, b_h = self.torch_weights()
        layer = nn.LSTM(self.input_size, self.hidden_size, batch_first=True, device=W.device, dtype=W.dtype)
        values = (W, U, b, torch.zeros_like(b) if b_h is None else b_h)
        for parameter, value in zip(rnn_weights(layer), values, strict=True):
            parameter.copy_(value)
        return layer

    @classmethod
    @torch.no_grad()
    def from_torch(cls, layer: nn.LSTM) -> Self:
        """A cell with the weights of an nn.LSTM.

        Raises:
            ValueError: several layers, two directions, no bias or a projection: no cell has these.
        """
        for option, value, supported in (
            ("num_layers", layer.num_layers, 1),
            ("bidirectional", layer.bidirectional, False),
            ("bias", layer.bias, True),
            ("proj_size", layer.proj_size, 0),
        ):
            if value != supported:
                raise ValueError(f"nn.LSTM with {option}={value}: only {option}={supported} is supported")
        W, U, b, b_h = rnn_weights(layer)
        cell = cls(layer.input_size, layer.hidden_size).to(W.device, W.dtype)
        cell.load_weights(W, U, b, b_h)
        return cell


class ConcatenatedLSTM(TextbookLSTM, name="concatenated"):
    """One matrix per gate over [h, x] (after Olah, 2015).

    f = sigmoid(W_f [h, x] + b_f)      i = sigmoid(W_i [h, x] + b_i)
    C~ = tanh(W_C [h, x] + b_C)        o = sigmoid(W_o [h, x] + b_o)
    C' = f * C + i * C~                h' = o * tanh(C')
    """

    W_f: Tensor
    W_i: Tensor
    W_C: Tensor
    W_o: Tensor
    """(H, H + I) each."""
    b_f: Tensor
    b_i: Tensor
    b_C: Tensor
    b_o: Tensor
    """(H,) each."""

    class Config(ForgetBiasConfig):
        """Options of the concatenated LSTM."""

    def create_parameters(self, I: int, H: int) -> None:  # noqa: E741
        for gate in "ifCo":
            self.register_parameter(f"W_{gate}", nn.Parameter(torch.empty(H, H + I)))
            self.register_parameter(f"b_{gate}", nn.Parameter(torch.empty(H)))

    def activations(self, x: Tensor, state: LSTMState) -> dict[str, Tensor]:
        h_x = torch.cat((self.dropped_state(state.h), x), 1)  # (B, H + I)
        f = torch.sigmoid(linear(h_x, self.W_f, self.b_f))  # (B, H)
        i = torch.sigmoid(linear(h_x, self.W_i, self.b_i))
        C_new = torch.tanh(linear(h_x, self.W_C, self.b_C))
        o = torch.sigmoid(linear(h_x, self.W_o, self.b_o))
        C = f * state.c + i * self.dropped_update(C_new)
        h = o * torch.tanh(C)
        return {"i": i, "f": f, "C~": C_new, "o": o, "c": C, "h": h}

    def unit_axes(self) -> Mapping[str, tuple[str, ...]]:
        return {f"W_{gate}": ("H", "HI") for gate in "ifCo"} | {f"b_{gate}": ("H",) for gate in "ifCo"}

    def torch_weights(self) -> tuple[Tensor, Tensor, Tensor, None]:
        W = torch.cat((self.W_i, self.W_f, self.W_C, self.W_o))  # (4 H, H + I)
        b = torch.cat((self.b_i, self.b_f, self.b_C, self.b_o))
        return W[:, self.hidden_size :], W[:, : self.hidden_size], b, None

    def load_weights(self, W: Tensor, U: Tensor, b: Tensor, b_h: Tensor) -> None:
        for gate, W_gate, b_gate in zip("ifCo", torch.cat((U, W), 1).chunk(4), (b + b_h).chunk(4), strict=True):
            self.get_parameter(f"W_{gate}").data.copy_(W_gate)
            self.get_parameter(f"b_{gate}").data.copy_(b_gate)

    def recurrent_blocks(self) -> Sequence[Tensor]:
        return [W[:, : self.hidden_size] for W in (self.W_i, self.W_f, self.W_C, self.W_o)]

    def gate_biases(self) -> GateBiases:
        return GateBiases(forget=(self.b_f,), input=(self.b_i,))


class SplitLSTM(TextbookLSTM, name="split"):
    """Twelve tensors, each named as in the equations.

    i = sigmoid(W_i x + U_i h + b_i)      f = sigmoid(W_f x + U_f h + b_f)
    o = sigmoid(W_o x + U_o h + b_o)      c~ = tanh(W_c x + U_c h + b_c)
    c' = f * c + i * c~                   h' = o * tanh(c')
    """

    W_i: Tensor
    W_f: Tensor
    W_c: Tensor
    W_o: Tensor
    U_i: Tensor
    U_f: Tensor
    U_c: Tensor
    U_o: Tensor
    b_i: Tensor
    b_f: Tensor
    b_c: Tensor
    b_o: Tensor
    """W (H, I), U (H, H), b (H,)."""

    class Config(ForgetBiasConfig):
        """Options of the split LSTM."""

    def create_parameters(self, I: int, H: int) -> None:  # noqa: E741
        for gate in "ifco":
            self.register_parameter(f"W_{gate}", nn.Parameter(torch.empty(H, I)))
            self.register_parameter(f"U_{gate}", nn.Parameter(torch.empty(H, H)))
            self.register_parameter(f"b_{gate}", nn.Parameter(torch.empty(H)))

    def activations(self, x: Tensor, state: LSTMState) -> dict[str, Tensor]:
        h = self.dropped_state(state.h)
        i = torch.sigmoid(x @ self.W_i.T + h @ self.U_i.T + self.b_i)  # (B, H)
        f = torch.sigmoid(x @ self.W_f.T + h @ self.U_f.T + self.b_f)
        o = torch.sigmoid(x @ self.W_o.T + h @ self.U_o.T + self.b_o)
        c_new = torch.tanh(x @ self.W_c.T + h @ self.U_c.T + self.b_c)
        c = f * state.c + i * self.dropped_update(c_new)
        h = o * torch.tanh(c)
        return {"i": i, "f": f, "c~": c_new, "o": o, "c": c, "h": h}

    def unit_axes(self) -> Mapping[str, tuple[str, ...]]:
        axes: dict[str, tuple[str, ...]] = {"W": ("H", "I"), "U": ("H", "H"), "b": ("H",)}
        return {f"{symbol}_{gate}": axes[symbol] for symbol in axes for gate in "ifco"}

    def torch_weights(self) -> tuple[Tensor, Tensor, Tensor, None]:
        W = torch.cat((self.W_i, self.W_f, self.W_c, self.W_o))
        U = torch.cat((self.U_i, self.U_f, self.U_c, self.U_o))
        return W, U, torch.cat((self.b_i, self.b_f, self.b_c, self.b_o)), None

    def load_weights(self, W: Tensor, U: Tensor, b: Tensor, b_h: Tensor) -> None:
        for symbol, stacked in (("W", W), ("U", U), ("b", b + b_h)):
            for gate, value in zip("ifco", stacked.chunk(4), strict=True):
                self.get_parameter(f"{symbol}_{gate}").data.copy_(value)

    def recurrent_blocks(self) -> Sequence[Tensor]:
        return self.U_i, self.U_f, self.U_c, self.U_o

    def gate_biases(self) -> GateBiases:
        return GateBiases(forget=(self.b_f,), input=(self.b_i,))


class FusedLSTM(TextbookLSTM, name="fused"):
    """Two linear layers for all gates at once, in the order f, i, g, o, each with its bias.

    (f, i, g, o) = W_x x + b_x + W_h h + b_h
    c' = sigmoid(f) * c + sigmoid(i) * tanh(g)      h' = sigmoid(o) * tanh(c')

    torch's order is i, f, g, o: weights copied without a permutation raise no error and compute something else.
    """

    class Config(ForgetBiasConfig):
        """Options of the fused LSTM."""

    def create_parameters(self, I: int, H: int) -> None:  # noqa: E741
        self.W_x = nn.Linear(I, 4 * H)
        self.W_h = nn.Linear(H, 4 * H)

    def activations(self, x: Tensor, state: LSTMState) -> dict[str, Tensor]:
        f, i, g, o = torch.chunk(self.W_x(x) + self.W_h(self.dropped_state(state.h)), 4, dim=1)  # (B, H) each
        f, i, g, o = torch.sigmoid(f), torch.sigmoid(i), torch.tanh(g), torch.sigmoid(o)
        c = f * state.c + i * self.dropped_update(g)
        h = o * torch.tanh(c)
        return {"i": i, "f": f, "g": g, "o": o, "c": c, "h": h}

    def unit_axes(self) -> Mapping[str, tuple[str, ...]]:
        return {
            "W_x.weight": ("HHHH", "I"), "W_x.bias": ("HHHH",), "W_h.weight": ("HHHH", "H"), "W_h.bias": ("HHHH",),
        }  # fmt: skip

    def torch_weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return (
            _swap_first_gates(self.W_x.weight),
            _swap_first_gates(self.W_h.weight),
            _swap_first_gates(self.W_x.bias),
            _swap_first_gates(self.W_h.bias),
        )

    def load_weights(self, W: Tensor, U: Tensor, b: Tensor, b_h: Tensor) -> None:
        for layer, matrix, bias in ((self.W_x, W, b), (self.W_h, U, b_h)):
            layer.weight.data.copy_(_swap_first_gates(matrix))
            layer.bias.data.copy_(_swap_first_gates(bias))

    def recurrent_blocks(self) -> Sequence[Tensor]:
        return self.W_h.weight.chunk(4)

    def gate_biases(self) -> GateBiases:
        (f, i, _, _), (f_h, i_h, _, _) = self.W_x.bias.chunk(4), self.W_h.bias.chunk(4)
        return GateBiases(forget=(f, f_h), input=(i, i_h))


def _swap_first_gates(gates: Tensor) -> Tensor:
    """From the gate order f, i, g, o to i, f, g, o along the first axis, or back."""
    first, second, g, o = gates.chunk(4)
    return torch.cat((second, first, g, o))
