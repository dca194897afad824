"""Where everything of a tape lies: what the way back reads is kept, and all else shares as little room as can be."""

from __future__ import annotations

from bisect import bisect_right

from lstm_lab.kernels.tape import Move, Slot, Tape


def settle(tape: Tape) -> None:
    """Say where everything lies: kept for the way back what that reads, and in as few places as can be.

    The old state is read where it lies, and on the way back, where it is what was shown, from the step before. What was
    shown needs no second place. Of a field that is read in part, that part is kept; what is one number times another
    field is made again.
    """
    read: dict[int, list[tuple[int, int]]] = {}
    firsts = sorted(first for first, _ in tape.fields)
    for slot, width in _reads(tape):
        first = firsts[bisect_right(firsts, slot.at) - 1]
        read.setdefault(first, []).append((slot.at, slot.at + width))
    fuse(tape, set(read))
    keeper = _Keeper(tape, firsts, read)
    tape.moves = keeper.forward()
    tape.back = keeper.backward()
    tape.width, tape.spare = keeper.width, keeper.spare


def _reads(tape: Tape) -> list[tuple[Slot, int]]:
    """What the way back reads of the way forward."""
    read = []
    for move in tape.back:
        for slot in move.arguments:
            if slot.space == "record":
                read.append((slot, tape.matrices[move.matrix][2] if move.kind == "OUTER" else move.width))
    return read + [(move.arguments[1], 2) for move in tape.moves if move.kind == "NORMAL"]


class _Keeper:
    def __init__(self, tape: Tape, firsts: list[int], read: dict[int, list[tuple[int, int]]]) -> None:
        self.tape, self.firsts = tape, firsts
        self.width = self.spare = 0
        self.now: dict[int, Slot] = {}  # field -> where it lies on the way forward
        self.later: dict[int, Slot] = {}  # field -> where the way back finds it
        self.kept: list[tuple[int, Move]] = []  # after the last write to a field: what is copied into the record
        self.again: list[Move] = []  # what the way back makes again
        ends = [move for move in tape.moves if move.to.space == "out" or move.to.space.startswith("state")]
        shown = ends[0].arguments[0]
        if shown.space == "record" and (shown.at, tape.out) in tape.fields:
            self.now[shown.at] = self.later[shown.at] = Slot("out", 0)
            tape.shown = True
        at = 0
        for part, (end, width) in enumerate(zip(ends[1:], tape.state, strict=True)):
            self.now[at] = Slot(f"state{part}", 0)
            if at in read:
                if tape.shown and tape.before is None and end.arguments[0] == shown:
                    self.later[at], tape.before = Slot("before", 0), part
                else:
                    self.later[at] = self.record(width)
                    self.kept.append((-1, Move("COPY", self.later[at], (self.now[at],), width)))
            at += width
        made = {move.to.at: move for move in tape.moves if move.to.space == "record"}
        for first, width in tape.fields:
            if first not in self.now:
                self.place(first, width, read.get(first, []), made.get(first))

    def record(self, width: int) -> Slot:
        self.width += width
        return Slot("record", self.width - width)

    def place(self, first: int, width: int, read: list[tuple[int, int]], maker: Move | None) -> None:
        low, high = min((a for a, _ in read), default=first), max((b for _, b in read), default=first)
        source = maker.arguments[0] if maker is not None and maker.kind == "LINEAR" and maker.width == width else None
        if read and source is not None and self.found(source) is not None:
            self.now[first] = self.temporary(width)
            self.later[first] = Slot("grad", self.tape.local)
            self.tape.local += width
            assert maker is not None
            self.again.append(maker._replace(to=self.later[first], arguments=(self.found(source),)))  # type: ignore[arg-type]
        elif read and high - low > 3 * width // 4:
            self.now[first] = self.later[first] = self.record(width)
        else:
            self.now[first] = self.temporary(width)
            if read:
                part = self.record(high - low)
                self.later[first] = Slot("record", part.at - (low - first))
                place = Slot("spare", self.now[first].at + low - first)
                self.kept.append((first, Move("COPY", part, (place,), high - low)))

    def temporary(self, width: int) -> Slot:
        self.spare += width
        return Slot("spare", self.spare - width)

    def found(self, slot: Slot) -> Slot | None:
        """Where the way back finds something, if it is kept whole."""
        if slot.space != "record":
            return slot
        first = self.firsts[bisect_right(self.firsts, slot.at) - 1]
        whole = self.later.get(first)
        if whole is None or whole.space == "grad" or any(field == first for field, _ in self.kept):
            return None
        return Slot(whole.space, whole.at + slot.at - first)

    def new(self, slot: Slot, places: dict[int, Slot]) -> Slot:
        if slot.space != "record":
            return slot
        first = self.firsts[bisect_right(self.firsts, slot.at) - 1]
        return Slot(places[first].space, places[first].at + slot.at - first)

    def forward(self) -> list[Move]:
        moves: list[Move] = [move for first, move in self.kept if first < 0]
        last = {}
        for number, move in enumerate(self.tape.moves):
            if move.to.space == "record":
                last[self.firsts[bisect_right(self.firsts, move.to.at) - 1]] = number
        for number, move in enumerate(self.tape.moves):
            settled = self.settled(move, self.now)
            if settled.kind != "COPY" or settled.arguments != (settled.to,):
                moves.append(settled)
            moves += [copy for first, copy in self.kept if first >= 0 and last[first] == number]
        return moves

    def backward(self) -> list[Move]:
        return self.again + [self.settled(move, self.later) for move in self.tape.back]

    def settled(self, move: Move, places: dict[int, Slot]) -> Move:
        return move._replace(
            to=self.new(move.to, places), arguments=tuple(self.new(slot, places) for slot in move.arguments)
        )


def fuse(tape: Tape, read: set[int]) -> None:
    """X + a M, where nobody else wants a M: X copied first, and the product added to it."""
    moves: list[Move] = []
    for move in tape.moves:
        if move.kind == "PLUS" and move.s == 1:
            for term, other in (move.arguments, move.arguments[::-1]):
                made = next((m for m in moves if m.kind == "PRODUCT" and m.to == term and m.width == move.width), None)
                uses = sum(term in m.arguments for m in tape.moves)
                if made is not None and not made.add and term.space == "record" and uses == 1 and term.at not in read:
                    moves.remove(made)
                    moves.append(Move("COPY", move.to, (other,), move.width))
                    moves.append(made._replace(to=move.to, add=True))
                    break
            else:
                moves.append(move)
        else:
            moves.append(move)
    tape.moves = moves
