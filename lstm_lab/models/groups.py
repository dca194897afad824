"""What each parameter of a model is for: penalties and weight decay are set for each group."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from torch import nn

from lstm_lab.cells import Cell


class Group(StrEnum):
    """What a parameter is for. Each belongs to one group."""

    RECURRENT = "recurrent"
    """Matrices and vectors that multiply a cell's own state."""
    INPUT = "input"
    """Matrices that multiply what a layer reads: of cells, of projections before and between them, of attention."""
    EMBEDDING = "embedding"
    """Vectors of tokens and of other numbered things; with tied weights, of the head too."""
    HEAD = "head"
    """The matrix that makes the outputs."""
    BIAS = "bias"
    """What is added: biases, and learned initial states."""
    NORM = "norm"
    """Gains of normalisation layers."""


DECAYED = frozenset({Group.RECURRENT, Group.INPUT, Group.EMBEDDING, Group.HEAD})
"""Groups that penalties and weight decay act on by default: not biases and norms."""

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.batchnorm._BatchNorm)


def parameter_groups(model: nn.Module) -> dict[Group, dict[str, nn.Parameter]]:
    """The parameters of a model by group, each once, in the order of `model.named_parameters()`.

    Returns:
        Group -> name -> parameter; every group is there, and may be empty.
    """
    groups: dict[Group, dict[str, nn.Parameter]] = {group: {} for group in Group}
    seen: set[nn.Parameter] = set()
    for name, parameter, group in _named(model, "", in_head=False):
        if parameter not in seen:
            seen.add(parameter)
            groups[group][name] = parameter
    return groups


def _named(module: nn.Module, prefix: str, *, in_head: bool) -> Iterator[tuple[str, nn.Parameter, Group]]:
    """Each parameter at and below a module: name, itself, group."""
    if isinstance(module, Cell):
        for name, parameter in module.named_parameters():
            yield prefix + name, parameter, Group(module.parameter_role(name))
        return
    for name, parameter in module.named_parameters(recurse=False):
        yield prefix + name, parameter, _group(module, name, parameter, in_head)
    for name, child in module.named_children():
        yield from _named(child, f"{prefix}{name}.", in_head=in_head or (not prefix and name == "head"))


def _group(module: nn.Module, name: str, parameter: nn.Parameter, in_head: bool) -> Group:
    """Of a parameter that belongs to no cell."""
    if isinstance(module, NORMS):
        return Group.BIAS if name == "bias" else Group.NORM
    if isinstance(module, nn.Embedding):
        return Group.EMBEDDING
    if parameter.dim() < 2:
        return Group.BIAS
    return Group.HEAD if in_head else Group.INPUT
