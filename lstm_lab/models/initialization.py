"""Where training starts from: recurrent matrices, the time scale of memory, and the state before the first step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from lstm_lab import config
from lstm_lab.cells import Cell
from lstm_lab.cells.base import CellState
from lstm_lab.cells.lstm import ForgetBiasConfig
from lstm_lab.config.registry import Named


class WeightInit(config.Config):
    """How the weights of cells are initialised. A cell declares by `recurrent_blocks` and `gate_biases` what can be."""

    recurrent: Literal["default", "orthogonal"] = "default"
    """Recurrent matrices: as the cell initialises them, or each gate's block orthogonal (Saxe et al. 2014)."""
    chrono: Annotated[int, Field(ge=3, lt=2**31)] | None = None
    """Longest time dependency T_max, in steps: gate biases such that memory spans are spread from 1 to this (Tallec &
    Ollivier 2018)."""

    def check(self, cell: Named, hidden_size: int) -> None:
        """Raise ValueError where a choice would have no effect on this cell."""
        if self == WeightInit():
            return
        built = on_meta(cell, hidden_size)
        if self.recurrent == "orthogonal" and not built.recurrent_blocks():
            raise ValueError(
                f"init.recurrent=orthogonal would do nothing: cell '{cell.name}' declares no recurrent matrices; leave "
                f"it out, or define recurrent_blocks() in {type(built).__name__}"
            )
        if self.chrono is None:
            return
        if built.gate_biases() is None:
            raise ValueError(
                f"init.chrono={self.chrono} would do nothing: cell '{cell.name}' declares no bias of a forget gate; "
                f"leave it out, or define gate_biases() in {type(built).__name__}"
            )
        default = ForgetBiasConfig.model_fields["forget_bias"].default
        if isinstance(cell, ForgetBiasConfig) and cell.forget_bias != default:
            raise ValueError(
                f"cell.forget_bias={cell.forget_bias} would do nothing: init.chrono={self.chrono} sets the bias of the "
                "forget gate; leave one of them out"
            )

    @torch.no_grad()
    def apply(self, cells: Iterable[Cell]) -> None:
        """Initialise the weights of newly built cells in place."""
        for cell in cells:
            if self.recurrent == "orthogonal":
                for block in cell.recurrent_blocks():
                    nn.init.orthogonal_(block)
            biases = cell.gate_biases()
            if self.chrono is not None and biases is not None:
                first = (biases.forget or biases.input)[0]
                b = torch.empty_like(first).uniform_(1.0, self.chrono - 1.0).log()  # remembers for about exp(b) steps
                _set_sum(biases.forget, b)
                _set_sum(biases.input, -b)


def _set_sum(biases: tuple[Tensor, ...], total: Tensor) -> None:
    """Set biases that are added to each other so that their sum is `total`."""
    for i, bias in enumerate(biases):
        bias.copy_(total if i == 0 else torch.zeros_like(total))


def on_meta(cell: Named, hidden_size: int) -> Cell:
    """A cell without storage for its weights, to inspect what it declares."""
    with torch.device("meta"):
        built: Cell = cell.build(1, hidden_size)
    return built


class LearnedInitialState(nn.Module):
    """Parameters added to what a cell's step reads of its own initial state; zero before training."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.parts = nn.ParameterDict(
            {name: nn.Parameter(torch.zeros_like(tensor[0])) for name, tensor in _learnable(cell).items()}
        )

    @staticmethod
    def check(cell: Named, hidden_size: int) -> None:
        """Raise ValueError where nothing in the initial state of this cell can be learned."""
        built = on_meta(cell, hidden_size)
        parts = _float_tensors(built.initial_state(torch.zeros(1, 1)))
        if not _learnable(built):
            raise ValueError(
                f"learn_initial_state would do nothing: the step of cell '{cell.name}' reads no floating-point tensor "
                "of its state; leave it out"
            )
        if any(tensor.any() for tensor in parts.values()):
            # An xLSTM starts with the weight e^m of its memory at 0: no learned value could be read.
            raise ValueError(
                f"learn_initial_state would do nothing: cell '{cell.name}' gives its initial memory weight 0; "
                "leave it out or choose another cell"
            )

    def forward(self, cell: Cell, x: Tensor) -> CellState:
        """The state before the first step of x (B, ...)."""
        state = cell.initial_state(x)
        build: Callable[..., CellState] = type(state)
        named: Iterable[tuple[str, Tensor]] = zip(state._fields, state, strict=True)
        return build(*(tensor + self.parts[name] if name in self.parts else tensor for name, tensor in named))


def _learnable(cell: Cell) -> dict[str, Tensor]:
    """Field -> initial tensor (1, width), of the parts of the state that the step reads: an SRU never reads its h."""
    with torch.enable_grad():
        x = next(cell.parameters(), torch.zeros(())).new_zeros(1, cell.input_size)
        state = cell.initial_state(x)
        found = {name: tensor.clone().requires_grad_() for name, tensor in _float_tensors(state).items()}
        build: Callable[..., CellState] = type(state)
        named: Iterable[tuple[str, Tensor]] = zip(state._fields, state, strict=True)
        output, after = cell.step(x, build(*(found.get(name, tensor) for name, tensor in named)))
        total = torch.stack([part.sum() for part in (output, *_float_tensors(after).values())]).sum()
    if not found or not total.requires_grad:
        return {}
    gradients = torch.autograd.grad(total, list(found.values()), allow_unused=True)
    read = zip(found.items(), gradients, strict=True)
    return {name: tensor.detach() for (name, tensor), gradient in read if gradient is not None}


def _float_tensors(state: CellState) -> dict[str, Tensor]:
    """Field -> tensor of a state, without those of integers."""
    named = zip(state._fields, state, strict=True)
    return {name: tensor for name, tensor in named if tensor.is_floating_point()}
