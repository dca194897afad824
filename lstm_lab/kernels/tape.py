"""Tapes: a cell's step as a list of small operations on rows, which the engine plays over whole sequences.

`recorder.py` watches a step, `writer.py` writes the tape down, `rules.py` says what a step may do, `reverse.py` derives
the way back, `settle.py` says where everything lies, `player.py` plays it. What depends on weights alone is done by
torch, once for all steps (the *prologue*), and so is what depends on the input and has no rule.

Spaces are where rows lie: `record` keeps what the way back needs of a step, `spare` is the rest of it, `feed0`, ...
are the input or what the prologue made of it, `const` what all rows share, `state0`, ... the state of each sample,
`out` what is shown, `before` what the step before showed. Their gradients lie in `grad` (of one block of rows,
forgotten with it), `dfeed0`, ..., `dconst`, `dmatrix`, `carry0`, ... and `dout`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

KINDS = (
    *("FILL", "COPY", "PLUS", "TIMES", "OVER", "LINEAR", "SIGMOID", "TANH", "RELU", "EXP", "LOG", "LOGSIGMOID"),
    *("SOFTPLUS", "SQRT", "ABS", "MOST_OF", "LEAST_OF", "EXPAND", "TOTAL", "PRODUCT", "NORMAL", "D_SIGMOID", "D_TANH"),
    *("D_RELU", "D_OVER", "D_LOGSIGMOID", "D_SOFTPLUS", "D_SQRT", "D_ABS", "D_MOST", "D_LEAST", "D_NORMAL"),
    *("SUM_ROWS", "SUM_TIMES", "OUTER"),
)
"""As `enum Kind` in tape.h numbers them."""

ROWS = (7, 11)
"""How many rows a step is recorded with."""


class Refused(Exception):
    """Why a step cannot become a tape, in one line."""


class Slot(NamedTuple):
    """A place in one of the spaces."""

    space: str
    at: int
    """Elements from the start of the row."""


class Move(NamedTuple):
    """to (+)= kind(arguments), `width` elements of every row."""

    kind: str
    to: Slot
    arguments: tuple[Slot, ...]
    width: int
    s: float = 1.0
    s2: float = 0.0
    matrix: int = -1
    add: bool = False


@dataclass(frozen=True)
class Ref:
    """A node among the arguments of a call."""

    node: int


@dataclass(frozen=True)
class Rows:
    """The number of rows among the arguments of a call."""


class Call(NamedTuple):
    """An operation of the prologue, to be done by torch."""

    function: Any
    arguments: Any
    outputs: list[int]


@dataclass
class Tape:
    prologue: list[Call] = field(default_factory=list)
    leaves: dict[int, str] = field(default_factory=dict)
    """Node -> parameter or buffer of the module."""
    numbers: dict[int, Tensor] = field(default_factory=dict)
    """Node -> a tensor that the step makes out of plain numbers."""
    x: int = 0
    """Node of the input."""
    moves: list[Move] = field(default_factory=list)
    width: int = 0
    """Elements of a row of the record."""
    spare: int = 0
    """Elements of a row of `spare`."""
    fields: list[tuple[int, int]] = field(default_factory=list)
    """First element and width of each result, while all of them lie in the record."""
    feeds: list[tuple[int, tuple[int, ...], int]] = field(default_factory=list)
    """Node, order of its dimensions (rows first), width."""
    consts: list[tuple[int, tuple[int, ...], tuple[int, ...], int]] = field(default_factory=list)
    """Node, shape for one row, order of the dimensions, width."""
    matrices: list[tuple[int, int | None, int, int]] = field(default_factory=list)
    """Node, head, and shape (k, n)."""
    state: list[int] = field(default_factory=list)
    """Width of each part."""
    out: int = 0
    """Width of what is shown."""
    shown: bool = False
    """Whether the way back finds what was shown where it was shown: in `out`, and in `before` for the step before."""
    before: int | None = None
    """Part of the state that goes before the first step of what was shown."""
    back: list[Move] = field(default_factory=list)
    local: int = 0
    """Elements of a row of `grad`."""
    ready: dict[Any, Any] = field(default_factory=dict)
    """Moves as the engine reads them, by who needs what."""

    @property
    def const(self) -> int:
        return sum(width for *_, width in self.consts)

    def matrix(self, number: int) -> int:
        """Elements of the gradients of matrices before that of one of them."""
        return sum(k * n for *_, k, n in self.matrices[:number])


def replay(call: Call, values: dict[int, Tensor], rows: int) -> None:
    """Do an operation of the prologue for as many rows as there are."""

    def real(value: Any) -> Any:
        return values[value.node] if isinstance(value, Ref) else rows if isinstance(value, Rows) else value

    args, kwargs = tree_map(real, call.arguments, is_leaf=lambda value: isinstance(value, (Ref, Rows)))
    out = call.function(*args, **kwargs)
    for node, value in zip(call.outputs, tree_flatten(out)[0], strict=True):
        values[node] = value
