"""The backward pass of a tape, derived instruction by instruction: reverse-mode differentiation."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise

from lstm_lab.kernels.tape import Instruction, Operation, Slot, Tape, UnsupportedOp

_OF_RESULT = {
    Operation.SIGMOID: Operation.D_SIGMOID,
    Operation.TANH: Operation.D_TANH,
    Operation.RELU: Operation.D_RELU,
    Operation.LOGSIGMOID: Operation.D_LOGSIGMOID,
    Operation.SQRT: Operation.D_SQRT,
}
"""Operation -> derivative that reads the result."""
_OF_ARGUMENT = {Operation.SOFTPLUS: Operation.D_SOFTPLUS, Operation.ABS: Operation.D_ABS}
"""Operation -> derivative that reads the argument."""
_OF_BOTH = {Operation.MAX: Operation.D_MAX, Operation.MIN: Operation.D_MIN}
"""Operation -> derivative that reads both arguments, the one it belongs to first."""
_WHOLE = (Operation.MATMUL, Operation.NORMALIZE, Operation.SUM, Operation.EXPAND)
"""Operations whose elements depend on each other."""


class _Written:
    """Which elements of the gradient buffers have been written in this step: the first write sets, later ones add."""

    def __init__(self) -> None:
        self.ranges: dict[str, list[tuple[int, int]]] = {}

    def missing(self, slot: Slot, width: int) -> list[tuple[int, int]]:
        """[first, last) of the elements that have not been written."""
        gaps, at, end = [], slot.offset, slot.offset + width
        for first, last in sorted(self.ranges.get(slot.buffer, ())):
            if last <= at or first >= end:
                continue
            if first > at:
                gaps.append((at, first))
            at = max(at, last)
        return gaps + ([(at, end)] if at < end else [])

    def add(self, buffer: str, first: int, last: int) -> None:
        self.ranges.setdefault(buffer, []).append((first, last))


class _BackwardBuilder:
    def __init__(self, tape: Tape) -> None:
        self.tape, self.written = tape, _Written()
        self.firsts = sorted(offset for offset, _ in tape.fields)
        self.slots: dict[int, Slot] = {}  # offset of a field -> slot of its gradient, where that is not in `grad`
        offset = 0
        for part, width in enumerate(tape.state_widths):
            self.slots[offset] = Slot(f"grad_state{part}", 0)
            offset += width
        for fields, source in self.shared_gradients():
            slot = Slot("grad", fields[0]) if source is None else Slot(f"grad_{source}", 0)
            self.slots.update(dict.fromkeys(fields, slot))
        tape.grad_width = tape.width

    def field_of(self, offset: int) -> int:
        """Offset of the field that an element of `values` belongs to."""
        return self.firsts[bisect_right(self.firsts, offset) - 1]

    def shared_gradients(self) -> list[tuple[list[int], str | None]]:
        """Groups of fields, with at most one input buffer each, whose gradients are equal and need one slot only.

        These are a sum and those of its terms that nothing else reads.
        """
        uses = [slot for instruction in self.tape.forward for slot in instruction.arguments]
        groups: dict[int, tuple[list[int], str | None]] = {}
        for added in reversed(self.tape.forward):
            is_field = (added.to.offset, added.width) in self.tape.fields
            if added.operation is not Operation.ADD or added.scale != 1 or not is_field:
                continue
            fields, source = groups.get(added.to.offset, ([added.to.offset], None))
            for slot in added.arguments:
                reads = sum(
                    u.buffer == slot.buffer and slot.offset <= u.offset < slot.offset + added.width for u in uses
                )
                if slot.buffer == "values":
                    whole = (slot.offset, added.width) in self.tape.fields and slot.offset not in self.slots
                    if whole and reads == 1:
                        fields.append(slot.offset)
                elif slot.buffer.startswith("input") and source is None and reads == 1:
                    number = int(slot.buffer.removeprefix("input"))
                    source = slot.buffer if self.tape.inputs[number].width == added.width else None
            groups.update(dict.fromkeys(fields, (fields, source)))
        return [group for group in groups.values() if len(group[0]) > 1 or group[1] is not None]

    def grad(self, slot: Slot) -> Slot:
        """Slot of the gradient of a slot."""
        if slot.buffer != "values":
            return Slot(f"grad_{slot.buffer}", slot.offset)
        first = self.field_of(slot.offset)
        found = self.slots.get(first, Slot("grad", first))
        return Slot(found.buffer, found.offset + slot.offset - first)

    def pieces(self, slot: Slot, width: int) -> list[tuple[int, int]]:
        """[first, last) of the elements of a slot, cut where the slot of the gradient changes."""
        if slot.buffer != "values":
            return [(0, width)]
        cuts = [0, *(first - slot.offset for first in self.firsts if 0 < first - slot.offset < width), width]
        return list(pairwise(cuts))

    def fill(self, slot: Slot, width: int) -> None:
        """Zeros where nothing has been written."""
        for first, last in self.written.missing(slot, width):
            self.tape.backward.append(Instruction(Operation.FILL, Slot(slot.buffer, first), (), last - first, 0.0))
            self.written.add(slot.buffer, first, last)

    def add(
        self,
        slot: Slot,
        operation: Operation,
        arguments: tuple[Slot, ...],
        width: int,
        scale: float = 1.0,
        matrix: int = -1,
        size: int | None = None,
    ) -> None:
        """Add operation(arguments) to the gradient of a slot with `size` elements, by default `width`."""
        to, size = self.grad(slot), width if size is None else size
        if operation is Operation.COPY and arguments == (to,):
            return  # A term that shares the gradient of the sum.
        if len(self.pieces(slot, size)) > 1:
            raise UnsupportedOp(f"the gradient of {operation.name} is spread over several fields")
        if to.buffer == "grad_const":
            self.add_to_const(to, operation, arguments, width, scale)
            return
        fresh = self.written.missing(to, size) == [(to.offset, to.offset + size)]
        if not fresh:
            self.fill(to, size)
        self.written.add(to.buffer, to.offset, to.offset + size)
        self.tape.backward.append(
            Instruction(operation, to, arguments, width, scale, matrix=matrix, accumulate=not fresh)
        )

    def add_to_const(
        self, to: Slot, operation: Operation, arguments: tuple[Slot, ...], width: int, scale: float
    ) -> None:
        """Add operation(arguments), summed over all rows, to a slot of `grad_const`."""
        if operation is Operation.MUL:
            self.tape.backward.append(Instruction(Operation.SUM_PRODUCTS, to, arguments, width, accumulate=True))
            return
        if operation is not Operation.COPY:
            result = Slot("grad", self.tape.grad_width)
            self.tape.grad_width += width
            self.tape.backward.append(Instruction(operation, result, arguments, width, scale))
            arguments = (result,)
        self.tape.backward.append(Instruction(Operation.SUM_ROWS, to, arguments, width, accumulate=True))


def derive_backward(tape: Tape) -> None:
    """Derive the backward pass of one step from its forward pass.

    Raises:
        UnsupportedOp: a gradient that the instructions cannot express.
    """
    builder = _BackwardBuilder(tape)
    results = [instruction for instruction in tape.forward if instruction.to.buffer == "values"]
    for end in tape.forward:  # the gradients that arrive: of the output, and of the new state
        if end.to.buffer == "values":
            continue
        (slot,) = end.arguments
        for first, last in builder.pieces(slot, end.width):
            source = Slot(f"grad_{end.to.buffer}", first)
            builder.add(Slot(slot.buffer, slot.offset + first), Operation.COPY, (source,), last - first)
    for instruction in reversed(results):
        if instruction.operation is Operation.FILL or instruction.arguments[0].buffer.startswith("state"):
            continue
        width = 1 if instruction.operation is Operation.SUM else instruction.width
        for first, last in builder.pieces(instruction.to, width):
            _differentiate(builder, instruction if last - first == width else _narrow(instruction, first, last))
    for part, width in enumerate(tape.state_widths):
        builder.fill(Slot(f"grad_state{part}", 0), width)
    for number, entry in enumerate(tape.inputs):
        builder.fill(Slot(f"grad_input{number}", 0), entry.width)


def _narrow(instruction: Instruction, first: int, last: int) -> Instruction:
    """The instruction on elements [first, last) alone."""
    if instruction.operation in _WHOLE:
        raise UnsupportedOp(f"the gradient of {instruction.operation.name} is spread over several fields")
    arguments = tuple(Slot(slot.buffer, slot.offset + first) for slot in instruction.arguments)
    to = Slot(instruction.to.buffer, instruction.to.offset + first)
    return instruction._replace(to=to, arguments=arguments, width=last - first)


def _differentiate(builder: _BackwardBuilder, instruction: Instruction) -> None:
    """Add the gradient of a result to those of its arguments."""
    out, width, operation = instruction.to, instruction.width, instruction.operation
    g = builder.grad(out)
    size = 1 if operation is Operation.SUM else width
    if operation is not Operation.MATMUL and builder.written.missing(g, size) == [(g.offset, g.offset + size)]:
        return  # The result has no influence on the output or the new state.
    builder.fill(g, size)

    def add(slot: Slot, derivative: Operation, *arguments: Slot, scale: float = 1.0) -> None:
        for first, last in builder.pieces(slot, width):
            moved = tuple(Slot(argument.buffer, argument.offset + first) for argument in arguments)
            builder.add(Slot(slot.buffer, slot.offset + first), derivative, moved, last - first, scale)

    a, b = (*instruction.arguments, out, out)[:2]
    match operation:
        case Operation.COPY:
            add(a, Operation.COPY, g)
        case Operation.ADD:
            add(a, Operation.COPY, g)
            add(b, Operation.AFFINE if instruction.scale != 1 else Operation.COPY, g, scale=instruction.scale)
        case Operation.AFFINE:
            add(a, Operation.AFFINE, g, scale=instruction.scale)
        case Operation.MUL:
            add(a, Operation.MUL, g, b)
            add(b, Operation.MUL, g, a)
        case Operation.DIV:
            add(a, Operation.DIV, g, b)
            add(b, Operation.D_DIV, g, out, b)
        case Operation.EXP:
            add(a, Operation.MUL, g, out)
        case Operation.LOG:
            add(a, Operation.DIV, g, a)
        case Operation.EXPAND:
            builder.add(a, Operation.SUM, (g,), width, instruction.scale, size=1)
        case Operation.SUM:
            builder.add(a, Operation.EXPAND, (g,), width, instruction.scale)
        case Operation.NORMALIZE:
            builder.add(a, Operation.D_NORMALIZE, (g, out, b), width)
        case Operation.MATMUL:
            _differentiate_matmul(builder, instruction, g)
        case _ if operation in _OF_RESULT:
            add(a, _OF_RESULT[operation], g, out)
        case _ if operation in _OF_ARGUMENT:
            add(a, _OF_ARGUMENT[operation], g, a)
        case _:
            add(a, _OF_BOTH[operation], g, a, b)
            add(b, _OF_BOTH[operation], g, b, a)


def _differentiate_matmul(builder: _BackwardBuilder, instruction: Instruction, g: Slot) -> None:
    tape, number, (a,) = builder.tape, instruction.matrix, instruction.arguments
    slot = Slot("grad_matrix", tape.matrix_offset(number))
    outer = Instruction(Operation.OUTER, slot, (a, g), instruction.width, matrix=number, accumulate=True)
    tape.backward.append(outer)
    builder.add(a, Operation.MATMUL, (g,), tape.matrices[number].k, matrix=number)
