"""Tapes over padded batches: rows packed by time, the engine called, its place in autograd."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from ctypes import c_double, c_int64, c_void_p
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lstm_lab.kernels import native, tape
from lstm_lab.kernels.tape import Move, Refused, Slot, Tape

_FIXED, _ROW, _SAMPLE, _LOCAL, _SUM = range(5)
_CACHE = 1 << 17  # bytes that a block of rows may take: with the panels of a matrix they stay in the second cache
_WORTH = 1.5e7  # operations that are worth a thread


class _Space(ctypes.Structure):
    _fields_ = [("p", c_void_p), ("stride", c_int64), ("by", c_int64)]


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


class Rows(NamedTuple):
    """The valid steps of a batch, packed by time with the longest sample first."""

    order: Tensor | None
    """(B,) sample at each place; None: as they come."""
    count: Tensor
    """(T,) samples alive at each step."""
    first: Tensor
    """(T,) rows before each step."""
    index: Tensor | None
    """(R,) of each row in the batch laid flat, b T + t; None: every step is valid."""


def rows_of(lengths: Tensor, T: int) -> Rows:
    lengths = lengths.to("cpu", torch.int64)
    B = len(lengths)
    if not B or int(lengths.min()) == T:
        return Rows(None, torch.full((T,), B), torch.arange(T) * B, None)
    if int(lengths.min()) < 0 or int(lengths.max()) > T:
        raise ValueError(f"every length must lie in 0..{T}, the steps of the batch")
    ordered, order = lengths.sort(descending=True, stable=True)
    steps = torch.arange(T).unsqueeze(1)
    alive = steps < ordered  # (T, B)
    count = alive.sum(1)
    return Rows(order, count, count.cumsum(0) - count, (order * T + steps)[alive])


_tapes: weakref.WeakKeyDictionary[nn.Module, dict[Any, Tape | Refused]] = weakref.WeakKeyDictionary()


def tape_of(cell: nn.Module, step: Callable, state: Any, input_size: int, widths: tuple[int, ...]) -> Tape | Refused:
    """The tape of a cell's step, recorded when it is first asked for and whenever a plain attribute has changed."""
    kept = _tapes.setdefault(cell, {})
    key = (input_size, widths, *_plain(cell))
    if key not in kept:
        leaves = {**dict(cell.named_parameters()), **dict(cell.named_buffers())}
        try:
            kept[key] = tape.record(step, state, leaves, input_size, widths)
        except Refused as reason:
            kept[key] = reason
    return kept[key]


def _plain(module: nn.Module) -> tuple:
    """What a step may branch on: numbers, words and switches of a module and of those inside it."""
    own = tuple(
        (key, value)
        for key, value in vars(module).items()
        if isinstance(value, (bool, int, float, str, tuple, type(None))) and not key.startswith("_")
    )
    return own + tuple(part for child in module.children() for part in _plain(child))


def play(
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
    if rows.index is None:
        packed = x.transpose(0, 1).reshape(T * B, -1)
    else:
        packed = x.reshape(B * T, -1).index_select(0, rows.index)
    feeds, const, matrices = prologue(made, cell, packed)
    start = [part if rows.order is None else part.index_select(0, rows.order) for part in state]
    out, *ends = _Sequence.apply(made, rows, (B, T), len(feeds), *start, const, *feeds, *matrices)
    if rows.index is None:
        shown = out.view(T, B, -1).transpose(0, 1)
    else:
        shown = out.new_zeros(B * T, made.out).index_copy(0, rows.index, out).view(B, T, -1)
    if rows.order is not None:
        back = torch.empty_like(rows.order).scatter_(0, rows.order, torch.arange(B))
        ends = [end.index_select(0, back) for end in ends]
    return shown, tuple(ends)


def prologue(made: Tape, cell: nn.Module, packed: Tensor) -> tuple[list[Tensor], Tensor, list[Tensor]]:
    """What does not depend on the state, by torch: rows (R, width) for each feed, what all share, matrices (k, n)."""
    values: dict[int, Tensor] = {made.x: packed}
    for node, name in made.leaves.items():
        owner, _, key = name.rpartition(".")
        values[node] = getattr(cell.get_submodule(owner), key)
    for call in made.prologue:
        tape.replay(call, values, len(packed))
    feeds = [values[node].permute(order).reshape(len(packed), -1).contiguous() for node, order, _ in made.feeds]
    shared = [values[node].expand(shape).permute(order).reshape(-1) for node, shape, order, _ in made.consts]
    const = torch.cat(shared) if shared else packed.new_zeros(0)
    matrices = [values[node] if head is None else values[node][head] for node, head, _, _ in made.matrices]
    return feeds, const, matrices


class _Pass:
    """One way over the rows: spaces by name, and the call."""

    def __init__(self, made: Tape, rows: Rows, shape: tuple[int, int], like: Tensor) -> None:
        self.made, self.rows, self.shape, self.like = made, rows, shape, like
        self.spaces: dict[str, tuple[int | None, int, int]] = {}

        self.scratch = 0

    def put(self, name: str, tensor: Tensor | None, width: int, by: int) -> None:
        """A space in a tensor; without one, in the scratch memory of a block of rows."""
        if by == _LOCAL:
            stride = native.stride(width, self.like.element_size())
            self.spaces[name] = (self.scratch, stride, by)
            self.scratch += stride
        else:
            stride = width if tensor is None or tensor.dim() < 2 else tensor.stride(0)
            self.spaces[name] = (None if tensor is None else tensor.data_ptr(), stride, by)

    def run(self, moves: list[Move], matrices: list[Tensor], *, backward: bool, sums: Tensor) -> None:
        names = {name: i for i, name in enumerate(self.spaces)}
        spaces = (_Space * len(names))(*(_Space(*space) for space in self.spaces.values()))
        listed = (_Move * max(1, len(moves)))(*(_move(move, names) for move in moves))
        known = (_Matrix * max(1, len(matrices)))(
            *(_Matrix(M.data_ptr(), *M.shape, *M.stride()) for M in matrices)
        )
        B, T = self.shape
        each = self.like.element_size() * (self.scratch + self.made.width)
        block = max(8, min(48, _CACHE // max(1, each)))
        job = Play(self.threads(), T, B, block, backward, self.scratch, sums.shape[-1])
        job.count, job.first = self.rows.count.data_ptr(), self.rows.first.data_ptr()
        job.moves, job.n_moves = ctypes.addressof(listed), len(moves)
        job.spaces, job.n_spaces = ctypes.addressof(spaces), len(names)
        job.matrices, job.n_matrices = ctypes.addressof(known), len(matrices)
        job.sum = sums.data_ptr()
        code = native.engine_now().play[self.like.dtype](ctypes.byref(job))
        if code:
            raise MemoryError("the native engine could not allocate its scratch memory")

    def threads(self) -> int:
        B, T = self.shape
        each = 2 * sum(k * n for *_, k, n in self.made.matrices) + 10 * (self.made.width + self.made.spare)
        return max(1, min(torch.get_num_threads(), B, int(each * B * T / _WORTH)))


def _move(move: Move, names: dict[str, int]) -> _Move:
    def at(slot: Slot) -> tuple[int, int]:
        return names[slot.space], slot.at

    places = [at(slot) for slot in (*move.arguments, move.to, move.to, move.to)[:3]]
    kind = tape.KINDS.index(move.kind)
    numbers = (*at(move.to), *places[0], *places[1], *places[2])
    return _Move(kind, move.add, move.width, move.matrix, *numbers, move.s, move.s2)


class _Sequence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, made: Tape, rows: Rows, shape: tuple[int, int], fed: int, *tensors: Tensor) -> Any:
        parts = len(made.state)
        start, const, feeds, matrices = _parts(tensors, parts, fed)
        R = int(rows.count.sum())
        keep = any(ctx.needs_input_grad)
        record = const.new_empty(R, native.stride(made.width, const.element_size())) if keep else None
        out, ends = const.new_empty(R, made.out), [part.contiguous().clone() for part in start]
        run = _Pass(made, rows, shape, const)
        run.put("record", record, made.width, _ROW if keep else _LOCAL)
        run.put("spare", None, made.spare, _LOCAL)
        run.put("out", out, made.out, _ROW)
        for part, end in enumerate(ends):
            run.put(f"state{part}", end, made.state[part], _SAMPLE)
        _put_given(run, const, feeds)
        run.run(made.moves, matrices, backward=False, sums=const.new_empty(1, 0))
        if keep:
            ctx.given = (made, rows, shape, fed)
            ctx.save_for_backward(record, *tensors)
        return (out, *ends)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple:
        with torch.no_grad():
            results = _Sequence.way_back(ctx, *grads)
        if torch.is_grad_enabled():  # create_graph=True: fail when someone comes this way again, not before
            refusal: Any = torch._C._functions.DelayedError(native.REFUSAL, len(results))
            results = refusal(*(None if g is None else g.detach().requires_grad_() for g in results))
        return (None, None, None, None, *results)

    @staticmethod
    def way_back(ctx: Any, dout: Tensor, *dends: Tensor) -> tuple:
        made, rows, shape, fed = ctx.given
        record, *tensors = ctx.saved_tensors
        _, const, feeds, matrices = _parts(tensors, len(made.state), fed)
        dout, carries = dout.contiguous(), [part.contiguous().clone() for part in dends]
        dfeeds, products = [torch.empty_like(feed) for feed in feeds], record.new_empty(len(record), made.product)
        gradients = {"product": products, **{f"dfeed{i}": gradient for i, gradient in enumerate(dfeeds)}}
        run = _Pass(made, rows, shape, const)
        dconst = const.new_zeros(run.threads(), len(const))
        run.put("record", record, made.width, _ROW)
        run.put("grad", None, made.local, _LOCAL)
        run.put("product", products, made.product, _ROW)
        run.put("dout", dout, made.out, _ROW)
        for part, carry in enumerate(carries):
            run.put(f"carry{part}", carry, made.state[part], _SAMPLE)
        _put_given(run, const, feeds)
        run.put("dconst", None, 0, _SUM)
        for i, gradient in enumerate(dfeeds):
            run.put(f"dfeed{i}", gradient, made.feeds[i][2], _ROW)
        turned = [M.T for M in matrices]
        run.run(made.back, turned, backward=True, sums=dconst)
        dmatrices: list[Tensor | None] = [None] * len(matrices)
        first = len(made.state) + 1 + fed + 4
        for number, argument, result in made.met:
            if ctx.needs_input_grad[first + number]:
                k, n = matrices[number].shape
                rows_in = record if argument.space == "record" else feeds[int(argument.space.removeprefix("feed"))]
                a, g = rows_in[:, argument.at : argument.at + k], gradients[result.space][:, result.at : result.at + n]
                found = dmatrices[number]
                dmatrices[number] = a.T @ g if found is None else found.addmm_(a.T, g)
        return (*carries, dconst.sum(0), *dfeeds, *dmatrices)


def _parts(tensors: Any, parts: int, fed: int) -> tuple[list[Tensor], Tensor, list[Tensor], list[Tensor]]:
    start, (const, *rest) = list(tensors[:parts]), tensors[parts:]
    return start, const, rest[:fed], rest[fed:]


def _put_given(run: _Pass, const: Tensor, feeds: list[Tensor]) -> None:
    run.put("const", const, 0, _FIXED)
    for i, feed in enumerate(feeds):
        run.put(f"feed{i}", feed, run.made.feeds[i][2], _ROW)
