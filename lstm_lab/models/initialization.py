"""Where training starts from: recurrent matrices, the time scale of memory, and the state before the first step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from lstm_lab import config
from lstm_lab.cells import Cell
from lstm_lab.cells.lstm import ForgetBiasConfig
from lstm_lab.registry import Named


class WeightInit(config.Config):
    """How the weights of cells start. A cell says by `recurrent_blocks` and `gate_biases` where they lie."""

    recurrent: Literal["default", "orthogonal"] = "default"
    """The matrices that h goes through: as the cell makes them, or each gate's block orthogonal (Saxe et al. 2014)."""
    chrono: Annotated[int, Field(ge=3, lt=2**31)] | None = None
    """Longest time to remember, in steps: units start with memories spread from 1 to this (Tallec & Ollivier 2018)."""

    def check(self, cell: Named, hidden_size: int) -> None:
        """Raise ValueError where a choice would do nothing to this cell."""
        if self == WeightInit():
            return
        built = empty(cell, hidden_size)
        if self.recurrent == "orthogonal" and not built.recurrent_blocks():
            raise ValueError(
                f"init.recurrent=orthogonal would do nothing: cell '{cell.name}' does not say where its recurrent "
                f"matrices lie; leave it out, or write recurrent_blocks() in {type(built).__name__}"
            )
        if self.chrono is None:
            return
        if built.gate_biases() is None:
            raise ValueError(
                f"init.chrono={self.chrono} would do nothing: cell '{cell.name}' has no forget-gate bias that it says "
                f"the place of; leave it out, or write gate_biases() in {type(built).__name__}"
            )
        if (
            isinstance(cell, ForgetBiasConfig)
            and cell.forget_bias != ForgetBiasConfig.model_fields["forget_bias"].default
        ):
            raise ValueError(
                f"cell.forget_bias={cell.forget_bias} would do nothing: init.chrono={self.chrono} sets the bias of the "
                "forget gate; leave one of them out"
            )

    @torch.no_grad()
    def apply(self, cells: Iterable[Cell]) -> None:
        """Set the weights of cells that have just been made."""
        for cell in cells:
            if self.recurrent == "orthogonal":
                for block in cell.recurrent_blocks():
                    nn.init.orthogonal_(block)
            biases = cell.gate_biases()
            if self.chrono is not None and biases is not None:
                first = (biases.forget or biases.input)[0]
                b = torch.empty_like(first).uniform_(1.0, self.chrono - 1.0).log()  # keeps for about exp(b) steps
                _set(biases.forget, b)
                _set(biases.input, -b)


def _set(biases: tuple[Tensor, ...], total: Tensor) -> None:
    """Make biases that are added come to this."""
    for place, bias in enumerate(biases):
        bias.copy_(total if place == 0 else torch.zeros_like(total))


def empty(cell: Named, hidden_size: int) -> Cell:
    """The cell without memory for its weights: to ask what it has."""
    with torch.device("meta"):
        return cell.build(1, hidden_size)


class LearnedInitialState(nn.Module):
    """A state to start from that training adjusts: what is added to the cell's own initial state, zero at first."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        state = cell.initial_state(torch.zeros(1, cell.input_size))
        self.parts = nn.ParameterDict(
            {name: nn.Parameter(torch.zeros_like(part[0])) for name, part in _numbers(state).items()}
        )

    @staticmethod
    def check(cell: Named, hidden_size: int) -> None:
        """Raise ValueError where the state of this cell holds nothing to adjust."""
        parts = _numbers(empty(cell, hidden_size).initial_state(torch.zeros(1, 1)))
        if not parts:
            raise ValueError(
                f"learn_initial_state would do nothing: the state of cell '{cell.name}' holds no real numbers"
            )
        if any(part.any() for part in parts.values()):
            # An xLSTM starts with the weight e^m of its memory at 0: whatever were learned there would not be read.
            raise ValueError(
                f"learn_initial_state would do nothing: cell '{cell.name}' gives its initial memory weight 0; "
                "leave it out or choose another cell"
            )

    def forward(self, cell: Cell, x: Tensor) -> Any:
        """The state before the first step of x (B, ...)."""
        state = cell.initial_state(x)
        return state._replace(**{name: getattr(state, name) + part for name, part in self.parts.items()})


def _numbers(state: Any) -> dict[str, Tensor]:
    return {name: part for name, part in state._asdict().items() if part.is_floating_point()}
