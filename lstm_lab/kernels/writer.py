"""From two takes of a step, with 7 rows and with 11, to the tape of its way forward."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from lstm_lab.kernels.rules import RULES, runs_of
from lstm_lab.kernels.tape import ROWS, Call, Move, Ref, Refused, Rows, Slot, Tape

_MOST_RUNS = 256


class Node(NamedTuple):
    """One tensor of the step."""

    depends: int
    """0: on weights alone, 1: on the input, 2: on the state."""
    pair: tuple[Tensor, Tensor]
    """As it was with either number of rows."""
    base: Any
    """Who owns its memory: the node's number, or the first element of the field in the record."""


class Inside(NamedTuple):
    """How a tensor lies within each row."""

    row: int
    """Which of its dimensions counts the rows."""
    at: int
    sizes: dict[int, int]
    strides: dict[int, int]


class Writer:
    """From two takes of a step to the tape of the way forward."""

    def __init__(self, leaves: dict[str, Tensor], one: tuple, two: tuple) -> None:
        self.tape = Tape()
        self.nodes: list[Node] = []
        self.known: dict[int, int] = {}  # id of a tensor of the first take -> its node
        self.owners: dict[int, Any] = {}  # where its memory begins -> base
        self.makers: dict[int, tuple] = {}  # node of the prologue -> the pointwise operation that made it
        self.sunk: dict[int, int] = {}  # such a node -> its field, once the tape does the operation itself
        self.one, self.two = one, two
        for name, leaf in leaves.items():
            self.tape.leaves[self.node(0, (leaf, leaf))] = name
        self.tape.x = self.node(1, (one[0], two[0]))
        for pair in zip(one[1], two[1], strict=True):
            self.tape.state.append(pair[0].shape[1])
            number = self.node(2, pair, base=self.field(pair[0].shape[1]))
            start = Slot("record", self.nodes[number].base)
            part = len(self.tape.state) - 1
            self.tape.moves.append(Move("COPY", start, (Slot(f"state{part}", 0),), pair[0].shape[1]))

    def node(self, depends: int, pair: tuple[Tensor, Tensor], base: Any = None) -> int:
        """Enter a tensor, as it was in either take; returns its number. `base` as of `Node`."""
        number = len(self.nodes)
        owner = pair[0].untyped_storage().data_ptr()
        if base is None:
            base = self.owners.get(owner, number)
        if owner:
            self.owners.setdefault(owner, base)
        self.nodes.append(Node(depends, pair, base))
        self.known[id(pair[0])] = number
        return number

    def field(self, width: int) -> int:
        """Room for `width` elements in the record; returns the first."""
        self.tape.fields.append((self.tape.width, width))
        self.tape.width += width
        return self.tape.width - width

    def write(self) -> None:
        calls, again = self.one[2], self.two[2]
        if [call[0] for call in calls] != [call[0] for call in again]:
            raise Refused("the step does other things for another number of rows")
        for one, two in zip(calls, again, strict=True):
            if one[0] is torch.ops.aten.lift_fresh.default:  # torch.tensor(...): numbers, whatever the input
                if not torch.equal(one[3], two[3]):
                    raise Refused("the step does other things for another number of rows")
                self.tape.numbers[self.node(0, (one[3], two[3]))] = one[3]
            else:
                self._take(one, two)
        self._end()

    def _take(self, one: tuple, two: tuple) -> None:
        """Write down one operation, as it was called in either take: function, arguments and result."""
        (function, args, kwargs, out), (_, args2, kwargs2, out2) = one, two
        name = function.overloadpacket.__name__
        flat, form = tree_flatten((args, kwargs))
        flat2, _ = tree_flatten((args2, kwargs2))
        for value in flat:
            if isinstance(value, Tensor) and id(value) not in self.known:
                raise Refused(f"{function} reads a tensor that is neither parameter, buffer, input nor state")
        numbers = [self.known[id(value)] for value in flat if isinstance(value, Tensor)]
        # Shapes may tell the number of rows; what is computed with may not.
        fixed = name.startswith("new_") or all(
            isinstance(a, Tensor) or a == b for a, b in zip(flat, flat2, strict=True)
        )
        depends = max((self.nodes[number].depends for number in numbers), default=0)
        pairs = [
            pair for pair in zip(tree_flatten(out)[0], tree_flatten(out2)[0], strict=True)
            if isinstance(pair[0], Tensor)
        ]  # fmt: skip
        if depends < 2:
            # Made from nothing, yet as many as there are rows: zeros for each, say.
            depends = max(depends, int(any(a.shape != b.shape for a, b in pairs)))
            arguments = _named(form, flat, flat2, self.known)
            made = [self.node(depends, pair) for pair in pairs]
            self.tape.prologue.append(Call(function, arguments, made))
            if depends and fixed and name in RULES and self.nodes[made[0]].base == made[0]:
                self.makers[made[0]] = (function, args, kwargs, pairs)
        elif pairs[0][0].untyped_storage().data_ptr() in self.owners:
            for pair in pairs:
                self.node(2, pair)
        elif not fixed:
            raise Refused(f"{function} computes with the number of rows")
        else:
            self._emit(function, args, kwargs, pairs)

    def _end(self) -> None:
        shown = (self.one[3], self.two[3])
        parts = list(zip(self.one[4], self.two[4], strict=True))
        if [part[0].shape[1:] for part in parts] != [(width,) for width in self.tape.state]:
            raise Refused("the new state has other shapes than the old one")
        self.tape.out = shown[0].shape[1]
        ends = []
        for pair in (shown, *parts):
            slot = self.dense(pair)
            if slot.space == "record" and slot.at < sum(self.tape.state):
                # A part of the old state that goes on: on the way back its place is needed for what it gets.
                slot = self.put("COPY", pair[0].shape[1], slot)
            ends.append(slot)
        self.tape.moves.append(Move("COPY", Slot("out", 0), (ends[0],), self.tape.out))
        for part, (slot, width) in enumerate(zip(ends[1:], self.tape.state, strict=True)):
            self.tape.moves.append(Move("COPY", Slot(f"state{part}", 0), (slot,), width))
        self._forget_unused()

    def _forget_unused(self) -> None:
        """What the tape does itself need not be done before."""
        wanted = {node for node, *_ in (*self.tape.feeds, *self.tape.consts, *self.tape.matrices)}
        kept = []
        for call in reversed(self.tape.prologue):
            if wanted & set(call.outputs):
                kept.append(call)
                wanted |= {ref.node for ref in tree_flatten(call.arguments)[0] if isinstance(ref, Ref)}
        self.tape.prologue = kept[::-1]

    # ---- where things lie

    def inside(self, pair: tuple[Tensor, Tensor]) -> Inside:
        """How it lies within a row.

        Raises:
            Refused: it mixes rows.
        """
        one, two = pair
        rows = [d for d, (a, b) in enumerate(zip(one.shape, two.shape, strict=True)) if a != b]
        if len(rows) != 1 or (one.shape[rows[0]], two.shape[rows[0]]) != ROWS:
            raise Refused("a tensor mixes rows")

        def without_rows(a: int, b: int) -> int:
            """From a + b n elements for n rows to those within one row."""
            per, rest = divmod(b - a, ROWS[1] - ROWS[0])
            if rest:
                raise Refused("a tensor mixes rows")
            return a - per * ROWS[0] + per

        others = [d for d in range(one.dim()) if d != rows[0]]
        return Inside(
            rows[0],
            without_rows(int(one.storage_offset()), int(two.storage_offset())),
            {d: one.shape[d] for d in others},
            {d: without_rows(one.stride(d), two.stride(d)) for d in others},
        )

    def find(self, pair: tuple[Tensor, Tensor]) -> tuple[str, int]:
        """Space and first element of whatever owns the memory of a tensor that depends on rows."""
        node = self.nodes[self.number(pair[0])]
        if node.depends == 2:
            return "record", node.base
        if node.base in self.makers:
            # Cheaper here than for all steps before, while the row is in the cache; if there is a rule for it.
            if node.base not in self.sunk:
                self.sunk[node.base] = self._sink(node.base)
            if self.sunk[node.base] >= 0:
                return "record", self.sunk[node.base]
        base = self.nodes[node.base]
        lies = self.inside(base.pair)
        order = sorted(lies.sizes, key=lambda d: -lies.strides[d])
        width = math.prod(lies.sizes.values())
        feed = (node.base, (lies.row, *order), width)
        if feed not in self.tape.feeds:
            self.tape.feeds.append(feed)
        return f"feed{self.tape.feeds.index(feed)}", 0

    def number(self, tensor: Tensor) -> int:
        if id(tensor) not in self.known:
            raise Refused("the step returns a tensor that it did not compute")
        return self.known[id(tensor)]

    def dense(self, pair: tuple[Tensor, Tensor], shape: Any = None, order: Sequence[int] | None = None) -> Slot:
        """Where a tensor's elements lie one after another, copied there if they did not.

        Args:
            shape: pair of shapes to spread it over, as torch broadcasts.
            order: of the dimensions within a row; as they come if absent.
        """
        space, start = self.find(pair)
        if shape is not None:
            pair = (pair[0].expand(shape[0]), pair[1].expand(shape[1]))
        lies = self.inside(pair)
        order = [d for d in (range(pair[0].dim()) if order is None else order) if d != lies.row]
        dims = [(lies.sizes[d], lies.strides[d]) for d in order if lies.sizes[d] != 1]
        width, at = math.prod(size for size, _ in dims), start + lies.at
        runs = runs_of(dims)
        if len(runs) == 1 and (runs[0][2] == 1 or width == 1):
            return Slot(space, at)
        if len(runs) > _MOST_RUNS:
            raise Refused("a tensor lies in too many pieces")
        to = self.field(width)
        for first, length, stride in runs:
            kind = "COPY" if stride == 1 or length == 1 else "EXPAND"
            self.tape.moves.append(Move(kind, Slot("record", to), (Slot(space, at + first),), length))
            to += length
        return Slot("record", to - width)

    def const(self, number: int, shape: Sequence[int], order: Sequence[int]) -> Slot:
        """Where something that all rows share lies, spread over a shape with one row."""
        width = math.prod(shape)
        entry = (number, tuple(shape), tuple(order), width)
        if entry not in self.tape.consts:
            self.tape.consts.append(entry)
        return Slot("const", sum(width for *_, width in self.tape.consts[: self.tape.consts.index(entry)]))

    # ---- what is done

    def put(self, kind: str, width: int, *arguments: Slot, s: float = 1.0, s2: float = 0.0, matrix: int = -1) -> Slot:
        to = Slot("record", self.field(width))
        self.tape.moves.append(Move(kind, to, arguments, width, s, s2, matrix))
        return to

    def _sink(self, node: int) -> int:
        """The field of what the prologue would have made, made by the tape; -1 where it cannot."""
        before = len(self.tape.moves), len(self.tape.fields), self.tape.width
        try:
            return self._do(*self.makers[node]).at
        except Refused:
            del self.tape.moves[before[0] :], self.tape.fields[before[1] :]
            self.tape.width = before[2]
            self.sunk = {made: at for made, at in self.sunk.items() if at < self.tape.width}
            return -1

    def _do(self, function: Any, args: tuple, kwargs: dict, pairs: list[tuple[Tensor, Tensor]]) -> Slot:
        name = function.overloadpacket.__name__
        rule = RULES.get(name)
        if rule is None:
            raise Refused(f"no tape for {function}")
        return rule(self, name, pairs[0], args, kwargs)

    def _emit(self, function: Any, args: tuple, kwargs: dict, pairs: list[tuple[Tensor, Tensor]]) -> None:
        self.node(2, pairs[0], base=self._do(function, args, kwargs, pairs).at)

    def twin(self, tensor: Tensor) -> tuple[Tensor, Tensor]:
        """A tensor of the first take with its like of the second."""
        return self.nodes[self.number(tensor)].pair

    def operand(self, value: Tensor, out: tuple[Tensor, Tensor]) -> Slot:
        """An argument of a pointwise operation, laid out as its result is."""
        lies = self.inside(out)
        order = sorted(lies.sizes, key=lambda d: -lies.strides[d])
        node = self.nodes[self.number(value)]
        if node.depends == 0:
            shape = [1 if d == lies.row else n for d, n in enumerate(out[0].shape)]
            return self.const(self.known[id(value)], shape, (lies.row, *order))
        return self.dense(node.pair, (out[0].shape, out[1].shape), order)


def _named(form: Any, flat: list, flat2: list, known: dict[int, int]) -> Any:
    """Arguments of a call with nodes for tensors and `Rows` for numbers of rows."""
    values: list[Any] = []
    for one, two in zip(flat, flat2, strict=True):
        if isinstance(one, Tensor):
            values.append(Ref(known[id(one)]))
        elif one != two:
            if (one, two) != ROWS:
                raise Refused(f"an argument depends on the number of rows: {one} for {ROWS[0]}")
            values.append(Rows())
        else:
            values.append(one)
    return tree_unflatten(values, form)
