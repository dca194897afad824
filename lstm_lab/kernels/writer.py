"""From two recordings of a step, with 7 rows and with 11, to the tape of its forward pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from lstm_lab.kernels.recording import (
    Args,
    Kwargs,
    Pair,
    RecordedCall,
    Recording,
    contiguous_runs,
    replayable,
    row_layout,
)
from lstm_lab.kernels.tape import Call, Const, Input, Instruction, Operation, Ref, Slot, Tape, UnsupportedOp

_MAX_RUNS = 256
"""Pieces that a tensor may be copied from, to make it contiguous."""


class Rule(NamedTuple):
    """How the writer puts an operator on the tape."""

    write: Callable[[Writer, Pair, Args, Kwargs], Slot]
    """Writer, result, arguments -> slot of the result. Raises UnsupportedOp where the tape cannot express the call."""
    takes_shape: bool = False
    """Whether the second argument is the shape of the result, which may contain the number of rows."""


class Node(NamedTuple):
    """One tensor of the step."""

    depends: int
    """0: on weights alone, 1: on the input, 2: on the state."""
    pair: Pair
    base: int
    """Owner of its memory: the node's number, or where it depends on the state, the offset of a field."""


class Writer:
    """Writes the forward pass of a tape.

    Args:
        leaves: parameters and buffers by name.
        one, two: recordings with `ROWS` rows.
        rules: operator -> rule.
    """

    def __init__(self, leaves: dict[str, Tensor], one: Recording, two: Recording, rules: Mapping[str, Rule]) -> None:
        self.tape = Tape()
        self.rules = rules
        self.nodes: list[Node] = []
        self.known: dict[int, int] = {}  # id of a tensor of the first recording -> its node
        self.owners: dict[int, int] = {}  # address of its memory -> base
        self.deferrable: dict[int, tuple[RecordedCall, Pair]] = {}  # node of the prologue -> pointwise call with a rule
        self.deferred: dict[int, int] = {}  # such a node -> its field on the tape, -1 where the tape cannot express it
        self.one, self.two = one, two
        for name, leaf in leaves.items():
            self.tape.leaves[self.enter(0, (leaf, leaf))] = name
        self.tape.x = self.enter(1, (one.x, two.x))
        for part, pair in enumerate(zip(one.state, two.state, strict=True)):
            width = pair[0].shape[1]
            self.tape.state_widths.append(width)
            offset = self.allocate(width)
            self.enter(2, pair, base=offset)
            self.tape.forward.append(
                Instruction(Operation.COPY, Slot("values", offset), (Slot(f"state{part}", 0),), width)
            )

    def enter(self, depends: int, pair: Pair, base: int | None = None) -> int:
        """Enter a tensor and return the number of its node. `depends` and `base` as in `Node`."""
        number = len(self.nodes)
        address = pair[0].untyped_storage().data_ptr()
        if base is None:
            base = self.owners.get(address, number)
        if address:
            self.owners.setdefault(address, base)
        self.nodes.append(Node(depends, pair, base))
        self.known[id(pair[0])] = number
        return number

    def allocate(self, width: int) -> int:
        """Offset of a new field of `width` elements in `values`."""
        self.tape.fields.append((self.tape.width, width))
        self.tape.width += width
        return self.tape.width - width

    def write(self) -> Tape:
        """The tape of the forward pass.

        Raises:
            UnsupportedOp: the step does what a tape cannot express.
        """
        differs = UnsupportedOp("the step does something else for another number of rows")
        if [call.function for call in self.one.calls] != [call.function for call in self.two.calls]:
            raise differs
        for one, two in zip(self.one.calls, self.two.calls, strict=True):
            if one.function is torch.ops.aten.lift_fresh.default:  # torch.tensor(...): numbers, whatever the input
                if not (isinstance(one.out, Tensor) and isinstance(two.out, Tensor) and torch.equal(one.out, two.out)):
                    raise differs
                self.tape.numbers[self.enter(0, (one.out, two.out))] = one.out
            else:
                self._write_call(one, two)
        self._write_results()
        self._prune_prologue()
        return self.tape

    def _write_call(self, one: RecordedCall, two: RecordedCall) -> None:
        """Write one operation, as it was called in either recording, on the tape or in the prologue."""
        flat, structure = tree_flatten((one.args, one.kwargs))
        flat2, _ = tree_flatten((two.args, two.kwargs))
        for value in flat:
            if isinstance(value, Tensor) and id(value) not in self.known:
                raise UnsupportedOp(f"{one.function} reads a tensor that is neither parameter, buffer, input nor state")
        depends = max((self.nodes[self.known[id(v)]].depends for v in flat if isinstance(v, Tensor)), default=0)
        pairs = [
            pair for pair in zip(tree_flatten(one.out)[0], tree_flatten(two.out)[0], strict=True)
            if isinstance(pair[0], Tensor)
        ]  # fmt: skip
        if not pairs:
            raise UnsupportedOp(f"{one.function} turns a tensor into a number, which a recording would not update")
        fixed = self._is_independent_of_rows(one, two)
        if depends < 2:
            # Made of numbers alone, but with a row for each row: zeros, for example.
            depends = max(depends, int(any(a.shape != b.shape for a, b in pairs)))
            arguments = replayable(structure, flat, flat2, self.known)
            made = [self.enter(depends, pair) for pair in pairs]
            self.tape.prologue.append(Call(one.function, arguments, made))
            if depends and fixed and one.name in self.rules and self.nodes[made[0]].base == made[0]:
                self.deferrable[made[0]] = (one, pairs[0])
        elif pairs[0][0].untyped_storage().data_ptr() in self.owners:  # a view
            for pair in pairs:
                self.enter(2, pair)
        elif not fixed:
            raise UnsupportedOp(f"{one.function} computes with the number of rows")
        else:
            self.enter(2, pairs[0], base=self._apply_rule(one, pairs[0]).offset)

    def _is_independent_of_rows(self, one: RecordedCall, two: RecordedCall) -> bool:
        """Whether the numbers among its arguments are the same in both recordings, but for a shape."""
        rule = self.rules.get(one.name)
        skipped = slice(1, 2) if rule is not None and rule.takes_shape else slice(0, 0)
        values = []
        for call in (one, two):
            args = [value for i, value in enumerate(call.args) if i not in range(*skipped.indices(len(call.args)))]
            values.append(tree_flatten((args, call.kwargs))[0])
        return all(isinstance(a, Tensor) or a == b for a, b in zip(*values, strict=True))

    def _write_results(self) -> None:
        """Copies of the output and the new state to where they belong."""
        output = (self.one.output, self.two.output)
        parts = list(zip(self.one.new_state, self.two.new_state, strict=True))
        if [part[0].shape[1:] for part in parts] != [(width,) for width in self.tape.state_widths]:
            raise UnsupportedOp("the new state has other shapes than the old one")
        self.tape.output_width = output[0].shape[1]
        ends = []
        for pair in (output, *parts):
            slot = self.contiguous(pair)
            if slot.buffer == "values" and slot.offset < sum(self.tape.state_widths):
                # A part of the old state that is kept: its own slot is needed for its gradient in the backward pass.
                slot = self.put(Operation.COPY, pair[0].shape[1], slot)
            ends.append(slot)
        buffers = ["output", *(f"state{part}" for part in range(len(parts)))]
        widths = [self.tape.output_width, *self.tape.state_widths]
        for buffer, slot, width in zip(buffers, ends, widths, strict=True):
            self.tape.forward.append(Instruction(Operation.COPY, Slot(buffer, 0), (slot,), width))

    def _prune_prologue(self) -> None:
        """Drop the calls of the prologue whose results nothing reads."""
        needed = {entry.node for entry in self.tape.inputs}
        needed |= {entry.node for entry in self.tape.consts} | {entry.node for entry in self.tape.matrices}
        calls = []
        for call in reversed(self.tape.prologue):
            if needed & set(call.outputs):
                calls.append(call)
                needed |= {ref.node for ref in tree_flatten(call.arguments)[0] if isinstance(ref, Ref)}
        self.tape.prologue = calls[::-1]

    # ---- layout

    def find(self, tensor: Tensor) -> Slot:
        """Slot of the first element of the memory of a tensor that depends on rows."""
        node = self.nodes[self.number(tensor)]
        if node.depends == 2:
            return Slot("values", node.base)
        if node.base in self.deferrable:
            # Cheaper on the tape, where the row is in the cache, than for all steps before.
            if node.base not in self.deferred:
                self.deferred[node.base] = self._defer(node.base)
            if self.deferred[node.base] >= 0:
                return Slot("values", self.deferred[node.base])
        layout = row_layout(self.nodes[node.base].pair)
        entry = Input(node.base, (layout.row, *layout.by_stride()), math.prod(layout.sizes.values()))
        if entry not in self.tape.inputs:
            self.tape.inputs.append(entry)
        return Slot(f"input{self.tape.inputs.index(entry)}", 0)

    def number(self, tensor: Tensor) -> int:
        """Node of a tensor of the first recording."""
        if id(tensor) not in self.known:
            raise UnsupportedOp("the step returns a tensor that it did not compute")
        return self.known[id(tensor)]

    def pair_of(self, tensor: Tensor) -> Pair:
        """A tensor of the first recording with its counterpart of the second."""
        return self.nodes[self.number(tensor)].pair

    def depends_on_rows(self, tensor: Tensor) -> bool:
        """Whether a tensor depends on the input or the state."""
        return self.nodes[self.number(tensor)].depends > 0

    def contiguous(
        self, pair: Pair, shapes: tuple[torch.Size, torch.Size] | None = None, order: Sequence[int] | None = None
    ) -> Slot:
        """Slot of a tensor's elements one after another, copied there if they were not.

        Args:
            shapes: pair of shapes to expand it to, as torch broadcasts.
            order: of the dimensions within a row; None for that of the tensor.
        """
        start = self.find(pair[0])
        if shapes is not None:
            pair = (pair[0].expand(shapes[0]), pair[1].expand(shapes[1]))
        layout = row_layout(pair)
        order = [d for d in (range(pair[0].dim()) if order is None else order) if d != layout.row]
        dims = [(layout.sizes[d], layout.strides[d]) for d in order if layout.sizes[d] != 1]
        width, at = math.prod(size for size, _ in dims), start.offset + layout.offset
        runs = contiguous_runs(dims)
        if len(runs) == 1 and (runs[0][2] == 1 or width == 1):
            return Slot(start.buffer, at)
        if len(runs) > _MAX_RUNS:
            raise UnsupportedOp("a tensor is spread over too many pieces")
        to = self.allocate(width)
        for first, length, stride in runs:
            operation = Operation.COPY if stride == 1 or length == 1 else Operation.EXPAND
            source = Slot(start.buffer, at + first)
            self.tape.forward.append(Instruction(operation, Slot("values", to), (source,), length))
            to += length
        return Slot("values", to - width)

    def const(self, number: int, shape: Sequence[int], order: Sequence[int]) -> Slot:
        """Slot of a node that all rows share, expanded to a shape with one row."""
        entry = Const(number, tuple(shape), tuple(order), math.prod(shape))
        if entry not in self.tape.consts:
            self.tape.consts.append(entry)
        return Slot("const", sum(other.width for other in self.tape.consts[: self.tape.consts.index(entry)]))

    def operand(self, value: Tensor, out: Pair) -> Slot:
        """Slot of an argument of a pointwise operation, in the layout of its result."""
        layout = row_layout(out)
        order, number = layout.by_stride(), self.number(value)
        if self.nodes[number].depends == 0:
            shape = [1 if d == layout.row else n for d, n in enumerate(out[0].shape)]
            return self.const(number, shape, (layout.row, *order))
        return self.contiguous(self.nodes[number].pair, (out[0].shape, out[1].shape), order)

    # ---- instructions

    def put(self, operation: Operation, width: int, *arguments: Slot, scale: float = 1.0, shift: float = 0.0) -> Slot:
        """Append an instruction; returns the slot of its result, a new field."""
        to = Slot("values", self.allocate(width))
        self.tape.forward.append(Instruction(operation, to, arguments, width, scale, shift))
        return to

    def _defer(self, node: int) -> int:
        """Field of a node of the prologue, computed on the tape; -1 where that is not possible."""
        before = len(self.tape.forward), len(self.tape.fields), self.tape.width
        try:
            return self._apply_rule(*self.deferrable[node]).offset
        except UnsupportedOp:
            del self.tape.forward[before[0] :], self.tape.fields[before[1] :]
            self.tape.width = before[2]
            self.deferred = {made: offset for made, offset in self.deferred.items() if offset < self.tape.width}
            return -1

    def _apply_rule(self, call: RecordedCall, out: Pair) -> Slot:
        rule = self.rules.get(call.name)
        if rule is None:
            raise UnsupportedOp(f"no rule for {call.function}")
        return rule.write(self, out, call.args, call.kwargs)
