"""Rules of matrix products."""

from __future__ import annotations

from torch import Tensor

from lstm_lab.kernels.recording import Args, Kwargs, Pair, row_layout
from lstm_lab.kernels.rules.registry import rule, width_of
from lstm_lab.kernels.tape import Instruction, MatrixRef, Operation, Slot, UnsupportedOp
from lstm_lab.kernels.writer import Writer


def _matmul(w: Writer, a: Tensor, M: Tensor, heads: list[int | None]) -> Slot:
    """(rows, k) (k, n); with heads (heads, rows, k) (heads, k, n), one after the other."""
    if w.depends_on_rows(M) or not w.depends_on_rows(a):
        raise UnsupportedOp("a product of two tensors that both depend on the rows")
    pair = w.pair_of(a)
    if row_layout(pair).row != pair[0].dim() - 2:
        raise UnsupportedOp("a product over rows")
    k, n = M.shape[-2:]
    to = w.allocate(n * len(heads))
    for i, head in enumerate(heads):
        part = pair
        if head is not None:
            part = (pair[0][head], pair[1][head])
            w.enter(w.nodes[w.number(a)].depends, part)
        entry = MatrixRef(w.number(M), head, k, n)
        if entry not in w.tape.matrices:
            w.tape.matrices.append(entry)
        source, target = w.contiguous(part), Slot("values", to + i * n)
        matrix = w.tape.matrices.index(entry)
        w.tape.forward.append(Instruction(Operation.MATMUL, target, (source,), n, matrix=matrix))
    return Slot("values", to)


@rule("mm")
def _mm(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    return _matmul(w, args[0], args[1], [None])


@rule("bmm")
def _bmm(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    return _matmul(w, args[0], args[1], list(range(len(args[1]))))


@rule("addmm")
def _addmm(w: Writer, out: Pair, args: Args, kwargs: Kwargs) -> Slot:
    if any(float(kwargs.get(key, 1)) != 1 for key in ("alpha", "beta")):
        raise UnsupportedOp("a scaled product")
    product = _matmul(w, args[1], args[2], [None])
    return w.put(Operation.ADD, width_of(out), product, w.operand(args[0], out))
