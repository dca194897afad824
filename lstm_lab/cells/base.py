"""The contract of a recurrent cell: a step that defines it, and a whole-sequence form proven equal to the step.

Shapes throughout: B samples, T time steps, I input channels, H hidden units.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, ClassVar, Generic, Literal, NamedTuple

import torch
from torch import Tensor, nn

from lstm_lab import kernels
from lstm_lab.cells.noise import apply_zoneout, join_masks
from lstm_lab.cells.state import CellState as CellState
from lstm_lab.cells.state import Hidden as Hidden
from lstm_lab.cells.state import S as S
from lstm_lab.config.registry import Named, Registered
from lstm_lab.kernels import EngineLayer, RecurrentNoise
from lstm_lab.kernels.lengths import reverse_padded
from lstm_lab.kernels.noise import Kind, NoiseWeights, say_slow


class GateBiases(NamedTuple):
    """Biases of the two gates that set how long a unit remembers. Several biases of one gate add up."""

    forget: tuple[Tensor, ...]
    """(H,) each, of the gate that multiplies the old state."""
    input: tuple[Tensor, ...] = ()
    """(H,) each, of the gate that multiplies the new candidate."""


ALL_NOISES: frozenset[Kind] = frozenset({"state_dropout", "update_dropout", "zoneout_h", "zoneout_c"})
"""What a cell takes that multiplies h by weights, adds a candidate to its state, and has a part c."""

Role = Literal["recurrent", "input", "bias", "norm"]
"""What a parameter of a cell does: it multiplies the cell's own state, multiplies the input, is added, or is the gain
of a normalisation."""


class Cell(Registered, nn.Module, Generic[S], kind="cell"):
    """One recurrent step and its whole-sequence form.

    A new cell defines `step` and, where its state is more than `h`, a `State`. `forward` then works as written here.
    What else a cell may declare:

    - `State`: the NamedTuple of tensors (B, width) that it carries from step to step, its output `h` among them;
      `Cell[LSTMState]` as the base tells the type checker.
    - `forward`, overridden by something faster that equals the step. An override that takes `reverse` declares
      `supports_reverse = True`; any other is given reversed samples by the encoder.
    - `recurrent_blocks` and `gate_biases`: the parameters that `model.init` sets. Without them it refuses the
      cell by name.
    - `engine_layer`: the layer of the engine that an override of `forward` calls.
    - `noises`: which noise in the recurrence it takes. For `state_dropout` its step reads h through `dropped_state`
      where weights multiply it, for `update_dropout` its candidate through `dropped_update`.
    - `unit_axes`: how its parameters are laid out by unit, so that units can be taken away (`lstm-lab prune`).
    - `roles`: what parameters do whose shape does not tell, so that penalties and weight decay act on the right ones.
    - `TraceableCell` as its base instead of this one: `trace` then returns every gate activation.
    """

    State: type[Any] = Hidden
    """Class of the state. Set on the object where an option adds to the state."""
    supports_reverse: ClassVar[bool] = True
    """Whether `forward` takes `reverse`. A class that overrides `forward` and declares nothing does not."""
    noises: ClassVar[frozenset[Kind]] = frozenset({"zoneout_h"})
    """Which rates of `RecurrentNoise` it takes. A class that overrides `forward` and declares nothing takes none."""
    masks: NoiseWeights | None = None
    """Those of the step that is being computed, (B, H) each; None for a step without noise."""
    roles: ClassVar[Mapping[str, Role]] = {}
    """Name of a parameter -> what it does, for those that `parameter_role` would take for something else."""

    class Config(Named):
        """No choices."""

        owner: ClassVar[type[Cell]]

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size

    def __init_subclass__(cls, **more: str | None) -> None:
        super().__init_subclass__(**more)
        for name, value in (("supports_reverse", False), ("noises", frozenset()), ("engine_layer", Cell.engine_layer)):
            if "forward" in vars(cls) and name not in vars(cls):
                setattr(cls, name, value)

    @classmethod
    def check(cls, config: Cell.Config, hidden_size: int) -> None:
        """Raise ValueError where a config of this cell does not go together with H."""

    def initial_state(self, x: Tensor) -> S:
        """Zeros, (B, H) for each part of the state, on the device and in the dtype of `x` (B, ...)."""
        zeros = x.new_zeros(x.shape[0], self.hidden_size)
        state: S = self.State(*(zeros for _ in self.State._fields))
        return state

    @abstractmethod
    def step(self, x: Tensor, state: S) -> tuple[Tensor, S]:
        """One time step.

        Args:
            x: (B, I)
            state: `State` after the previous step.

        Returns:
            The output (B, H), and the new state.
        """

    def dropped_state(self, h: Tensor) -> Tensor:
        """h (B, H) as weights multiply it in a step: times its mask, where the step has recurrent dropout."""
        return h if self.masks is None or self.masks.state is None else h * self.masks.state

    def dropped_update(self, candidate: Tensor) -> Tensor:
        """The candidate (B, H) as a step adds it to the state: times its mask, where there is recurrent dropout."""
        return candidate if self.masks is None or self.masks.update is None else candidate * self.masks.update

    def noisy_step(self, x: Tensor, state: S, masks: NoiseWeights) -> tuple[Tensor, S]:
        """`step` with noise, which defines what `forward` computes with it.

        Args:
            x, state: as `step` takes them.
            masks: of this step, (B, H) each. Zoneout mixes h, and the part of the state that is named c.
        """
        self.masks = masks
        try:
            _, new = self.step(x, state)
        finally:
            del self.masks  # back to the class's None: plain attributes tell tapes apart
        mixed = apply_zoneout(masks, state, new)
        return mixed.h, mixed

    def forward(
        self,
        x: Tensor,
        lengths: Tensor,
        state: S | None = None,
        reverse: bool = False,
        noise: RecurrentNoise | None = None,
    ) -> tuple[Tensor, S]:
        """The step over a whole padded batch: recorded and executed natively where the engine can.

        Args:
            x: (B, T, I)
            lengths: (B,) valid steps of each sample; the padding behind them is never read.
            state: initial state; None for that of `initial_state`.
            reverse: read each sample from its own last step to its first.
            noise: in the recurrence; of the kinds in `noises`.

        Returns:
            Outputs (B, T, H), zero on padding, and the state after each sample's own last valid step.
        """
        state = self.initial_state(x) if state is None else state
        if reverse:
            outputs, end = self.forward(reverse_padded(x, lengths), lengths, state, noise=noise)
            return reverse_padded(outputs, lengths), end
        step: Callable[[Tensor, S], tuple[Tensor, S]] = self.step
        form: Hashable = None
        noise = None if noise is None else noise.checked(len(x))
        if noise is not None:
            x, step, form = join_masks(self.noisy_step, x, noise, self.hidden_size)
        executed = kernels.execute(self, step, x, lengths, state, form)
        if executed is None and noise is None:
            return self.run_in_torch(x, lengths, state)
        if executed is None:
            say_slow(x.device.type, kernels.status().reason)
            return unroll(step, x, lengths, state)
        outputs, parts = executed
        build: Callable[..., S] = type(state)
        return outputs, build(*parts)

    def run_in_torch(self, x: Tensor, lengths: Tensor, state: S) -> tuple[Tensor, S]:
        """`forward` without noise where the engine cannot run the step; a cell may have something faster than steps."""
        return unroll(self.step, x, lengths, state)

    def engine_layer(self) -> EngineLayer | None:
        """The layer of the engine that `forward` is, so that training may leave autograd out, and a stream the module.

        Of weights that are computed from the parameters it holds today's values.
        """
        return None

    def recurrent_blocks(self) -> Sequence[Tensor]:
        """Views (H, H) of the parameters that multiply h, one per gate."""
        return ()

    def gate_biases(self) -> GateBiases | None:
        """Views of the biases that set how long the cell remembers; None where no bias does."""
        return None

    def unit_axes(self) -> Mapping[str, tuple[str, ...]] | None:
        """How each parameter is laid out by unit: its name -> a text for each dimension; None where it is not.

        In such a text, `H` is a place for every unit, `I` one for every input, and any other sign a single place: a
        matrix of four gates over [h, x] is ("HHHH", "HI"). Whoever declares it promises that a unit all of whose rows
        and columns are zero changes no other, so that the cell without it computes the same, and that every part of
        the state has a number for each unit.
        """
        return None

    def parameter_role(self, name: str) -> Role:
        """What a parameter does, by its name in `named_parameters()`.

        As `roles` says; else a vector is added, a parameter that holds a recurrent block multiplies the state (and
        maybe the input too), and any other matrix multiplies the input.
        """
        if name in self.roles:
            return self.roles[name]
        parameter = self.get_parameter(name)
        if parameter.dim() < 2:
            return "bias"
        held = any(block is parameter or block._base is parameter for block in self.recurrent_blocks())
        return "recurrent" if held else "input"


class TraceableCell(Cell[S]):
    """A cell whose step is defined by its gate activations, so that each of them can be inspected."""

    gates: ClassVar[tuple[str, ...]] = ()
    """Symbols of the activations that are sigmoid gates: 0 is closed, 1 is open."""

    @abstractmethod
    def activations(self, x: Tensor, state: S) -> dict[str, Tensor]:
        """One step: every symbol of the equations, after its sigmoid or tanh; (B, H) each, or one for each head.

        Args:
            x: (B, I)
            state: `State` after the previous step.

        Returns:
            Symbol -> value; `h` and the parts of the new state among them.
        """

    def retention(self, activations: dict[str, Tensor]) -> Tensor | None:
        """(B, ..., H) the factor on each unit's own old memory, or each head's; None where the cell has none.

        The direct path alone: what reaches the unit again through the recurrent weights is not part of it.

        Args:
            activations: of `activations`, or of `trace`.
        """
        return None

    def step(self, x: Tensor, state: S) -> tuple[Tensor, S]:
        activations = self.activations(x, state)
        return activations["h"], self.state_of(activations)

    def state_of(self, activations: dict[str, Tensor]) -> S:
        """The new state, of what `activations` returned."""
        state: S = self.State(*(activations[name] for name in self.State._fields))
        return state

    def trace(self, x: Tensor, lengths: Tensor, state: S | None = None) -> dict[str, Tensor]:
        """Every activation at every step, by the step itself: slower than `forward`, and equal to it.

        Args:
            x, lengths, state: as `forward` takes them.

        Returns:
            Symbol -> (B, T, width), zero on padding.

        Raises:
            ValueError: a sequence without steps.
        """
        if not x.shape[1]:
            raise ValueError("trace: x has no steps, T is 0; pass at least one step")
        widths: dict[str, int] = {}

        def step(x_t: Tensor, state: S) -> tuple[Tensor, S]:
            activations = self.activations(x_t, state)
            widths.update((name, value.shape[1]) for name, value in activations.items())
            return torch.cat(list(activations.values()), 1), self.state_of(activations)

        traced, _ = unroll(step, x, lengths, self.initial_state(x) if state is None else state)  # (B, T, sum of widths)
        return dict(zip(widths, torch.split(traced, list(widths.values()), 2), strict=True))


def unroll(step: Callable[[Tensor, S], tuple[Tensor, S]], x: Tensor, lengths: Tensor, state: S) -> tuple[Tensor, S]:
    """A step applied to each time step of a padded batch in turn, in Python.

    Args:
        step: x (B, I) and a state -> output (B, H) and the new state.
        x, lengths, state: as `Cell.forward` takes them.

    Returns:
        As `Cell.forward`.
    """
    lengths, outputs, build = lengths.to(x.device), [], type(state)
    full = int(lengths.min()) if len(lengths) else 0  # Before this step no sample has ended, and nothing needs a mask.
    for t, x_t in enumerate(x.unbind(1)):
        if t < full:
            h, state = step(x_t, state)
        else:
            valid = (t < lengths).unsqueeze(1)  # (B, 1)
            # Zeros instead of the padding: a NaN in it would reach the weights' gradients.
            h, new = step(torch.where(valid, x_t, torch.zeros_like(x_t)), state)
            state = build(*(torch.where(valid, after, before) for after, before in zip(new, state, strict=True)))
            h = torch.where(valid, h, torch.zeros_like(h))
        outputs.append(h)
    if not outputs:
        return state.h.new_zeros(x.shape[0], 0, state.h.shape[1]), state
    return torch.stack(outputs, 1), state


def uniform_weight(hidden_size: int, *shape: int) -> nn.Parameter:
    """A parameter initialised as in torch's own layers: uniform within 1 / sqrt(H)."""
    bound = hidden_size**-0.5 if hidden_size else 0.0
    return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))
