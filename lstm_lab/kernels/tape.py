"""The step of any cell as a tape: a list of small operations on rows, which the engine plays over whole sequences.

The step runs twice on made-up rows, 7 and then 11 of them, while every operation is written down: what depends on the
number of rows is told from what does not. What does not depend on the state is left to torch, for all steps at once (the
*prologue*: `W x + b` above all). The rest becomes the tape, and its reversal is derived here, operation by operation, by
the rules of calculus. A step that does what is not written below is refused with a reason, and runs through torch.

Spaces are where rows lie: `record` keeps what the way back needs of a step, `spare` is the rest of it, `feed0`, `feed1`, ... what the prologue gives each row,
`const` what all rows share, `state0`, ... the state of each sample, `out` what is shown. Their gradients lie in `grad`
(of one block of rows, forgotten with it), `product` (of what matrices gave: kept, for the gradients of the matrices),
`dfeed0`, ..., `dconst`, `carry0`, ... and `dout`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

ROWS = (7, 11)
_MOST_RUNS = 256

KINDS = (
    "FILL COPY PLUS TIMES OVER LINEAR SIGMOID TANH RELU EXP LOG LOGSIGMOID SOFTPLUS SQRT ABS MOST_OF LEAST_OF "
    "EXPAND TOTAL PRODUCT NORMAL D_SIGMOID D_TANH D_RELU D_OVER D_LOGSIGMOID D_SOFTPLUS D_SQRT D_ABS D_MOST D_LEAST "
    "D_NORMAL SUM_ROWS SUM_TIMES"
).split()
"""As `enum Kind` in tape.h numbers them."""


class Refused(Exception):
    """Why a step cannot become a tape, in one line."""


class Slot(NamedTuple):
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
    back: list[Move] = field(default_factory=list)
    product: int = 0
    """Elements of a row of `product`."""
    local: int = 0
    """Elements of a row of `grad`."""
    met: list[tuple[int, Slot, Slot]] = field(default_factory=list)
    """For each product: matrix, what it multiplied, where the gradient of the result lies."""

    @property
    def const(self) -> int:
        return sum(width for *_, width in self.consts)


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple, dict, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise Refused(f"{func} draws random numbers")
        if func._schema.is_mutable:
            raise Refused(f"{func} writes into its argument")
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, out))
        return out


def record(
    step: Callable[[Tensor, Any], tuple[Tensor, Any]],
    state: Callable[..., Any],
    leaves: dict[str, Tensor],
    input_size: int,
    widths: Sequence[int],
) -> Tape:
    """A tape of a step, and of the way back.

    Args:
        step: (N, I) and a state -> what is shown (N, H), and the new state.
        state: makes a state of its parts, (N, width) each.
        leaves: parameters and buffers by name; the only tensors that the step may bring along.

    Raises:
        Refused: the step does what a tape cannot.
    """
    taken = []
    dtype = next(iter(leaves.values())).dtype if leaves else torch.get_default_dtype()
    for rows in ROWS:
        x, *parts = (torch.linspace(-0.9, 0.7, rows * n, dtype=dtype).reshape(rows, n) for n in (input_size, *widths))
        recorder = _Recorder()
        with torch.no_grad(), recorder:
            shown, new = step(x, state(*parts))
        taken.append((x, parts, recorder.calls, shown, list(new)))
    writer = _Writer(leaves, *taken)
    writer.write()
    reverse(writer.tape)
    settle(writer.tape)
    return writer.tape


class _Writer:
    """From two takes of a step to the tape of the way forward."""

    def __init__(self, leaves: dict[str, Tensor], one: tuple, two: tuple) -> None:
        self.tape = Tape()
        self.nodes: list[Node] = []
        self.known: dict[int, int] = {}  # id of a tensor of the first take -> its node
        self.owners: dict[int, Any] = {}  # where its memory begins -> base
        self.one, self.two = one, two
        for name, leaf in leaves.items():
            self.tape.leaves[self._node(0, (leaf, leaf))] = name
        self.tape.x = self._node(1, (one[0], two[0]))
        for pair in zip(one[1], two[1], strict=True):
            self.tape.state.append(pair[0].shape[1])
            number = self._node(2, pair, base=self._field(pair[0].shape[1]))
            start = Slot("record", self.nodes[number].base)
            part = len(self.tape.state) - 1
            self.tape.moves.append(Move("COPY", start, (Slot(f"state{part}", 0),), pair[0].shape[1]))

    def _node(self, depends: int, pair: tuple[Tensor, Tensor], base: Any = None) -> int:
        number = len(self.nodes)
        owner = pair[0].untyped_storage().data_ptr()
        if base is None:
            base = self.owners.get(owner, number)
        if owner:
            self.owners.setdefault(owner, base)
        self.nodes.append(Node(depends, pair, base))
        self.known[id(pair[0])] = number
        return number

    def _field(self, width: int) -> int:
        self.tape.fields.append((self.tape.width, width))
        self.tape.width += width
        return self.tape.width - width

    def write(self) -> None:
        calls, again = self.one[2], self.two[2]
        if [call[0] for call in calls] != [call[0] for call in again]:
            raise Refused("the step does other things for another number of rows")
        for (function, args, kwargs, out), (_, args2, kwargs2, out2) in zip(calls, again, strict=True):
            flat, form = tree_flatten((args, kwargs))
            flat2, _ = tree_flatten((args2, kwargs2))
            for value in flat:
                if isinstance(value, Tensor) and id(value) not in self.known:
                    raise Refused(f"{function} reads a tensor that is neither parameter, buffer, input nor state")
            numbers = [self.known[id(value)] for value in flat if isinstance(value, Tensor)]
            depends = max((self.nodes[number].depends for number in numbers), default=0)
            pairs = [
                pair for pair in zip(tree_flatten(out)[0], tree_flatten(out2)[0], strict=True)
                if isinstance(pair[0], Tensor)
            ]  # fmt: skip
            if depends < 2:
                # Made from nothing, yet as many as there are rows: zeros for each, say.
                depends = max(depends, int(any(a.shape != b.shape for a, b in pairs)))
                arguments = tree_unflatten_with(form, flat, flat2, self.known)
                self.tape.prologue.append(Call(function, arguments, [self._node(depends, pair) for pair in pairs]))
                continue
            owner = pairs[0][0].untyped_storage().data_ptr()
            if owner in self.owners:
                for pair in pairs:
                    self._node(2, pair)
            else:
                self._emit(function, args, kwargs, pairs)
        self._end()

    def _end(self) -> None:
        shown = (self.one[3], self.two[3])
        parts = list(zip(self.one[4], self.two[4], strict=True))
        if [part[0].shape[1:] for part in parts] != [(width,) for width in self.tape.state]:
            raise Refused("the new state has other shapes than the old one")
        self.tape.out = shown[0].shape[1]
        ends = [self._dense(shown)]
        for pair in parts:
            slot = self._dense(pair)
            if slot.space == "record" and slot.at < sum(self.tape.state):  # a part that passes: where the old one lies
                slot = self._put("COPY", pair[0].shape[1], slot)
            ends.append(slot)
        self.tape.moves.append(Move("COPY", Slot("out", 0), (ends[0],), self.tape.out))
        for part, (slot, width) in enumerate(zip(ends[1:], self.tape.state, strict=True)):
            self.tape.moves.append(Move("COPY", Slot(f"state{part}", 0), (slot,), width))

    # ---- where things lie

    def _inside(self, pair: tuple[Tensor, Tensor]) -> Inside:
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
            without_rows(one.storage_offset(), two.storage_offset()),
            {d: one.shape[d] for d in others},
            {d: without_rows(one.stride(d), two.stride(d)) for d in others},
        )

    def _find(self, pair: tuple[Tensor, Tensor]) -> tuple[str, int]:
        """Space and first element of whatever owns the memory of a tensor that depends on rows."""
        node = self.nodes[self._number(pair[0])]
        if node.depends == 2:
            return "record", node.base
        base = self.nodes[node.base]
        lies = self._inside(base.pair)
        order = sorted(lies.sizes, key=lambda d: -lies.strides[d])
        width = math.prod(lies.sizes.values())
        feed = (node.base, (lies.row, *order), width)
        if feed not in self.tape.feeds:
            self.tape.feeds.append(feed)
        return f"feed{self.tape.feeds.index(feed)}", 0

    def _number(self, tensor: Tensor) -> int:
        if id(tensor) not in self.known:
            raise Refused("the step returns a tensor that it did not compute")
        return self.known[id(tensor)]

    def _dense(self, pair: tuple[Tensor, Tensor], shape: Any = None, order: Sequence[int] | None = None) -> Slot:
        """Where a tensor's elements lie one after another, copied there if they did not.

        Args:
            shape: pair of shapes to spread it over, as torch broadcasts.
            order: of the dimensions within a row; as they come if absent.
        """
        space, start = self._find(pair)
        if shape is not None:
            pair = (pair[0].expand(shape[0]), pair[1].expand(shape[1]))
        lies = self._inside(pair)
        order = [d for d in (range(pair[0].dim()) if order is None else order) if d != lies.row]
        dims = [(lies.sizes[d], lies.strides[d]) for d in order if lies.sizes[d] != 1]
        width, at = math.prod(size for size, _ in dims), start + lies.at
        runs = _runs(dims)
        if len(runs) == 1 and (runs[0][2] == 1 or width == 1):
            return Slot(space, at)
        if len(runs) > _MOST_RUNS:
            raise Refused("a tensor lies in too many pieces")
        to = self._field(width)
        for first, length, stride in runs:
            kind = "COPY" if stride == 1 or length == 1 else "EXPAND"
            self.tape.moves.append(Move(kind, Slot("record", to), (Slot(space, at + first),), length))
            to += length
        return Slot("record", to - width)

    def _const(self, number: int, shape: Sequence[int], order: Sequence[int]) -> Slot:
        """Where something that all rows share lies, spread over a shape with one row."""
        width = math.prod(shape)
        entry = (number, tuple(shape), tuple(order), width)
        if entry not in self.tape.consts:
            self.tape.consts.append(entry)
        return Slot("const", sum(width for *_, width in self.tape.consts[: self.tape.consts.index(entry)]))

    # ---- what is done

    def _put(self, kind: str, width: int, *arguments: Slot, s: float = 1.0, s2: float = 0.0, matrix: int = -1) -> Slot:
        to = Slot("record", self._field(width))
        self.tape.moves.append(Move(kind, to, arguments, width, s, s2, matrix))
        return to

    def _emit(self, function: Any, args: tuple, kwargs: dict, pairs: list[tuple[Tensor, Tensor]]) -> None:
        name = function.overloadpacket.__name__
        rule = _RULES.get(name)
        if rule is None:
            raise Refused(f"no tape for {function}")
        slot = rule(self, name, pairs[0], args, kwargs)
        self._node(2, pairs[0], base=slot.at)

    def twin(self, tensor: Tensor) -> tuple[Tensor, Tensor]:
        return self.nodes[self._number(tensor)].pair

    def operand(self, value: Tensor, out: tuple[Tensor, Tensor]) -> Slot:
        """An argument of a pointwise operation, laid out as its result is."""
        lies = self._inside(out)
        order = sorted(lies.sizes, key=lambda d: -lies.strides[d])
        node = self.nodes[self._number(value)]
        if node.depends == 0:
            shape = [1 if d == lies.row else n for d, n in enumerate(out[0].shape)]
            return self._const(self.known[id(value)], shape, (lies.row, *order))
        return self._dense(node.pair, (out[0].shape, out[1].shape), order)


def tree_unflatten_with(form: Any, flat: list, flat2: list, known: dict[int, int]) -> Any:
    """Arguments of a call with nodes for tensors and `Rows` for numbers of rows."""
    values = []
    for one, two in zip(flat, flat2, strict=True):
        if isinstance(one, Tensor):
            values.append(Ref(known[id(one)]))
        elif one != two:
            if (one, two) != ROWS:
                raise Refused(f"an argument depends on the number of rows: {one} for {ROWS[0]}")
            values.append(Rows())
        else:
            values.append(one)
    return torch.utils._pytree.tree_unflatten(values, form)


@dataclass(frozen=True)
class Ref:
    """A node among the arguments of a call."""

    node: int


@dataclass(frozen=True)
class Rows:
    """The number of rows among the arguments of a call."""


def replay(call: Call, values: dict[int, Tensor], rows: int) -> None:
    """Do an operation of the prologue for as many rows as there are."""

    def real(value: Any) -> Any:
        return values[value.node] if isinstance(value, Ref) else rows if isinstance(value, Rows) else value

    args, kwargs = tree_map(real, call.arguments, is_leaf=lambda value: isinstance(value, (Ref, Rows)))
    out = call.function(*args, **kwargs)
    for node, value in zip(call.outputs, tree_flatten(out)[0], strict=True):
        values[node] = value


def _runs(dims: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """(first, length, stride 0 or 1) of pieces that follow each other in a row of `dims`: sizes and strides."""
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


# ---- what a step may do: name -> (writer, name, pair of results, arguments) -> where the result lies


def _width(pair: tuple[Tensor, Tensor]) -> int:
    return pair[0].numel() // ROWS[0]


def _unary(kind: str) -> Callable:
    def rule(w: _Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
        return w._put(kind, _width(out), w.operand(args[0], out))

    return rule


def _sum(w: _Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
    a, b, scale = args[0], args[1], float(kwargs.get("alpha", args[2] if len(args) > 2 else 1))
    if name == "rsub":
        a, b = b, a
    sign = scale if name == "add" else -scale
    if not isinstance(b, Tensor):
        return w._put("LINEAR", _width(out), w.operand(a, out), s2=sign * b)
    if not isinstance(a, Tensor):
        return w._put("LINEAR", _width(out), w.operand(b, out), s=sign, s2=float(a))
    return w._put("PLUS", _width(out), w.operand(a, out), w.operand(b, out), s=sign)


def _times(w: _Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
    a, b = args[:2]
    if kwargs.get("rounding_mode"):
        raise Refused("rounded division")
    if not isinstance(a, Tensor):
        a, b = b, a
    if not isinstance(b, Tensor):
        return w._put("LINEAR", _width(out), w.operand(a, out), s=float(b) if name == "mul" else 1 / b)
    return w._put("TIMES" if name == "mul" else "OVER", _width(out), w.operand(a, out), w.operand(b, out))


def _binary(kind: str) -> Callable:
    def rule(w: _Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
        return w._put(kind, _width(out), w.operand(args[0], out), w.operand(args[1], out))

    return rule


def _linear(s: float, s2: float = 0.0) -> Callable:
    def rule(w: _Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
        return w._put("LINEAR", _width(out), w.operand(args[0], out), s=s, s2=s2)

    return rule


def _reciprocal(w: _Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
    a, width = w.operand(args[0], out), _width(out)
    return w._put("OVER", width, w._put("FILL", width), w._put("SQRT", width, a) if name == "rsqrt" else a)


def _power(w: _Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
    if len(args) > 1 and args[1] != 2:
        raise Refused(f"no tape for the power {args[1]}")
    a = w.operand(args[0], out)
    return w._put("TIMES", _width(out), a, a)


def _softplus(w: _Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
    if len(args) > 1 and args[1] != 1:
        raise Refused("softplus with a slope")
    return w._put("SOFTPLUS", _width(out), w.operand(args[0], out))


def _silu(w: _Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
    a, width = w.operand(args[0], out), _width(out)
    return w._put("TIMES", width, a, w._put("SIGMOID", width, a))


def _logaddexp(w: _Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
    a, b, width = w.operand(args[0], out), w.operand(args[1], out), _width(out)
    return w._put("PLUS", width, a, w._put("SOFTPLUS", width, w._put("PLUS", width, b, a, s=-1.0)))


def _filled(w: _Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
    value = 1.0 if "ones" in name else 0.0 if "zeros" in name else float(args[1] if name == "full_like" else args[2])
    return w._put("FILL", _width(out), s=value)


def _copy(w: _Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
    if out[0].dtype is not args[0].dtype:
        raise Refused("a change of type")
    return w._put("COPY", _width(out), w.operand(args[0], out))


def _cat(w: _Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
    """Each tensor copied to its place in the result."""
    dim, to = args[1] if len(args) > 1 else kwargs.get("dim", 0), w._field(_width(out))
    dim, lies, at = dim % out[0].dim(), w._inside(out), 0
    if dim == lies.row:
        raise Refused("rows joined to rows")
    for tensor in args[0]:
        size = tensor.shape[dim] if name == "cat" else 1
        place = (out[0].narrow(dim, at, size), out[1].narrow(dim, at, size))
        at += size
        within = w._inside(place)
        order = sorted(within.sizes, key=lambda d: -lies.strides[d])
        runs = _runs([(within.sizes[d], within.strides[d]) for d in order if within.sizes[d] != 1])
        node = w.nodes[w._number(tensor)]
        if node.depends == 0:
            raise Refused("weights joined to rows")
        source = w._dense(node.pair, None, order if name == "cat" else [d - (d > dim) for d in order if d != dim])
        for first, length, _ in runs:
            w.tape.moves.append(Move("COPY", Slot("record", to + within.at + first), (source,), length))
            source = Slot(source.space, source.at + length)
    return Slot("record", to)


def _reduced(w: _Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
    pair = w.twin(args[0])
    dims = [d % pair[0].dim() for d in (args[1] if len(args) > 1 and args[1] is not None else range(pair[0].dim()))]
    lies = w._inside(pair)
    if lies.row in dims:
        raise Refused("a sum over rows")
    kept = [d for d in lies.sizes if d not in dims]
    length = math.prod(lies.sizes[d] for d in dims)
    source = w._dense(pair, None, [*kept, *sorted(dims)])
    to = w._field(_width(out))
    for i in range(_width(out)):
        place = Slot(source.space, source.at + i * length)
        scale = 1 / length if name == "mean" else 1.0
        w.tape.moves.append(Move("TOTAL", Slot("record", to + i), (place,), length, scale))
    return Slot("record", to)


def _normal(w: _Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
    x, shape, gain, shift, epsilon = args
    width = _width(out)
    if math.prod(shape) != width:
        raise Refused("a normalisation of a part of each row")
    moments = Slot("record", w._field(2))
    slot = w._put("NORMAL", width, w.operand(x, out), moments, moments, s=float(epsilon))
    if gain is not None:
        slot = w._put("TIMES", width, slot, w.operand(gain, out))
    if shift is not None:
        slot = w._put("PLUS", width, slot, w.operand(shift, out))
    return slot


def _product(w: _Writer, name: str, out: Any, args: tuple, kwargs: dict) -> Slot:
    """mm, addmm: (rows, k) (k, n); bmm: (heads, rows, k) (heads, k, n)."""
    if any(float(kwargs.get(key, 1)) != 1 for key in ("alpha", "beta")):
        raise Refused("a scaled product")
    bias, (a, M) = (args[0], args[1:3]) if name == "addmm" else (None, args[:2])
    if w.nodes[w._number(M)].depends or not w.nodes[w._number(a)].depends:
        raise Refused("a product of two tensors that both depend on the rows")
    pair, number = w.twin(a), w.known[id(M)]
    lies = w._inside(pair)
    if lies.row != pair[0].dim() - 2:
        raise Refused("a product over rows")
    heads = [None] if name != "bmm" else list(range(len(M)))
    k, n = M.shape[-2:]
    to = w._field(n * len(heads))
    for i, head in enumerate(heads):
        part = pair if head is None else (pair[0][head], pair[1][head])
        if head is not None:
            w._node(w.nodes[w._number(a)].depends, part)
        entry = (number, head, k, n)
        if entry not in w.tape.matrices:
            w.tape.matrices.append(entry)
        source = w._dense(part)
        move = Move("PRODUCT", Slot("record", to + i * n), (source,), n, matrix=w.tape.matrices.index(entry))
        w.tape.moves.append(move)
    result = Slot("record", to)
    return result if bias is None else w._put("PLUS", n, result, w.operand(bias, out))


_RULES: dict[str, Callable] = {
    "sigmoid": _unary("SIGMOID"), "tanh": _unary("TANH"), "relu": _unary("RELU"), "exp": _unary("EXP"),
    "log": _unary("LOG"), "log_sigmoid_forward": _unary("LOGSIGMOID"), "sqrt": _unary("SQRT"), "abs": _unary("ABS"),
    "add": _sum, "sub": _sum, "rsub": _sum, "mul": _times, "div": _times, "neg": _linear(-1.0),
    "maximum": _binary("MOST_OF"), "minimum": _binary("LEAST_OF"), "logaddexp": _logaddexp,
    "reciprocal": _reciprocal, "rsqrt": _reciprocal, "pow": _power, "square": _power, "softplus": _softplus,
    "silu": _silu, "zeros_like": _filled, "ones_like": _filled, "full_like": _filled, "new_zeros": _filled,
    "new_ones": _filled, "new_full": _filled, "clone": _copy, "_to_copy": _copy, "cat": _cat, "stack": _cat,
    "sum": _reduced, "mean": _reduced, "native_layer_norm": _normal, "mm": _product, "addmm": _product, "bmm": _product,
}  # fmt: skip


# ---- the way back


class _Cover:
    """Which elements of the gradients have been written in this step: the first write sets, later ones add."""

    def __init__(self) -> None:
        self.written: dict[str, list[tuple[int, int]]] = {}

    def missing(self, slot: Slot, width: int) -> list[tuple[int, int]]:
        gaps, at, end = [], slot.at, slot.at + width
        for first, last in sorted(self.written.get(slot.space, ())):
            if last <= at or first >= end:
                continue
            if first > at:
                gaps.append((at, first))
            at = max(at, last)
        return gaps + ([(at, end)] if at < end else [])

    def add(self, space: str, first: int, last: int) -> None:
        self.written.setdefault(space, []).append((first, last))


class _Reverser:
    def __init__(self, tape: Tape) -> None:
        self.tape, self.cover = tape, _Cover()
        self.firsts = sorted(at for at, _ in tape.fields)
        self.places: dict[int, Slot] = {}  # first element of a field -> where its gradient lies
        at = 0
        for part, width in enumerate(tape.state):
            self.places[at] = Slot(f"carry{part}", 0)
            at += width
        self.made = {self.owner(move.to.at) for move in tape.moves if move.kind == "PRODUCT"}
        for fields, feed in self.sums():
            if feed is not None:
                place = Slot(f"d{feed}", 0)
            elif self.made & set(fields):
                place = self.kept(dict(tape.fields)[fields[0]])
            else:
                place = Slot("grad", fields[0])
            self.places.update(dict.fromkeys(fields, place))
        for at, width in tape.fields:
            if at in self.made and at not in self.places:
                self.places[at] = self.kept(width)
        tape.local = tape.width

    def owner(self, at: int) -> int:
        """First element of the field that an element of the record belongs to."""
        return self.firsts[bisect_right(self.firsts, at) - 1]

    def kept(self, width: int) -> Slot:
        self.tape.product += width
        return Slot("product", self.tape.product - width)

    def sums(self) -> list[tuple[list[int], str | None]]:
        """A sum gives its own gradient to its terms: fields, and a feed, that can have theirs in one place.

        These are a sum and those terms of it that nothing else reads.
        """
        uses = [slot for move in self.tape.moves for slot in move.arguments]
        groups: dict[int, tuple[list[int], str | None]] = {}
        for move in reversed(self.tape.moves):
            if move.kind != "PLUS" or move.s != 1 or (move.to.at, move.width) not in self.tape.fields:
                continue
            fields, feed = groups.get(move.to.at, ([move.to.at], None))
            for slot in move.arguments:
                read = sum(u.space == slot.space and slot.at <= u.at < slot.at + move.width for u in uses)
                if slot.space == "record":
                    whole = (slot.at, move.width) in self.tape.fields and slot.at not in self.places
                    if whole and read == 1:
                        fields.append(slot.at)
                elif slot.space.startswith("feed") and feed is None and read == 1:
                    feed = slot.space if self.tape.feeds[int(slot.space[4:])][2] == move.width else None
            groups.update(dict.fromkeys(fields, (fields, feed)))
        return [group for at, group in groups.items() if len(group[0]) > 1 or group[1] is not None]

    def grad(self, slot: Slot) -> Slot:
        """Where the gradient of something lies."""
        if slot.space == "record":
            first = self.owner(slot.at)
            place = self.places.get(first, Slot("grad", first))
            return Slot(place.space, place.at + slot.at - first)
        return Slot(f"d{slot.space}", slot.at)  # of what is fed, or shared by all rows

    def pieces(self, slot: Slot, width: int) -> list[tuple[int, int]]:
        """[first, last) of a slot, cut where the gradient's place changes."""
        if slot.space != "record":
            return [(0, width)]
        ordered = [0, *(first - slot.at for first in self.firsts if 0 < first - slot.at < width), width]
        return list(zip(ordered[:-1], ordered[1:], strict=True))

    def fill(self, slot: Slot, width: int) -> None:
        """Zeros where nothing has been written."""
        for first, last in self.cover.missing(slot, width):
            self.tape.back.append(Move("FILL", Slot(slot.space, first), (), last - first, 0.0))
            self.cover.add(slot.space, first, last)

    def to(
        self,
        slot: Slot,
        kind: str,
        arguments: tuple[Slot, ...],
        width: int,
        s: float = 1.0,
        matrix: int = -1,
        of: int | None = None,
    ) -> None:
        """Add kind(arguments) to the gradient of a slot with `of` elements, by default `width`."""
        place, size = self.grad(slot), width if of is None else of
        if kind == "COPY" and arguments == (place,):
            return  # A term whose gradient is that of the sum.
        if len(self.pieces(slot, size)) > 1:
            raise Refused(f"the gradient that {kind} gives lies in pieces")
        if place.space == "dconst":
            if kind == "TIMES":
                self.tape.back.append(Move("SUM_TIMES", place, arguments, width, add=True))
                return
            if kind != "COPY":
                spare = Slot("grad", self.tape.local)
                self.tape.local += width
                self.tape.back.append(Move(kind, spare, arguments, width, s))
                arguments = (spare,)
            self.tape.back.append(Move("SUM_ROWS", place, arguments, width, add=True))
            return
        fresh = self.cover.missing(place, size) == [(place.at, place.at + size)]
        if not fresh:
            self.fill(place, size)
        self.cover.add(place.space, place.at, place.at + size)
        self.tape.back.append(Move(kind, place, arguments, width, s, matrix=matrix, add=not fresh))


def reverse(tape: Tape) -> None:
    """Write the way back of one step behind the way forward."""
    r = _Reverser(tape)
    forward = [move for move in tape.moves if move.to.space == "record"]
    for move in tape.moves:  # what reaches the ends: the gradient of what was shown, and of the state that went on
        if move.to.space == "record":
            continue
        source = Slot("dout", 0) if move.to.space == "out" else Slot(move.to.space.replace("state", "carry"), 0)
        (slot,) = move.arguments
        for first, last in r.pieces(slot, move.width):
            r.to(Slot(slot.space, slot.at + first), "COPY", (Slot(source.space, first),), last - first)
    for move in reversed(forward):
        if move.kind == "FILL" or move.arguments[0].space.startswith("state"):
            continue
        for first, last in r.pieces(move.to, move.width):
            _back(r, move if last - first == move.width else _part(move, first, last))
    for part, width in enumerate(tape.state):
        r.fill(Slot(f"carry{part}", 0), width)
    for i, (*_, width) in enumerate(tape.feeds):
        r.fill(Slot(f"dfeed{i}", 0), width)


def _part(move: Move, first: int, last: int) -> Move:
    if move.kind in ("PRODUCT", "NORMAL", "TOTAL", "EXPAND"):
        raise Refused(f"the gradient of {move.kind} lies in pieces")
    arguments = tuple(Slot(slot.space, slot.at + first) for slot in move.arguments)
    return move._replace(to=Slot(move.to.space, move.to.at + first), arguments=arguments, width=last - first)


def _back(r: _Reverser, move: Move) -> None:
    """Add the gradient of a result to those of its arguments."""
    out, width = move.to, move.width
    g = r.grad(out)
    size = 1 if move.kind == "TOTAL" else width
    if move.kind != "PRODUCT" and r.cover.missing(g, size) == [(g.at, g.at + size)]:
        return  # Nothing that is asked for depends on it.
    r.fill(g, size)

    def to(slot: Slot, kind: str, *arguments: Slot, s: float = 1.0) -> None:
        for first, last in r.pieces(slot, width):
            moved = tuple(Slot(a.space, a.at + first) for a in arguments)
            r.to(Slot(slot.space, slot.at + first), kind, moved, last - first, s)

    a, b = (*move.arguments, out, out)[:2]
    match move.kind:
        case "COPY":
            to(a, "COPY", g)
        case "PLUS":
            to(a, "COPY", g)
            to(b, "LINEAR" if move.s != 1 else "COPY", g, s=move.s)
        case "LINEAR":
            to(a, "LINEAR", g, s=move.s)
        case "TIMES":
            to(a, "TIMES", g, b)
            to(b, "TIMES", g, a)
        case "OVER":
            to(a, "OVER", g, b)
            to(b, "D_OVER", g, out, b)
        case "EXP":
            to(a, "TIMES", g, out)
        case "LOG":
            to(a, "OVER", g, a)
        case "SIGMOID" | "TANH" | "RELU" | "LOGSIGMOID" | "SQRT":
            to(a, f"D_{move.kind}", g, out)
        case "SOFTPLUS" | "ABS":
            to(a, f"D_{move.kind}", g, a)
        case "MOST_OF" | "LEAST_OF":
            kind = "D_MOST" if move.kind == "MOST_OF" else "D_LEAST"
            to(a, kind, g, a, b)
            to(b, kind, g, b, a)
        case "EXPAND":
            r.to(a, "TOTAL", (g,), width, move.s, of=1)
        case "TOTAL":
            r.to(a, "EXPAND", (g,), width, move.s)
        case "NORMAL":
            r.to(a, "D_NORMAL", (g, out, b), width)
        case "PRODUCT":
            r.tape.met.append((move.matrix, a, g))
            r.to(a, "PRODUCT", (g,), r.tape.matrices[move.matrix][2], matrix=move.matrix)


# ---- what to keep


def settle(tape: Tape) -> None:
    """Keep in the record only what the way back reads, and let products add to what they would be added to."""
    read = [(slot.at, move.width) for move in tape.back for slot in move.arguments if slot.space == "record"]
    read += [(slot.at, tape.matrices[number][2]) for number, slot, _ in tape.met if slot.space == "record"]
    read += [(move.arguments[1].at, 2) for move in tape.moves if move.kind == "NORMAL"]
    fuse(tape, read)
    at = {"record": 0, "spare": 0}
    moved: dict[int, Slot] = {}
    for first, width in tape.fields:
        space = "record" if any(a < first + width and first < a + n for a, n in read) else "spare"
        moved[first] = Slot(space, at[space])
        at[space] += width
    tape.width, tape.spare = at["record"], at["spare"]
    firsts = sorted(moved)

    def new(slot: Slot) -> Slot:
        if slot.space != "record":
            return slot
        first = firsts[bisect_right(firsts, slot.at) - 1]
        return Slot(moved[first].space, moved[first].at + slot.at - first)

    def settled(move: Move) -> Move:
        return move._replace(to=new(move.to), arguments=tuple(new(slot) for slot in move.arguments))

    tape.moves, tape.back = [settled(move) for move in tape.moves], [settled(move) for move in tape.back]
    tape.met = [(number, new(a), g) for number, a, g in tape.met]


def fuse(tape: Tape, read: list[tuple[int, int]]) -> None:
    """X + a M, where nobody else wants a M: X copied first, and the product added to it."""
    moves: list[Move] = []
    for move in tape.moves:
        if move.kind == "PLUS" and move.s == 1:
            for term, other in (move.arguments, move.arguments[::-1]):
                made = next((m for m in moves if m.kind == "PRODUCT" and m.to == term and m.width == move.width), None)
                uses = sum(term in m.arguments for m in tape.moves)
                kept = any(a < term.at + move.width and term.at < a + n for a, n in read)
                if made is not None and not made.add and term.space == "record" and uses == 1 and not kept:
                    moves.remove(made)
                    moves.append(Move("COPY", move.to, (other,), move.width))
                    moves.append(made._replace(to=move.to, add=True))
                    break
            else:
                moves.append(move)
        else:
            moves.append(move)
    tape.moves = moves
