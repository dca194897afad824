"""The contract of a recurrent cell: a step that defines it, and a whole-sequence form proven equal to the step.

Shapes throughout: B samples, T time steps, I input channels, H hidden units.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from lstm_lab.registry import Named, Registered


class Hidden(NamedTuple):
    """State of a cell that carries only what it shows."""

    h: Tensor
    """(B, H)"""


class Cell(Registered, nn.Module, kind="cell"):
    """One recurrent step and its whole-sequence form.

    A new cell needs `step` and, where its state is more than `h`, a `State`. `forward` then works as written here.
    Override `forward` only with something faster that equals it.
    """

    State: ClassVar[Any] = Hidden

    class Config(Named):
        """No choices."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size

    def initial_state(self, x: Tensor) -> Any:
        """Zeros, (B, H) for each part of the state, on the device and in the type of `x` (B, ...)."""
        zeros = x.new_zeros(x.shape[0], self.hidden_size)
        return self.State(*(zeros for _ in self.State._fields))

    @abstractmethod
    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One time step.

        Args:
            x: (B, I)
            state: `State` after the step before.

        Returns:
            What the cell shows, (B, H), and its new state.
        """

    def forward(self, x: Tensor, lengths: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """The step over a whole padded batch.

        Args:
            x: (B, T, I)
            lengths: (B,) valid steps of each sample; what stands behind them is never read.
            state: to start from; zeros if absent.

        Returns:
            Outputs (B, T, H), zero on padding, and the state after each sample's own last valid step.
        """
        state = self.initial_state(x) if state is None else state
        lengths, outputs = lengths.to(x.device), []
        for t, x_t in enumerate(x.unbind(1)):
            valid = (t < lengths).unsqueeze(1)  # (B, 1)
            # Zeros instead of what stands in the padding: a NaN there would come back through the weights' gradients.
            h, new = self.step(torch.where(valid, x_t, torch.zeros_like(x_t)), state)
            state = self.State(*(torch.where(valid, after, before) for after, before in zip(new, state, strict=True)))
            outputs.append(torch.where(valid, h, torch.zeros_like(h)))
        if not outputs:
            return x.new_zeros(x.shape[0], 0, self.hidden_size), state
        return torch.stack(outputs, 1), state


def weights(layer: nn.RNNBase) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """W (G H, I), U (G H, H) and the two biases (G H,) of a one-layer torch RNN with G gates."""
    W, U = layer.get_parameter("weight_ih_l0"), layer.get_parameter("weight_hh_l0")
    return W, U, layer.get_parameter("bias_ih_l0"), layer.get_parameter("bias_hh_l0")
