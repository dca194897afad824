"""Tapes: a cell's step as a list of operations on rows, which the engine executes over whole sequences.

`recorder.py` records a step, `writer.py` writes its tape by the rules of `rules/`, `backward.py` derives the backward
pass, `buffers.py` allocates the buffers, `executor.py` executes the tape. What depends on weights alone is computed by
torch, once for all steps (the *prologue*), and so is what depends on the input and has no rule.

Buffers have one row per sample and step, unless noted:

    values           every result of the step, before buffers are allocated; afterwards one of the next two
    saved            what the backward pass reads
    scratch          the rest; rows of one block, overwritten by the next
    input0, ...      the input, or what the prologue made of it
    const            what all rows share, one row
    state0, ...      each part of the state, one row per sample
    output           the output of the step
    previous_output  the output of the step before

Gradients are in `grad` (of the values; rows of one block), `grad_input0`, ..., `grad_const`, `grad_matrix`,
`grad_state0`, ... and `grad_output`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, TypeVar

from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map


class Operation(IntEnum):
    """Mirrors `enum class Operation` in csrc/tape_operations.h, in the same order."""

    FILL = 0
    COPY = 1
    ADD = 2
    MUL = 3
    DIV = 4
    AFFINE = 5
    SIGMOID = 6
    TANH = 7
    RELU = 8
    EXP = 9
    LOG = 10
    LOGSIGMOID = 11
    SOFTPLUS = 12
    SQRT = 13
    ABS = 14
    MAX = 15
    MIN = 16
    EXPAND = 17
    SUM = 18
    MATMUL = 19
    NORMALIZE = 20
    D_SIGMOID = 21
    D_TANH = 22
    D_RELU = 23
    D_DIV = 24
    D_LOGSIGMOID = 25
    D_SOFTPLUS = 26
    D_SQRT = 27
    D_ABS = 28
    D_MAX = 29
    D_MIN = 30
    D_NORMALIZE = 31
    SUM_ROWS = 32
    SUM_PRODUCTS = 33
    OUTER = 34


ROWS = (7, 11)
"""Numbers of rows that a step is recorded with."""
MAX_BUFFERS = 64
"""As in csrc/tape.h."""


S = TypeVar("S", bound=Iterable[Tensor])
Step = Callable[[Tensor, S], tuple[Tensor, S]]
"""A cell's step: x (N, I) and a state -> output (N, H), and the new state."""
BuildState = Callable[..., S]
"""Makes a state of its parts, (N, width) each."""
Arguments = tuple[tuple[object, ...], dict[str, object]]
"""Of a call, by position and by name, with `Ref` for tensors and `Rows` for numbers of rows."""


class UnsupportedOp(Exception):
    """Why a step cannot become a tape, in one line."""


class Slot(NamedTuple):
    """A place in a buffer."""

    buffer: str
    offset: int
    """Elements from the start of the row."""


class Instruction(NamedTuple):
    """to (+)= operation(arguments), on `width` elements of every row."""

    operation: Operation
    to: Slot
    arguments: tuple[Slot, ...]
    width: int
    scale: float = 1.0
    """FILL: the value. ADD: factor of the second argument. AFFINE, EXPAND, SUM: factor. NORMALIZE: epsilon."""
    shift: float = 0.0
    """AFFINE: the summand."""
    matrix: int = -1
    """MATMUL, OUTER: index into `Tape.matrices`."""
    accumulate: bool = False
    """Whether the result is added to what is in `to`."""


@dataclass(frozen=True)
class Ref:
    """A node among the arguments of a call."""

    node: int


@dataclass(frozen=True)
class Rows:
    """The number of rows among the arguments of a call."""


class Call(NamedTuple):
    """An operation of the prologue, executed by torch."""

    function: Callable[..., object]
    arguments: Arguments
    outputs: list[int]


class Input(NamedTuple):
    """A buffer with a row for each sample and step, computed before the tape runs."""

    node: int
    order: tuple[int, ...]
    """Of the node's dimensions, the rows first."""
    width: int


class Const(NamedTuple):
    """A range of the buffer `const`."""

    node: int
    shape: tuple[int, ...]
    """For one row."""
    order: tuple[int, ...]
    """Of the dimensions."""
    width: int


class MatrixRef(NamedTuple):
    """A matrix (k, n) that rows are multiplied by."""

    node: int
    head: int | None
    """Index into the node's first dimension, where the node is a batch of matrices."""
    k: int
    n: int


@dataclass
class Tape:
    """A recorded step: its prologue, its forward and its backward pass, and the layout of their buffers."""

    prologue: list[Call] = field(default_factory=list)
    leaves: dict[int, str] = field(default_factory=dict)
    """Node -> name of a parameter or buffer of the module."""
    numbers: dict[int, Tensor] = field(default_factory=dict)
    """Node -> a tensor that the step makes of plain numbers."""
    x: int = 0
    """Node of the input."""
    forward: list[Instruction] = field(default_factory=list)
    backward: list[Instruction] = field(default_factory=list)
    fields: list[tuple[int, int]] = field(default_factory=list)
    """Offset and width of each result in `values`."""
    inputs: list[Input] = field(default_factory=list)
    consts: list[Const] = field(default_factory=list)
    matrices: list[MatrixRef] = field(default_factory=list)
    state_widths: list[int] = field(default_factory=list)
    output_width: int = 0
    width: int = 0
    """Of a row of `values`, and of `saved` once buffers are allocated."""
    scratch_width: int = 0
    grad_width: int = 0
    output_is_saved: bool = False
    """Whether the backward pass reads the output from `output`, so that it has no place in `saved`."""
    output_state: int | None = None
    """Part of the state that equals the output: the backward pass reads it from `previous_output`."""
    compiled: dict[Hashable, object] = field(default_factory=dict)
    """Instructions as the engine reads them, by pass and needed gradients."""

    def matrix_offset(self, number: int) -> int:
        """Elements of the gradients of all matrices before one of them."""
        return sum(matrix.k * matrix.n for matrix in self.matrices[:number])


def replay(call: Call, values: dict[int, Tensor], rows: int) -> None:
    """Execute a call of the prologue for a number of rows, and enter its results in `values`, node -> tensor."""

    def resolve(value: object) -> object:
        return values[value.node] if isinstance(value, Ref) else rows if isinstance(value, Rows) else value

    args, kwargs = tree_map(resolve, call.arguments, is_leaf=lambda value: isinstance(value, (Ref, Rows)))
    out = call.function(*args, **kwargs)
    for node, value in zip(call.outputs, tree_flatten(out)[0], strict=True):
        values[node] = value
