"""Executing the tape of a cell's step over padded batches, with its place in autograd."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from lstm_lab.kernels import native, native_layers
from lstm_lab.kernels.packing import Packing, pack_by_time
from lstm_lab.kernels.tape import BuildState, S, Step, Tape, UnsupportedOp, replay
from lstm_lab.kernels.tape_call import Addressing, TapeCall

_tapes: weakref.WeakKeyDictionary[nn.Module, dict[Hashable, Tape | UnsupportedOp]] = weakref.WeakKeyDictionary()
_MODULE_ATTRIBUTES = frozenset(vars(nn.Module())) - {"training"}


def get_tape(
    cell: nn.Module,
    step: Step[S],
    build_state: BuildState[S],
    input_size: int,
    widths: tuple[int, ...],
    form: Hashable = None,
) -> Tape | UnsupportedOp:
    """The tape of a cell's step, or why there is none.

    It is recorded at the first call, and again whenever a plain attribute of the cell has changed.

    Args:
        form: which of the cell's steps it is, where there are several.
    """
    tapes = _tapes.setdefault(cell, {})
    key = (input_size, widths, form, *_plain_attributes(cell))
    if key not in tapes:
        from lstm_lab.kernels.recorder import record

        leaves = {**dict(cell.named_parameters()), **dict(cell.named_buffers())}
        try:
            tapes[key] = record(step, build_state, leaves, input_size, widths)
        except UnsupportedOp as reason:
            tapes[key] = reason
    return tapes[key]


def _plain_attributes(module: nn.Module) -> tuple[Hashable, ...]:
    """What a step may branch on: the plain attributes of a module and of its submodules."""
    own = tuple(
        (key, value if isinstance(value, Hashable) else repr(value))
        for key, value in vars(module).items()
        if key not in _MODULE_ATTRIBUTES
    )
    return own + tuple(part for child in module.children() for part in _plain_attributes(child))


def execute(
    cell: nn.Module, step: Step[S], x: Tensor, lengths: Tensor, state: S, form: Hashable = None
) -> tuple[Tensor, tuple[Tensor, ...]] | None:
    """A cell's step over a padded batch, executed by the engine.

    Args:
        cell: the module whose parameters and buffers the step reads.
        step: x (N, I) and a state -> output (N, H), and the new state.
        x, lengths, state: as `Cell.forward` takes them.
        form: which of the cell's steps it is, where there are several: equal forms, equal steps.

    Returns:
        Outputs (B, T, H), zero on padding, and the parts of the state after each sample's last step; None where the
        engine cannot take these tensors, or the step has no tape.
    """
    if x.dim() != 3 or not x.shape[0] or not x.shape[1] or any(part.dim() != 2 for part in state):
        return None
    if not native.supports(x, *state, *cell.parameters(), *(b for b in cell.buffers() if b.is_floating_point())):
        return None
    tape = get_tape(cell, step, type(state), x.shape[2], tuple(part.shape[1] for part in state), form)
    if isinstance(tape, UnsupportedOp):
        return None
    B, T, I = x.shape  # noqa: E741
    packing = pack_by_time(lengths, T)
    packed = x if packing.rows is None else x.reshape(B * T, I).index_select(0, packing.rows)
    inputs, const, matrices = run_prologue(tape, cell, packed)
    order = packing.sorted_indices
    start = [part if order is None else part.index_select(0, order) for part in state]
    call = _Call(tape, packing, (B, T), len(inputs))
    apply: Callable[..., tuple[Tensor, ...]] = _Sequence.apply
    output, *ends = apply(call, *start, const, *inputs, *matrices)
    if packing.rows is not None:
        width = tape.output_width
        output = output.new_zeros(B * T, width).index_copy(0, packing.rows, output).view(B, T, width)
    if order is not None:
        inverse = torch.empty_like(order).scatter_(0, order, torch.arange(B))
        ends = [end.index_select(0, inverse) for end in ends]
    return output, tuple(ends)


def run_prologue(tape: Tape, cell: nn.Module, packed: Tensor) -> tuple[list[Tensor], Tensor, list[Tensor]]:
    """What does not depend on the state, by torch.

    Args:
        packed: the input, (R, I) packed by time, or (B, T, I).

    Returns:
        Input buffers (R, width) or (B, T, width), the buffer `const`, and the matrices (k, n).
    """
    size = packed.shape[:-1]
    values: dict[int, Tensor] = {tape.x: packed.flatten(0, -2), **tape.numbers}
    for node, name in tape.leaves.items():
        owner, _, key = name.rpartition(".")
        values[node] = getattr(cell.get_submodule(owner), key)
    for call in tape.prologue:
        replay(call, values, size.numel())
    inputs = [values[entry.node].permute(entry.order).reshape(*size, entry.width).contiguous() for entry in tape.inputs]
    shared = [values[entry.node].expand(entry.shape).permute(entry.order).reshape(-1) for entry in tape.consts]
    const = torch.cat(shared) if shared else packed.new_zeros(0)
    matrices = [values[M.node] if M.head is None else values[M.node][M.head] for M in tape.matrices]
    return inputs, const, matrices


class _Call(NamedTuple):
    """What a pass over a batch needs besides tensors."""

    tape: Tape
    packing: Packing
    shape: tuple[int, int]
    num_inputs: int

    def split(self, tensors: Sequence[Tensor]) -> tuple[list[Tensor], Tensor, list[Tensor], list[Tensor]]:
        """Initial state, `const`, input buffers and matrices."""
        parts = len(self.tape.state_widths)
        start, const, rest = list(tensors[:parts]), tensors[parts], list(tensors[parts + 1 :])
        return start, const, rest[: self.num_inputs], rest[self.num_inputs :]

    def prepare(self, const: Tensor, inputs: list[Tensor]) -> TapeCall:
        """A call of the engine with the buffers that both passes read."""
        call = TapeCall(self.tape, self.packing, self.shape, const)
        call.bind("const", const, Addressing.FIXED)
        for i, tensor in enumerate(inputs):
            call.bind(f"input{i}", tensor, Addressing.ROW)
        return call

    def allocate_outputs(self, like: Tensor) -> Tensor:
        """For outputs, (B, T, H) or (R, H) packed; behind a step for the initial state, where that is read."""
        (B, T), width, extra = self.shape, self.tape.output_width, int(self.tape.output_is_saved)
        if self.packing.rows is None:
            return like.new_empty(B, T + extra, width)
        return like.new_empty(B * extra + len(self.packing.rows), width)

    def bind_outputs(self, call: TapeCall, outputs: Tensor) -> Tensor:
        """The part of `allocate_outputs` that are outputs."""
        if not self.tape.output_is_saved:
            call.bind("output", outputs, Addressing.ROW)
            return outputs
        if self.packing.rows is None:
            call.bind("output", outputs[:, 1:], Addressing.GRID)
            call.bind("previous_output", outputs[:, :-1], Addressing.GRID)
            return outputs[:, 1:]
        call.bind("output", outputs, Addressing.SHIFTED)
        call.bind("previous_output", outputs, Addressing.PREVIOUS)
        return outputs[self.shape[0] :]


class _Context(native_layers.Context, Protocol):
    call: _Call


class _Sequence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Context, call: _Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        tape, packed = call.tape, call.packing.rows is not None
        start, const, inputs, matrices = call.split(tensors)
        needs_grad = any(ctx.needs_input_grad)
        ends = [part.contiguous().clone() for part in start]
        outputs = call.allocate_outputs(const)
        engine = call.prepare(const, inputs)
        saved = const.new_empty(0)
        if needs_grad:
            stride = native_layers.row_stride(tape.width, const.element_size())
            saved = const.new_empty(int(call.packing.batch_sizes.sum()), stride)
            engine.bind("saved", saved, Addressing.ROW)
        else:
            engine.bind_local("saved", tape.width)
        engine.bind_local("scratch", tape.scratch_width)
        out = call.bind_outputs(engine, outputs)
        if tape.output_state is not None:
            (outputs[: call.shape[0]] if packed else outputs[:, 0]).copy_(start[tape.output_state])
        for part, end in enumerate(ends):
            engine.bind(f"state{part}", end, Addressing.SAMPLE)
        engine.run(tape.forward, matrices)
        if needs_grad:
            ctx.call = call
            ctx.save_for_backward(saved, outputs, *tensors)
        return (out, *ends)

    @staticmethod
    def backward(ctx: _Context, *grads: Tensor) -> tuple[Tensor | None, ...]:
        with torch.no_grad():
            results = _Sequence.gradients(ctx, *grads)
        return (None, *native_layers.first_order_only(results))

    @staticmethod
    def gradients(ctx: _Context, d_output: Tensor, *d_ends: Tensor) -> tuple[Tensor, ...]:
        """Gradients of the initial state, `const`, the inputs and the matrices."""
        call = ctx.call
        tape = call.tape
        saved, outputs, *tensors = ctx.saved_tensors
        _, const, inputs, matrices = call.split(tensors)
        d_output = d_output if d_output.stride(-1) == 1 else d_output.contiguous()
        d_state = [part.contiguous().clone() for part in d_ends]
        d_inputs = [torch.empty_like(tensor) for tensor in inputs]
        engine = call.prepare(const, inputs)
        engine.bind("saved", saved, Addressing.ROW)
        engine.bind_local("grad", tape.grad_width)
        call.bind_outputs(engine, outputs)
        engine.bind("grad_output", d_output, Addressing.ROW)
        for part, gradient in enumerate(d_state):
            engine.bind(f"grad_state{part}", gradient, Addressing.SAMPLE)
        engine.bind_sum("grad_const", len(const))
        engine.bind_sum("grad_matrix", tape.matrix_offset(len(matrices)))
        for i, gradient in enumerate(d_inputs):
            engine.bind(f"grad_input{i}", gradient, Addressing.ROW)
        needed = ctx.needs_input_grad[2 + len(tape.state_widths) :]
        # A sum may share the buffer of an input's gradient with its other terms, which are read from there.
        read = {slot.buffer for entry in tape.backward for slot in entry.arguments}
        skipped = frozenset({f"grad_input{i}" for i in range(len(inputs)) if not needed[i]} - read)
        sums = engine.run(tape.backward, [M.T for M in matrices], backward=True, skipped=skipped).sum(0)
        split = torch.split(sums[len(const) :], [M.numel() for M in matrices]) if matrices else ()
        d_matrices = [gradient.view(M.shape) for gradient, M in zip(split, matrices, strict=True)]
        return (*d_state, sums[: len(const)], *d_inputs, *d_matrices)
