"""The contract of a recurrent cell: a step that defines it, and a whole-sequence form proven equal to the step.

Shapes throughout: B samples, T time steps, I input channels, H hidden units.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lstm_lab import kernels
from lstm_lab.kernels.reference import turned
from lstm_lab.registry import Named, Registered


class Hidden(NamedTuple):
    """State of a cell that carries only what it shows."""

    h: Tensor
    """(B, H)"""


class Memory(NamedTuple):
    """Biases of the two gates that say for how long a unit remembers; those of one gate add up."""

    keep: tuple[Tensor, ...]
    """(H,) each, of the gate that multiplies the old state."""
    write: tuple[Tensor, ...] = ()
    """(H,) each, of the gate that multiplies what is new."""


class Cell(Registered, nn.Module, kind="cell"):
    """One recurrent step and its whole-sequence form.

    A new cell needs `step` and, where its state is more than `h`, a `State`. `forward` then works as written here.
    Override `forward` only with something faster that equals it; if that cannot read backwards it may leave `reverse`
    out, and is handed turned samples.
    """

    State: Any = Hidden
    """Of the class; of one object where an option adds to the state."""

    class Config(Named):
        """No choices."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size

    @classmethod
    def check(cls, config: Any, hidden_size: int) -> None:
        """Raise ValueError where a config of this cell does not go together with H."""

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

    def forward(self, x: Tensor, lengths: Tensor, state: Any = None, reverse: bool = False) -> tuple[Tensor, Any]:
        """The step over a whole padded batch, recorded and played natively where the engine can.

        Args:
            x: (B, T, I)
            lengths: (B,) valid steps of each sample; what stands behind them is never read.
            state: to start from; zeros if absent.
            reverse: read each sample from its own end to its start.

        Returns:
            Outputs (B, T, H), zero on padding, and the state after each sample's own last valid step.
        """
        state = self.initial_state(x) if state is None else state
        if reverse:
            outputs, end = self.forward(turned(x, lengths), lengths, state)
            return turned(outputs, lengths), end
        played = kernels.play(self, self.step, x, lengths, state)
        if played is None:
            return unroll(self.step, x, lengths, state)
        outputs, parts = played
        return outputs, type(state)(*parts)

    # What follows says where things lie, and a cell may leave it out: `model.init` then refuses it by name.

    def recurrent_blocks(self) -> Sequence[Tensor]:
        """Views (H, H) of the parameters, one for each gate that h goes into."""
        return ()

    def gate_memory(self) -> Memory | None:
        """Views of the biases that say for how long it remembers; None where no bias does."""
        return None


class Spelled(Cell):
    """A cell whose step is spelled out letter by letter, so that each letter can be looked at."""

    @abstractmethod
    def letters(self, x: Tensor, state: Any) -> dict[str, Tensor]:
        """One step: every letter of the equation, (B, H) each, after its sigmoid or tanh; `h` and the state among them.

        Args:
            x: (B, I)
            state: `State` after the step before.
        """

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        return self.shown(self.letters(x, state))

    def shown(self, letters: dict[str, Tensor]) -> tuple[Tensor, Any]:
        """What a step hands on of its letters: h, and the state."""
        return letters["h"], self.State(*(letters[name] for name in self.State._fields))

    def trace(self, x: Tensor, lengths: Tensor, state: Any = None) -> dict[str, Tensor]:
        """Every letter at every step, by the step itself: slower than `forward`, and equal to it.

        Args:
            x, lengths, state: as `forward` takes them.

        Returns:
            Letter -> (B, T, H), zero on padding.

        Raises:
            ValueError: a sequence without steps.
        """
        if not x.shape[1]:
            raise ValueError("trace: x has no steps, T is 0; give it at least one")
        names: list[str] = []

        def step(x_t: Tensor, state: Any) -> tuple[Tensor, Any]:
            letters = self.letters(x_t, state)
            names[:] = letters
            return torch.cat(list(letters.values()), 1), self.shown(letters)[1]

        seen, _ = unroll(step, x, lengths, self.initial_state(x) if state is None else state)  # (B, T, letters * H)
        return dict(zip(names, seen.split(self.hidden_size, 2), strict=True))


def unroll(
    step: Callable[[Tensor, Any], tuple[Tensor, Any]], x: Tensor, lengths: Tensor, state: Any
) -> tuple[Tensor, Any]:
    """A step over a whole padded batch, step by step, as `Cell.forward` promises it."""
    lengths, outputs = lengths.to(x.device), []
    full = int(lengths.min()) if len(lengths) else 0  # Up to here no sample has ended, and nothing needs a mask.
    for t, x_t in enumerate(x.unbind(1)):
        if t < full:
            h, state = step(x_t, state)
        else:
            valid = (t < lengths).unsqueeze(1)  # (B, 1)
            # Zeros instead of what stands in the padding: a NaN there would come back through the weights' gradients.
            h, new = step(torch.where(valid, x_t, torch.zeros_like(x_t)), state)
            state = type(state)(*(torch.where(valid, after, before) for after, before in zip(new, state, strict=True)))
            h = torch.where(valid, h, torch.zeros_like(h))
        outputs.append(h)
    if not outputs:
        return state.h.new_zeros(x.shape[0], 0, state.h.shape[1]), state
    return torch.stack(outputs, 1), state


def blank(x: Tensor, lengths: Tensor) -> Tensor:
    """x (B, T, ...) with zeros behind each sample's length, whatever stood there: for projecting all steps at once."""
    inside = torch.arange(x.shape[1], device=x.device) < lengths.to(x.device).unsqueeze(1)  # (B, T)
    return torch.where(inside.unsqueeze(-1), x, torch.zeros_like(x))


def weight(hidden_size: int, *shape: int) -> nn.Parameter:
    """Where torch's own layers start: uniform within 1 / sqrt(H)."""
    bound = hidden_size**-0.5 if hidden_size else 0.0
    return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))


def weights(layer: nn.RNNBase) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """W (G H, I), U (G H, H) and the two biases (G H,) of a one-layer torch RNN with G gates."""
    W, U = layer.get_parameter("weight_ih_l0"), layer.get_parameter("weight_hh_l0")
    return W, U, layer.get_parameter("bias_ih_l0"), layer.get_parameter("bias_hh_l0")
