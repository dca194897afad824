"""The way back of a tape, derived operation by operation by the rules of calculus."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise

from lstm_lab.kernels.tape import Move, Refused, Slot, Tape


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
        for fields, feed in self.sums():
            place = Slot("grad", fields[0]) if feed is None else Slot(f"d{feed}", 0)
            self.places.update(dict.fromkeys(fields, place))
        tape.local = tape.width

    def owner(self, at: int) -> int:
        """First element of the field that an element of the record belongs to."""
        return self.firsts[bisect_right(self.firsts, at) - 1]

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
        return list(pairwise(ordered))

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
        width = 1 if move.kind == "TOTAL" else move.width
        for first, last in r.pieces(move.to, width):
            _back(r, move if last - first == width else _part(move, first, last))
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
            slot = Slot("dmatrix", r.tape.matrix(move.matrix))
            r.tape.back.append(Move("OUTER", slot, (a, g), width, matrix=move.matrix, add=True))
            r.to(a, "PRODUCT", (g,), r.tape.matrices[move.matrix][2], matrix=move.matrix)
