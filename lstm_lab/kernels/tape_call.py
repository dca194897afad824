"""Calling the compiled engine to execute a tape: which tensor is which buffer, and the structures of csrc/tape.h."""

from __future__ import annotations

import ctypes
from ctypes import c_double, c_int64, c_void_p
from enum import IntEnum

import torch
from torch import Tensor

from lstm_lab.kernels import native, native_layers
from lstm_lab.kernels.packing import Packing
from lstm_lab.kernels.tape import Instruction, Slot, Tape

_BLOCK_BYTES = 1 << 17
"""Of a block of rows: with the panels of a matrix they stay in the second-level cache."""
_MIN_THREAD_WORK = 1.5e7
"""Operations that are worth starting a thread for."""


class Addressing(IntEnum):
    """Mirrors `enum class Addressing` in csrc/tape.h: which row of a buffer belongs to a row of the tape."""

    FIXED = 0
    ROW = 1
    SAMPLE = 2
    LOCAL = 3
    SUM = 4
    GRID = 5
    SHIFTED = 6
    PREVIOUS = 7


class _Buffer(ctypes.Structure):
    _fields_ = [("p", c_void_p), ("stride", c_int64), ("addressing", c_int64), ("step", c_int64)]


class _Instruction(ctypes.Structure):
    _fields_ = [
        *((name, c_int64) for name in ("operation", "accumulate", "width", "matrix")),
        *((name, c_int64) for name in ("to", "to_at", "a", "a_at", "b", "b_at", "c", "c_at")),
        *((name, c_double) for name in ("scale", "shift")),
    ]


class _Matrix(ctypes.Structure):
    _fields_ = [("p", c_void_p), *((name, c_int64) for name in ("k", "n", "row_stride", "column_stride"))]


class _TapeCall(ctypes.Structure):
    """Mirrors `struct TapeCall` in csrc/tape.h, field by field; those above mirror theirs."""

    _fields_ = [
        *((name, c_int64) for name in ("threads", "T", "B", "block", "backward", "scratch", "sums")),
        *(("batch_sizes", c_void_p), ("offsets", c_void_p)),
        *(("instructions", c_void_p), ("n_instructions", c_int64), ("buffers", c_void_p), ("n_buffers", c_int64)),
        *(("matrices", c_void_p), ("n_matrices", c_int64), ("sum", c_void_p)),
    ]


class TapeCall:
    """One pass of a tape, forward or backward: `bind` its buffers, then `run` it.

    Args:
        tape: recorded step.
        packing: of the batch's valid steps.
        shape: (B, T).
        like: any tensor of the batch's dtype.
    """

    def __init__(self, tape: Tape, packing: Packing, shape: tuple[int, int], like: Tensor) -> None:
        self.tape, self.packing, self.shape, self.like = tape, packing, shape, like
        self.buffers: dict[str, tuple[int, int, Addressing, int]] = {}
        self.scratch = self.sums = 0

    def bind(self, name: str, tensor: Tensor, addressing: Addressing) -> None:
        """Use the memory of a tensor (rows, width), or (B, T, width), as a buffer."""
        step = 0
        if tensor.dim() == 3:
            addressing, step = Addressing.GRID, tensor.stride(1)
        self.buffers[name] = (tensor.data_ptr(), tensor.stride(0) if tensor.dim() > 1 else 0, addressing, step)

    def bind_local(self, name: str, width: int) -> None:
        """A buffer of one block of rows, overwritten by the next block."""
        stride = native_layers.row_stride(width, self.like.element_size())
        self.buffers[name] = (self.scratch, stride, Addressing.LOCAL, 0)
        self.scratch += stride

    def bind_sum(self, name: str, width: int) -> None:
        """A buffer of one row per thread, for sums over all rows."""
        self.buffers[name] = (self.sums, 0, Addressing.SUM, 0)
        self.sums += width

    def run(
        self,
        instructions: list[Instruction],
        matrices: list[Tensor],
        backward: bool = False,
        skipped: frozenset[str] = frozenset(),
    ) -> Tensor:
        """Execute instructions, except those that write into skipped buffers -> sums, (threads, width)."""
        compiled = self._compiled(instructions, backward, skipped)
        buffers = (_Buffer * len(self.buffers))(*(_Buffer(*buffer) for buffer in self.buffers.values()))
        matrix_array = (_Matrix * max(1, len(matrices)))(
            *(_Matrix(M.data_ptr(), *M.shape, *M.stride()) for M in matrices)
        )
        threads, (B, T) = self.threads(), self.shape
        sums = self.like.new_zeros(threads, self.sums)
        row_bytes = self.like.element_size() * (self.scratch + self.tape.width)
        block = max(8, min(48, _BLOCK_BYTES // max(1, row_bytes)))
        call = _TapeCall(threads, T, B, block, backward, self.scratch, self.sums)
        call.batch_sizes, call.offsets = self.packing.batch_sizes.data_ptr(), self.packing.offsets.data_ptr()
        call.instructions, call.n_instructions = ctypes.addressof(compiled), len(compiled)
        call.buffers, call.n_buffers = ctypes.addressof(buffers), len(buffers)
        call.matrices, call.n_matrices = ctypes.addressof(matrix_array), len(matrices)
        call.sum = sums.data_ptr()
        if native.require_engine().run_tape[self.like.dtype](ctypes.byref(call)):
            raise MemoryError(native_layers.NO_MEMORY)
        return sums

    def _compiled(
        self, instructions: list[Instruction], backward: bool, skipped: frozenset[str]
    ) -> ctypes.Array[_Instruction]:
        """The instructions as the engine reads them."""
        key = (backward, skipped, tuple(self.buffers))
        found = self.tape.compiled.get(key)
        if not isinstance(found, ctypes.Array):
            numbers = {name: i for i, name in enumerate(self.buffers)}
            chosen = [entry for entry in instructions if entry.to.buffer not in skipped]
            found = (_Instruction * len(chosen))(*(_numbered(entry, numbers) for entry in chosen))
            self.tape.compiled[key] = found
        return found

    def threads(self) -> int:
        B, T = self.shape
        products = 2 * sum(matrix.k * matrix.n for matrix in self.tape.matrices)
        work = (products + 10 * (self.tape.width + self.tape.scratch_width)) * B * T
        return max(1, min(torch.get_num_threads(), B, int(work / _MIN_THREAD_WORK)))


def _numbered(entry: Instruction, numbers: dict[str, int]) -> _Instruction:
    """An instruction with numbers for its buffers; arguments that the operation does not have are its result."""

    def address(slot: Slot) -> tuple[int, int]:
        return numbers[slot.buffer], slot.offset

    a, b, c = (address(slot) for slot in (*entry.arguments, entry.to, entry.to, entry.to)[:3])
    addresses = (*address(entry.to), *a, *b, *c)
    return _Instruction(
        entry.operation, entry.accumulate, entry.width, entry.matrix, *addresses, entry.scale, entry.shift
    )
