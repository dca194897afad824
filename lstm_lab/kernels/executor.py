"""Tapes over padded batches: rows packed by time, the engine called, its place in autograd."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Hashable
from ctypes import c_double, c_int64, c_void_p
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lstm_lab.kernels import native, native_layers
from lstm_lab.kernels.tape import KINDS, Move, Refused, Slot, Tape, replay

_FIXED, _ROW, _SAMPLE, _LOCAL, _SUM, _GRID, _AFTER, _BEFORE = range(8)
_CACHE = 1 << 17  # bytes that a block of rows may take: with the panels of a matrix they stay in the second cache
_WORTH = 1.5e7  # operations that are worth a thread


class _Space(ctypes.Structure):
    _fields_ = [("p", c_void_p), ("stride", c_int64), ("by", c_int64), ("step", c_int64)]


class _Move(ctypes.Structure):
    _fields_ = [
        *((name, c_int64) for name in ("kind", "add", "width", "matrix")),
        *((name, c_int64) for name in ("to", "to_at", "a", "a_at", "b", "b_at", "c", "c_at")),
        *((name, c_double) for name in ("s", "s2")),
    ]


class _Matrix(ctypes.Structure):
    _fields_ = [("p", c_void_p), *((name, c_int64) for name in ("k", "n", "row", "column"))]


class Play(ctypes.Structure):
    """Mirrors `struct Play` in tape.h, field by field; those above theirs."""

    _fields_ = [
        *((name, c_int64) for name in ("threads", "T", "B", "block", "backward", "scratch", "sums")),
        *(("count", c_void_p), ("first", c_void_p)),
        *(("moves", c_void_p), ("n_moves", c_int64), ("spaces", c_void_p), ("n_spaces", c_int64)),
        *(("matrices", c_void_p), ("n_matrices", c_int64), ("sum", c_void_p)),
    ]


class Packing(NamedTuple):
    """The valid steps of a batch, packed by time with the longest sample first."""

    order: Tensor | None
    """(B,) sample at each place; None: as they come."""
    alive: Tensor
    """(T,) samples alive at each step."""
    first: Tensor
    """(T,) rows before each step."""
    place: Tensor | None
    """(R,) of each row in the batch laid flat, b T + t; None: every step is valid."""


def rows_of(lengths: Tensor, T: int) -> Packing:
    """How a batch of lengths (B,), each in 0..T, is packed."""
    lengths = lengths.to("cpu", torch.int64)
    B = len(lengths)
    if B and not 0 <= int(lengths.min()) <= int(lengths.max()) <= T:
        raise ValueError(
            f"every length must lie in 0..{T}, the steps of the batch, got {int(lengths.min())}..{int(lengths.max())}"
        )
    if not B or int(lengths.min()) == T:
        return Packing(None, torch.full((T,), B), torch.arange(T) * B, None)
    ordered, order = lengths.sort(descending=True, stable=True)
    steps = torch.arange(T).unsqueeze(1)
    alive = steps < ordered  # (T, B)
    count = alive.sum(1)
    return Packing(order, count, count.cumsum(0) - count, (order * T + steps)[alive])


_tapes: weakref.WeakKeyDictionary[nn.Module, dict[Any, Tape | Refused]] = weakref.WeakKeyDictionary()


def tape_of(cell: nn.Module, step: Callable, state: Any, input_size: int, widths: tuple[int, ...]) -> Tape | Refused:
    """The tape of a cell's step, recorded when it is first asked for and whenever a plain attribute has changed."""
    kept = _tapes.setdefault(cell, {})
    key = (input_size, widths, *_plain(cell))
    if key not in kept:
        from lstm_lab.kernels.recorder import record

        leaves = {**dict(cell.named_parameters()), **dict(cell.named_buffers())}
        try:
            kept[key] = record(step, state, leaves, input_size, widths)
        except Refused as reason:
            kept[key] = reason
    return kept[key]


_MODULE = frozenset(vars(nn.Module())) - {"training"}


def _plain(module: nn.Module) -> tuple:
    """What a step may branch on: the plain attributes of a module and of those inside it."""
    own = tuple(
        (key, value if isinstance(value, Hashable) else repr(value))
        for key, value in vars(module).items()
        if key not in _MODULE
    )
    return own + tuple(part for child in module.children() for part in _plain(child))


def execute(
    cell: nn.Module, step: Callable, x: Tensor, lengths: Tensor, state: Any
) -> tuple[Tensor, tuple[Tensor, ...]] | None:
    """A cell's step over a padded batch by the engine.

    Args:
        cell: whose parameters and buffers the step reads.
        step: (N, I) and a state -> what is shown (N, H), and the new state.
        x, lengths, state: as `Cell.forward` takes them.

    Returns:
        Outputs (B, T, H), zero on padding, and the parts of the state after each sample's last step; or None where
        there is no engine for these tensors, or no tape of this step.
    """
    if x.dim() != 3 or not x.shape[0] or not x.shape[1] or any(part.dim() != 2 for part in state):
        return None
    if not native.serves(x, *state, *cell.parameters(), *(b for b in cell.buffers() if b.is_floating_point())):
        return None
    made = tape_of(cell, step, type(state), x.shape[2], tuple(part.shape[1] for part in state))
    if isinstance(made, Refused):
        return None
    B, T, _ = x.shape
    rows = rows_of(lengths, T)
    packed = x if rows.place is None else x.reshape(B * T, -1).index_select(0, rows.place)
    feeds, const, matrices = prologue(made, cell, packed)
    start = [part if rows.order is None else part.index_select(0, rows.order) for part in state]
    out, *ends = _Sequence.apply(made, rows, (B, T), len(feeds), *start, const, *feeds, *matrices)
    shown = out
    if rows.place is not None:
        shown = out.new_zeros(B * T, made.out).index_copy(0, rows.place, out).view(B, T, -1)
    if rows.order is not None:
        back = torch.empty_like(rows.order).scatter_(0, rows.order, torch.arange(B))
        ends = [end.index_select(0, back) for end in ends]
    return shown, tuple(ends)


def prologue(made: Tape, cell: nn.Module, packed: Tensor) -> tuple[list[Tensor], Tensor, list[Tensor]]:
    """What does not depend on the state, by torch: rows for each feed, what all share, matrices (k, n).

    Rows are (R, width) packed by time, or (B, T, width) where the input, `packed`, is.
    """
    size = packed.shape[:-1]
    values: dict[int, Tensor] = {made.x: packed.flatten(0, -2), **made.numbers}
    for node, name in made.leaves.items():
        owner, _, key = name.rpartition(".")
        values[node] = getattr(cell.get_submodule(owner), key)
    for call in made.prologue:
        replay(call, values, size.numel())
    feeds = [values[node].permute(order).reshape(*size, -1).contiguous() for node, order, _ in made.feeds]
    shared = [values[node].expand(shape).permute(order).reshape(-1) for node, shape, order, _ in made.consts]
    const = torch.cat(shared) if shared else packed.new_zeros(0)
    matrices = [values[node] if head is None else values[node][head] for node, head, _, _ in made.matrices]
    return feeds, const, matrices


class _Pass:
    """One way over the rows: spaces by name, and the call."""

    def __init__(self, made: Tape, rows: Packing, shape: tuple[int, int], like: Tensor) -> None:
        self.made, self.rows, self.shape, self.like = made, rows, shape, like
        self.spaces: dict[str, tuple[int | None, int, int, int]] = {}

        self.scratch, self.sums = 0, 0

    def put(self, name: str, tensor: Tensor | None, width: int, by: int) -> None:
        """A space in a tensor, or in what is set aside for each block of rows or for each thread."""
        if by == _LOCAL:
            stride = native_layers.stride(width, self.like.element_size())
            self.spaces[name] = (self.scratch, stride, by, 0)
            self.scratch += stride
        elif by == _SUM:
            self.spaces[name] = (self.sums, 0, by, 0)
            self.sums += width
        else:
            assert tensor is not None
            if tensor.dim() == 3:
                by = _GRID
            stride = tensor.stride(0) if tensor.dim() > 1 else 0
            self.spaces[name] = (tensor.data_ptr(), stride, by, tensor.stride(1) if by == _GRID else 0)

    def run(self, moves: list[Move], matrices: list[Tensor], unasked: frozenset[str] = frozenset()) -> Tensor:
        """Play the moves, but for those into spaces that nobody asked for -> sums, (threads, width)."""
        backward, made = moves is self.made.back, self.made
        ready = made.ready.get((backward, unasked, tuple(self.spaces)))
        if ready is None:
            names = {name: i for i, name in enumerate(self.spaces)}
            chosen = [move for move in moves if move.to.space not in unasked]
            ready = made.ready[backward, unasked, tuple(names)] = (_Move * len(chosen))(
                *(_move(move, names) for move in chosen)
            )
        spaces = (_Space * len(self.spaces))(*(_Space(*space) for space in self.spaces.values()))
        known = (_Matrix * max(1, len(matrices)))(*(_Matrix(M.data_ptr(), *M.shape, *M.stride()) for M in matrices))
        threads, (B, T) = self.threads(), self.shape
        sums = self.like.new_zeros(threads, self.sums)
        each = self.like.element_size() * (self.scratch + made.width)
        block = max(8, min(48, _CACHE // max(1, each)))
        job = Play(threads, T, B, block, backward, self.scratch, self.sums)
        job.count, job.first = self.rows.alive.data_ptr(), self.rows.first.data_ptr()
        job.moves, job.n_moves = ctypes.addressof(ready), len(ready)
        job.spaces, job.n_spaces = ctypes.addressof(spaces), len(spaces)
        job.matrices, job.n_matrices = ctypes.addressof(known), len(matrices)
        job.sum = sums.data_ptr()
        if native.engine_now().play[self.like.dtype](ctypes.byref(job)):
            raise MemoryError(
                "the native engine could not allocate its scratch memory: lower the batch size, or LSTM_LAB_KERNELS=off"
            )
        return sums

    def threads(self) -> int:
        B, T = self.shape
        each = 2 * sum(k * n for *_, k, n in self.made.matrices) + 10 * (self.made.width + self.made.spare)
        return max(1, min(torch.get_num_threads(), B, int(each * B * T / _WORTH)))


def _move(move: Move, names: dict[str, int]) -> _Move:
    def at(slot: Slot) -> tuple[int, int]:
        return names[slot.space], slot.at

    places = [at(slot) for slot in (*move.arguments, move.to, move.to, move.to)[:3]]
    kind = KINDS.index(move.kind)
    numbers = (*at(move.to), *places[0], *places[1], *places[2])
    return _Move(kind, move.add, move.width, move.matrix, *numbers, move.s, move.s2)


class _Sequence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, made: Tape, rows: Packing, shape: tuple[int, int], fed: int, *tensors: Tensor) -> Any:
        parts = len(made.state)
        start, const, feeds, matrices = _parts(tensors, parts, fed)
        R = int(rows.alive.sum())
        keep = any(ctx.needs_input_grad)
        record = const.new_empty(R, native_layers.stride(made.width, const.element_size())) if keep else None
        ends = [part.contiguous().clone() for part in start]
        shown = _room(made, rows, shape, const)
        run = _Pass(made, rows, shape, const)
        run.put("record", record, made.width, _ROW if keep else _LOCAL)
        run.put("spare", None, made.spare, _LOCAL)
        out = _put_shown(run, shown)
        if made.before is not None:
            first = shown[:, 0] if rows.place is None else shown[: shape[0]]
            first.copy_(start[made.before])
        for part, end in enumerate(ends):
            run.put(f"state{part}", end, made.state[part], _SAMPLE)
        _put_given(run, const, feeds)
        run.run(made.moves, matrices)
        if keep:
            ctx.given = (made, rows, shape, fed)
            ctx.save_for_backward(record, shown, *tensors)
        return (out, *ends)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple:
        with torch.no_grad():
            results = _Sequence.way_back(ctx, *grads)
        return (None, None, None, None, *native_layers.once(results))

    @staticmethod
    def way_back(ctx: Any, dout: Tensor, *dends: Tensor) -> tuple:
        made, rows, shape, fed = ctx.given
        record, shown, *tensors = ctx.saved_tensors
        _, const, feeds, matrices = _parts(tensors, len(made.state), fed)
        dout = dout if dout.stride(-1) == 1 else dout.contiguous()
        carries = [part.contiguous().clone() for part in dends]
        dfeeds = [torch.empty_like(feed) for feed in feeds]
        run = _Pass(made, rows, shape, const)
        run.put("record", record, made.width, _ROW)
        run.put("grad", None, made.local, _LOCAL)
        _put_shown(run, shown)
        run.put("dout", dout, made.out, _ROW)
        for part, carry in enumerate(carries):
            run.put(f"carry{part}", carry, made.state[part], _SAMPLE)
        _put_given(run, const, feeds)
        run.put("dconst", None, len(const), _SUM)
        run.put("dmatrix", None, made.matrix(len(matrices)), _SUM)
        for i, gradient in enumerate(dfeeds):
            run.put(f"dfeed{i}", gradient, made.feeds[i][2], _ROW)
        needed = ctx.needs_input_grad[5 + len(made.state) :]
        # A sum may lend the place of a feed's gradient to its other terms: what lies there may still be read.
        unasked = {f"dfeed{i}" for i in range(fed) if not needed[i]} - {s.space for m in made.back for s in m.arguments}
        sums = run.run(made.back, [M.T for M in matrices], frozenset(unasked)).sum(0)
        found = sums[len(const) :].split([M.numel() for M in matrices]) if matrices else ()
        return (*carries, sums[: len(const)], *dfeeds, *(g.view(M.shape) for g, M in zip(found, matrices, strict=True)))


def _room(made: Tape, rows: Packing, shape: tuple[int, int], like: Tensor) -> Tensor:
    """For what is shown: (B, T, H), or (R, H) packed; with what the start shows in front, where that is read."""
    B, T = shape
    if rows.place is None:
        return like.new_empty(B, T + made.shown, made.out)
    return like.new_empty(B * made.shown + len(rows.place), made.out)


def _put_shown(run: _Pass, shown: Tensor) -> Tensor:
    made, packed = run.made, run.rows.place is not None
    if not made.shown:
        run.put("out", shown, made.out, _ROW)
        return shown
    run.put("out", shown if packed else shown[:, 1:], made.out, _AFTER)
    run.put("before", shown if packed else shown[:, :-1], made.out, _BEFORE)
    return shown[run.shape[0] :] if packed else shown[:, 1:]


def _parts(tensors: Any, parts: int, fed: int) -> tuple[list[Tensor], Tensor, list[Tensor], list[Tensor]]:
    start, (const, *rest) = list(tensors[:parts]), tensors[parts:]
    return start, const, rest[:fed], rest[fed:]


def _put_given(run: _Pass, const: Tensor, feeds: list[Tensor]) -> None:
    run.put("const", const, 0, _FIXED)
    for i, feed in enumerate(feeds):
        run.put(f"feed{i}", feed, run.made.feeds[i][2], _ROW)
