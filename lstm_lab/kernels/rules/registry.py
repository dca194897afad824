"""Registration of rules: the name of an operator of torch -> how it is written on a tape."""

from __future__ import annotations

from collections.abc import Callable

from lstm_lab.kernels.recording import Args, Kwargs, Pair
from lstm_lab.kernels.tape import ROWS, Slot
from lstm_lab.kernels.writer import Rule, Writer

Write = Callable[[Writer, Pair, Args, Kwargs], Slot]

RULES: dict[str, Rule] = {}
"""Name of an operator, without its overload -> its rule."""


def rule(name: str, takes_shape: bool = False) -> Callable[[Write], Write]:
    """Decorator: register a function as the rule of an operator."""

    def register(write: Write) -> Write:
        RULES[name] = Rule(write, takes_shape)
        return write

    return register


def width_of(out: Pair) -> int:
    """Elements of a result in each row."""
    return out[0].numel() // ROWS[0]
