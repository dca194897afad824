"""Noise in the recurrence of one cell of a model: recurrent dropout, zoneout and weight drop."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lstm_lab.cells import Cell
from lstm_lab.cells.base import CellState
from lstm_lab.kernels import RecurrentNoise, draws
from lstm_lab.models.segments import Segments
from lstm_lab.models.sites import Keyed, rescaled


class Recurrence(Keyed):
    """What happens in the recurrence of one cell besides its step; without noise, and in evaluation, nothing.

    In evaluation zoneout is its expectation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.noise = RecurrentNoise()
        self.weight_drop = 0.0
        self.segments = Segments()
        """Of training."""

    @property
    def draws_masks(self) -> bool:
        return bool(self.noise.kinds) or self.weight_drop > 0

    def add(self, **rates: float | bool) -> None:
        """Set rates of `RecurrentNoise`, beside those that are set."""
        self.noise = dataclasses.replace(self.noise, **rates)  # type: ignore[arg-type]

    def forward(
        self, cell: Cell, x: Tensor, lengths: Tensor, state: CellState | None, reverse: bool
    ) -> tuple[Tensor, CellState]:
        """The cell over a padded batch, as `Cell.forward`; `reverse` is for cells that take it."""
        noise = self._drawn(x.shape[0])
        dropped = dict(self._dropped(cell)) if self.training and self.weight_drop else {}

        def run(x: Tensor, lengths: Tensor, state: CellState | None, first: int) -> tuple[Tensor, CellState]:
            options: dict[str, object] = {"reverse": True} if reverse else {}
            if noise is not None:
                options["noise"] = dataclasses.replace(noise, first=first) if first else noise
            outputs: Tensor
            end: CellState
            if dropped:
                outputs, end = functional_call(cell, dropped, (x, lengths, state), options)
            else:
                outputs, end = cell(x, lengths, state, **options)
            return outputs, end

        return self.segments.run(run, x, lengths, state) if self.training else run(x, lengths, state, 0)

    @property
    def reads_in_order(self) -> bool:
        """Whether it must be given what it reads backward already reversed, since it reads segments in turn."""
        return self.training and self.segments != Segments()

    def _drawn(self, batch_size: int) -> RecurrentNoise | None:
        """The noise of a batch; None where there is none."""
        if not self.noise.kinds:
            return None
        key = self.noise_key(batch_size, torch.device("cpu")) if self.training else None
        return dataclasses.replace(self.noise, key=key)

    def _dropped(self, cell: Cell) -> Iterator[tuple[str, Tensor]]:
        """Each recurrent matrix of a cell times a mask of its elements, new for each batch (Merity et al. 2018)."""
        for name, parameter in recurrent_matrices(cell):
            flat = parameter.reshape(len(parameter), -1)
            key = self.noise_key(len(flat), flat.device, same=True, samples=False).at(name)
            mask = rescaled(draws.keep(key, self.weight_drop, 1, flat.shape[1]), self.weight_drop, flat)
            yield name, parameter * recurrent_part(cell, parameter, mask.view(parameter.shape))


def recurrent_matrices(cell: Cell) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters of a cell that multiply its state as matrices."""
    for name, parameter in cell.named_parameters():
        if parameter.dim() > 1 and cell.parameter_role(name) == "recurrent":
            yield name, parameter


def recurrent_part(cell: Cell, parameter: Tensor, mask: Tensor) -> Tensor:
    """A mask that is 1 where a parameter multiplies the input beside the state, as in a matrix over [h, x]."""
    blocks = [block for block in cell.recurrent_blocks() if block._base is parameter]
    if not blocks or sum(block.numel() for block in blocks) == parameter.numel():
        return mask
    found = torch.ones_like(mask)
    for block in blocks:
        place = (block.shape, block.stride(), block.storage_offset() - parameter.storage_offset())
        found.as_strided(*place).copy_(mask.as_strided(*place))
    return found


def recurrences(model: nn.Module) -> Iterator[Recurrence]:
    """Those of every cell of a model."""
    return (module for module in model.modules() if isinstance(module, Recurrence))
