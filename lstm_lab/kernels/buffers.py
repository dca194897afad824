"""Buffer allocation of a tape: what the backward pass reads is saved, the rest shares as little memory as possible."""

from __future__ import annotations

from bisect import bisect_right

from lstm_lab.kernels.tape import MAX_BUFFERS, Instruction, Operation, Slot, Tape, UnsupportedOp


def allocate_buffers(tape: Tape) -> None:
    """Replace the slots in `values` by slots in other buffers.

    The old state is read from `state`, and by the backward pass, where it equals the output, from `previous_output`.
    The output itself is read from `output`. Of a field that the backward pass reads in part, that part is saved; a
    field that is a number times another one is recomputed.

    Raises:
        UnsupportedOp: more buffers than the engine can address.
    """
    buffers = 8 + len(tape.state_widths) + 2 * len(tape.inputs)
    if buffers > MAX_BUFFERS:
        raise UnsupportedOp(f"the step needs {buffers} buffers, and the engine has {MAX_BUFFERS}")
    ranges: dict[int, list[tuple[int, int]]] = {}
    firsts = sorted(first for first, _ in tape.fields)
    for slot, width in _backward_reads(tape):
        first = firsts[bisect_right(firsts, slot.offset) - 1]
        ranges.setdefault(first, []).append((slot.offset, slot.offset + width))
    _fuse_additions(tape, set(ranges))
    allocator = _BufferAllocator(tape, firsts, ranges)
    tape.forward, tape.backward = allocator.forward_pass(), allocator.backward_pass()
    tape.width, tape.scratch_width = allocator.saved_width, allocator.scratch_width


def _backward_reads(tape: Tape) -> list[tuple[Slot, int]]:
    """Slots of `values` that the backward pass reads, and their widths."""
    reads = []
    for instruction in tape.backward:
        for slot in instruction.arguments:
            if slot.buffer == "values":
                outer = instruction.operation is Operation.OUTER
                reads.append((slot, tape.matrices[instruction.matrix].k if outer else instruction.width))
    moments = [entry.arguments[1] for entry in tape.forward if entry.operation is Operation.NORMALIZE]
    return reads + [(slot, 2) for slot in moments]


class _BufferAllocator:
    """Finds for each field its slot in the forward and in the backward pass.

    Args:
        firsts: offsets of the fields in `values`, ascending.
        ranges: offset of a field -> [first, last) of what the backward pass reads of it.
    """

    def __init__(self, tape: Tape, firsts: list[int], ranges: dict[int, list[tuple[int, int]]]) -> None:
        self.tape, self.firsts = tape, firsts
        self.saved_width = self.scratch_width = 0
        self.in_forward: dict[int, Slot] = {}  # field -> slot in the forward pass
        self.in_backward: dict[int, Slot] = {}  # field -> slot in the backward pass
        self.saving: list[tuple[int, Instruction]] = []  # field (-1: a state) -> copy into `saved` after its last write
        self.recomputing: list[Instruction] = []  # at the start of the backward pass
        ends = [entry for entry in tape.forward if entry.to.buffer != "values"]
        output = ends[0].arguments[0]
        if output.buffer == "values" and (output.offset, tape.output_width) in tape.fields:
            self.in_forward[output.offset] = self.in_backward[output.offset] = Slot("output", 0)
            tape.output_is_saved = True
        offset = 0
        for part, (end, width) in enumerate(zip(ends[1:], tape.state_widths, strict=True)):
            self.in_forward[offset] = Slot(f"state{part}", 0)
            if offset in ranges:
                if tape.output_is_saved and tape.output_state is None and end.arguments[0] == output:
                    self.in_backward[offset], tape.output_state = Slot("previous_output", 0), part
                else:
                    self.in_backward[offset] = slot = self.allocate_saved(width)
                    self.saving.append((-1, Instruction(Operation.COPY, slot, (self.in_forward[offset],), width)))
            offset += width
        writers = {entry.to.offset: entry for entry in tape.forward if entry.to.buffer == "values"}
        for first, width in tape.fields:
            if first not in self.in_forward:
                self.allocate_field(first, width, ranges.get(first, []), writers.get(first))

    def allocate_saved(self, width: int) -> Slot:
        self.saved_width += width
        return Slot("saved", self.saved_width - width)

    def allocate_scratch(self, width: int) -> Slot:
        self.scratch_width += width
        return Slot("scratch", self.scratch_width - width)

    def allocate_field(self, first: int, width: int, ranges: list[tuple[int, int]], writer: Instruction | None) -> None:
        low, high = min((a for a, _ in ranges), default=first), max((b for _, b in ranges), default=first)
        source = None
        if writer is not None and writer.operation is Operation.AFFINE and writer.width == width and ranges:
            source = self.find_saved(writer.arguments[0])
        if writer is not None and source is not None:
            self.in_forward[first] = self.allocate_scratch(width)
            self.in_backward[first] = Slot("grad", self.tape.grad_width)
            self.tape.grad_width += width
            self.recomputing.append(writer._replace(to=self.in_backward[first], arguments=(source,)))
        elif ranges and high - low > 3 * width // 4:
            self.in_forward[first] = self.in_backward[first] = self.allocate_saved(width)
        else:
            self.in_forward[first] = slot = self.allocate_scratch(width)
            if ranges:
                part = self.allocate_saved(high - low)
                self.in_backward[first] = Slot("saved", part.offset - (low - first))
                read = Slot("scratch", slot.offset + low - first)
                self.saving.append((first, Instruction(Operation.COPY, part, (read,), high - low)))

    def find_saved(self, slot: Slot) -> Slot | None:
        """Slot of the same values in the backward pass, if all of the field is saved."""
        if slot.buffer != "values":
            return slot
        first = self.field_of(slot.offset)
        found = self.in_backward.get(first)
        if found is None or found.buffer == "grad" or any(field == first for field, _ in self.saving):
            return None
        return Slot(found.buffer, found.offset + slot.offset - first)

    def field_of(self, offset: int) -> int:
        return self.firsts[bisect_right(self.firsts, offset) - 1]

    def moved(self, slot: Slot, slots: dict[int, Slot]) -> Slot:
        if slot.buffer != "values":
            return slot
        first = self.field_of(slot.offset)
        return Slot(slots[first].buffer, slots[first].offset + slot.offset - first)

    def replaced(self, instruction: Instruction, slots: dict[int, Slot]) -> Instruction:
        arguments = tuple(self.moved(slot, slots) for slot in instruction.arguments)
        return instruction._replace(to=self.moved(instruction.to, slots), arguments=arguments)

    def forward_pass(self) -> list[Instruction]:
        instructions = [copy for field, copy in self.saving if field < 0]
        last_write = {}
        for number, entry in enumerate(self.tape.forward):
            if entry.to.buffer == "values":
                last_write[self.field_of(entry.to.offset)] = number
        for number, entry in enumerate(self.tape.forward):
            new = self.replaced(entry, self.in_forward)
            if new.operation is not Operation.COPY or new.arguments != (new.to,):
                instructions.append(new)
            instructions += [copy for field, copy in self.saving if field >= 0 and last_write[field] == number]
        return instructions

    def backward_pass(self) -> list[Instruction]:
        return self.recomputing + [self.replaced(entry, self.in_backward) for entry in self.tape.backward]


def _fuse_additions(tape: Tape, read: set[int]) -> None:
    """X + a M where nothing else reads a M: X is copied, and the product added to it.

    Args:
        read: offsets of the fields that the backward pass reads.
    """
    instructions: list[Instruction] = []
    for entry in tape.forward:
        fused = _fused(tape, entry, instructions, read)
        if fused is None:
            instructions.append(entry)
        else:
            product, other = fused
            instructions.remove(product)
            instructions.append(Instruction(Operation.COPY, entry.to, (other,), entry.width))
            instructions.append(product._replace(to=entry.to, accumulate=True))
    tape.forward = instructions


def _fused(
    tape: Tape, entry: Instruction, before: list[Instruction], read: set[int]
) -> tuple[Instruction, Slot] | None:
    """The product among the terms of a sum that can be fused with it, and the other term."""
    if entry.operation is not Operation.ADD or entry.scale != 1:
        return None
    for term, other in (entry.arguments, entry.arguments[::-1]):
        product = next(
            (m for m in before if m.operation is Operation.MATMUL and m.to == term and m.width == entry.width), None
        )
        uses = sum(term in m.arguments for m in tape.forward)
        unread = term.buffer == "values" and term.offset not in read
        if product is not None and not product.accumulate and unread and uses == 1:
            return product, other
    return None
