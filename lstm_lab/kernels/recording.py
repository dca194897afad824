"""Recordings of a step with two numbers of rows: its calls of torch's operators, and the layout of tensors in rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor
from torch.utils._pytree import tree_unflatten

from lstm_lab.kernels.tape import ROWS, Arguments, Ref, Rows, UnsupportedOp

if TYPE_CHECKING:
    from torch._ops import OpOverload
    from torch.utils._pytree import TreeSpec

Args = tuple[Any, ...]
"""Of an operator, whose schema says what each of them is."""
Kwargs = dict[str, Any]
"""The same by name."""
Pair = tuple[Tensor, Tensor]
"""A tensor as it was in either recording."""


class RecordedCall(NamedTuple):
    """One call of a torch operator."""

    function: OpOverload
    args: Args
    kwargs: Kwargs
    out: object

    @property
    def name(self) -> str:
        """Of the operator, without its overload."""
        return str(self.function.overloadpacket.__name__)


class Recording(NamedTuple):
    """A step executed with one number of rows."""

    x: Tensor
    state: list[Tensor]
    calls: list[RecordedCall]
    output: Tensor
    new_state: list[Tensor]


def replayable(structure: TreeSpec, flat: list[object], flat2: list[object], known: dict[int, int]) -> Arguments:
    """Arguments of a call with nodes for tensors and `Rows` for numbers of rows."""
    values: list[object] = []
    for one, two in zip(flat, flat2, strict=True):
        if isinstance(one, Tensor):
            values.append(Ref(known[id(one)]))
        elif one != two:
            if (one, two) != ROWS:
                raise UnsupportedOp(f"an argument depends on the number of rows: {one} for {ROWS[0]}")
            values.append(Rows())
        else:
            values.append(one)
    arguments: Arguments = tree_unflatten(values, structure)
    return arguments


class RowLayout(NamedTuple):
    """Layout of a tensor within each row."""

    row: int
    """The dimension that counts rows."""
    offset: int
    sizes: dict[int, int]
    """Dimension -> size, of the others."""
    strides: dict[int, int]

    def by_stride(self) -> list[int]:
        """Dimensions in memory order, outermost first."""
        return sorted(self.sizes, key=lambda d: -self.strides[d])


def row_layout(pair: Pair) -> RowLayout:
    """Layout of a tensor within a row.

    Raises:
        UnsupportedOp: it mixes rows.
    """
    one, two = pair
    mixed = UnsupportedOp("a tensor mixes rows")
    rows = [d for d, (a, b) in enumerate(zip(one.shape, two.shape, strict=True)) if a != b]
    if len(rows) != 1 or (one.shape[rows[0]], two.shape[rows[0]]) != ROWS:
        raise mixed

    def within_a_row(a: int, b: int) -> int:
        """From elements for either number of rows to elements within one row."""
        per_row, rest = divmod(b - a, ROWS[1] - ROWS[0])
        if rest:
            raise mixed
        return a - per_row * ROWS[0] + per_row

    others = [d for d in range(one.dim()) if d != rows[0]]
    return RowLayout(
        rows[0],
        within_a_row(int(one.storage_offset()), int(two.storage_offset())),
        {d: one.shape[d] for d in others},
        {d: within_a_row(one.stride(d), two.stride(d)) for d in others},
    )


def contiguous_runs(dims: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """(first, length, stride 0 or 1) of the runs that make up a row of `dims`: sizes and strides."""
    merged: list[tuple[int, int]] = []
    for size, stride in dims:
        if merged and merged[-1][1] == size * stride:
            merged[-1] = (merged[-1][0] * size, stride)
        else:
            merged.append((size, stride))
    if not merged:
        return [(0, 1, 1)]
    if merged[-1][1] not in (0, 1):
        merged.append((1, 1))
    *outer, (length, stride) = merged
    firsts = [0]
    for size, step in outer:
        firsts = [first + i * step for first in firsts for i in range(size)]
    return [(first, length, stride) for first in firsts]
