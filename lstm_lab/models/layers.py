"""The layers of a model from its input to its head: what is frozen, and what has a learning rate of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable

from torch import nn

from lstm_lab.config import ConfigError

_LAYER_OF_STACK = re.compile(r"(?:(?P<stack>.+?)\.)?(?:layers|starts|(?P<behind>skips))\.(?P<number>\d+)\.")
"""A parameter of one layer of a stack; a skip of number k leads into layer k + 1."""


def parameter_layers(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """Names of the parameters of each layer, from the input to the head.

    A stack is several: the module list `layers` of `encoder` makes `encoder.0`, `encoder.1`, ..., that of the model
    itself `layers.0`, `layers.1`, ...

    >>> parameter_layers(nn.ModuleDict({"embedding": nn.Embedding(3, 2), "head": nn.Linear(2, 1)}))
    {'embedding': ('embedding.weight',), 'head': ('head.weight', 'head.bias')}
    """
    found: dict[str, list[str]] = {}
    for name, _ in model.named_parameters():
        found.setdefault(_layer_of(name), []).append(name)
    return {layer: tuple(names) for layer, names in found.items()}


def _layer_of(name: str) -> str:
    match = _LAYER_OF_STACK.match(name)
    if match is None:
        return name.partition(".")[0]
    return f"{match['stack'] or 'layers'}.{int(match['number']) + (match['behind'] is not None)}"


def select_layers(model: nn.Module, chosen: Iterable[str], key: str) -> tuple[str, ...]:
    """The layers that names mean, from the input to the head; the name of a stack means all of its layers.

    Args:
        key: of the configuration that has the names, for the message.

    Raises:
        ConfigError: the model has no such layer.
    """
    layers, selected = tuple(parameter_layers(model)), set()
    for name in chosen:
        meant = {layer for layer in layers if layer == name or layer.startswith(f"{name}.")}
        if not meant:
            stacks = dict.fromkeys(part for layer in layers for part in (layer.partition(".")[0], layer))
            raise ConfigError(f"{key}: the model has no layer '{name}'; choose from {', '.join(stacks)}")
        selected |= meant
    return tuple(layer for layer in layers if layer in selected)
