"""The hidden units of a model: which weights belong to each, how large they are together, and the model with fewer.

The weights of a unit are its rows, what it is computed from, and its columns, what is computed from it: in its cell, in
the next layer, and in the head (Intrinsic Sparse Structures, Wen et al. 2018).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lstm_lab.cells import Cell
from lstm_lab.models.base import Model
from lstm_lab.models.sequence import SequenceModel
from lstm_lab.models.skip import NoSkip

Kept = Sequence[Sequence[Tensor]]
"""Of each layer and direction, the numbers of some of its units, in order."""


class Block(NamedTuple):
    """Places along a dimension of a parameter, one for every unit of a cell."""

    parameter: str
    """Its name in the model."""
    axis: int
    start: int
    """Place of unit 0; those of the others follow."""


def obstacle(model: Model) -> str | None:
    """Why units cannot be taken away from a model; None where they can."""
    if type(model) is not SequenceModel:
        return f"model '{model.name}' is no stack of cells alone"
    if model.encoder.hidden_size < 1:
        return "the model has no units"
    for cell in _cells(model):
        axes = cell.unit_axes()
        if axes is None:
            return f"cell '{cell.name}' does not declare which of its weights belong to which unit"
        shapes = {name: tuple(parameter.shape) for name, parameter in cell.named_parameters()}
        if {name: _shape(cell, dimensions) for name, dimensions in axes.items()} != shapes:
            return f"cell '{cell.name}' declares other weights (unit_axes) than it has"
    if not all(isinstance(skip, NoSkip) for skip in model.encoder.skips):
        return "a skip adds units of one layer to those of the next"
    if model.pooling is not None and next(model.pooling.parameters(), None) is not None:
        return f"pooling '{model.pooling.name}' has weights for the width of the encoder"
    if type(model.head) is not nn.Linear:
        return "the head shares its weights with the embedding"
    return None


def unit_blocks(model: Model) -> list[list[list[Block]]]:
    """The places of the weights of the units: of each layer and direction.

    Args:
        model: without an `obstacle`.
    """
    assert isinstance(model, SequenceModel)
    encoder, H = model.encoder, model.encoder.hidden_size
    found: list[list[list[Block]]] = []
    for layer in range(len(encoder.layers)):
        found.append([])
        for direction, cell in enumerate(encoder.cells(layer)):
            prefix, own = f"encoder.layers.{layer}.{direction}.", []
            for name, dimensions in (cell.unit_axes() or {}).items():
                for axis, parts in enumerate(dimensions):
                    for part, start in _placed(cell, parts):
                        if part == "H":
                            own.append(Block(prefix + name, axis, start))
                        elif part == "I" and layer:
                            for below, blocks in enumerate(found[layer - 1]):
                                blocks.append(Block(prefix + name, axis, start + below * H))
            if encoder.starts is not None:
                names = [name for name, _ in encoder.starts.named_parameters()]
                start_of = f"{layer}.{direction}."
                own += [Block(f"encoder.starts.{name}", 0, 0) for name in names if name.startswith(start_of)]
            found[layer].append(own)
    for direction, blocks in enumerate(found[-1]):
        blocks.append(Block("head.weight", 1, direction * H))
    return found


def unit_norms(weights: Mapping[str, Tensor], blocks: Sequence[Block], H: int) -> Tensor:
    """The norm of all weights of each unit of a cell, each weight counted once, (H,).

    At zero its derivative is zero.
    """
    by_parameter: dict[str, list[Block]] = {}
    for block in blocks:
        by_parameter.setdefault(block.parameter, []).append(block)
    total = torch.stack([_squares(weights[name], own, H) for name, own in by_parameter.items()]).sum(0)
    is_zero = total == 0
    return torch.where(is_zero, torch.ones_like(total), total).sqrt().masked_fill(is_zero, 0.0)


def _squares(weight: Tensor, blocks: Sequence[Block], H: int) -> Tensor:
    """The sum of the squares of the weights of each unit, (H,); where a row and a column meet, counted once."""
    squares, parts = weight.square(), []
    for block in blocks:
        others = [axis for axis in range(weight.dim()) if axis != block.axis]
        along = squares.sum(others) if others else squares
        parts.append(along[block.start : block.start + H])
    for i, one in enumerate(blocks):
        for other in blocks[i + 1 :]:
            if one.axis != other.axis:
                shared = squares.narrow(one.axis, one.start, H).narrow(other.axis, other.start, H)
                diagonal = shared.diagonal(dim1=one.axis, dim2=other.axis)  # (..., H)
                parts.append(-diagonal.flatten(0, -2).sum(0) if diagonal.dim() > 1 else -diagonal)
    return torch.stack(parts).sum(0)


def largest_units(model: Model, weights: Mapping[str, Tensor], count: int) -> Kept:
    """Of each layer and direction, the units whose weights have the largest norm; of equal ones the first.

    Args:
        weights: of the model, by name.
        count: units that each keeps.
    """
    assert isinstance(model, SequenceModel)
    H = model.encoder.hidden_size
    return [
        [unit_norms(weights, blocks, H).sort(descending=True, stable=True).indices[:count].sort().values
         for blocks in directions]
        for directions in unit_blocks(model)
    ]  # fmt: skip


def without_others(model: Model, weights: Mapping[str, Tensor], kept: Kept) -> dict[str, Tensor]:
    """The weights of the same model with fewer units.

    Args:
        model: whose units some are; its own weights are not read.
        weights: of the model, by name.
        kept: the units that remain, equally many of each layer and direction.
    """
    assert isinstance(model, SequenceModel)
    H, left = model.encoder.hidden_size, dict(weights)
    places: dict[tuple[str, int], Tensor] = {}
    for directions, own in zip(unit_blocks(model), kept, strict=True):
        for blocks, units in zip(directions, own, strict=True):
            for name, axis, start in blocks:
                size = weights[name].shape[axis]
                mask = places.setdefault((name, axis), torch.ones(size, dtype=torch.bool, device=units.device))
                mask[start : start + H] = False
                mask[start + units] = True
    for (name, axis), mask in places.items():
        left[name] = left[name].index_select(axis, mask.nonzero().squeeze(1))
    return left


def _cells(model: SequenceModel) -> Iterator[Cell]:
    for layer in range(len(model.encoder.layers)):
        yield from model.encoder.cells(layer)


def _placed(cell: Cell, parts: str) -> Iterator[tuple[str, int]]:
    """The parts of a dimension, and where each begins."""
    start = 0
    for part in parts:
        yield part, start
        start += _size(cell, part)


def _size(cell: Cell, part: str) -> int:
    return {"H": cell.hidden_size, "I": cell.input_size}.get(part, 1)


def _shape(cell: Cell, dimensions: Sequence[str]) -> tuple[int, ...]:
    return tuple(sum(_size(cell, part) for part in parts) for parts in dimensions)
