"""What a page holds, before it becomes HTML, Markdown or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lstm_lab.report.parts.figures import Figure
from lstm_lab.report.parts.tables import Table


@dataclass(frozen=True)
class Stat:
    """One number that a reader looks for."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """How the model stands against the baselines on one part."""

    text: str
    lost: bool


@dataclass(frozen=True)
class Answer:
    lede: str
    stats: list[Stat] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    sure: list[str] = field(default_factory=list)
    """By how much, and how sure that is."""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Part:
    """What stands together below one heading of the third order, or below none."""

    title: str = ""
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    after: Sequence[str] = ()
    """Sentences about the tables, below them."""
    figures: Sequence[Figure] = ()
    code: str = ""
    facts: Sequence[tuple[str, str]] = ()

    def __bool__(self) -> bool:
        """Sentences alone are no part: they speak of what stands beside them."""
        return bool(self.tables or self.figures or self.code or self.facts)


@dataclass(frozen=True)
class Section:
    """One heading and the parts below it; parts with nothing in them are left out."""

    id: str
    title: str
    parts: Sequence[Part]

    def __bool__(self) -> bool:
        """A heading with nothing below it is left out."""
        return any(self.parts)


@dataclass(frozen=True)
class Page:
    """All that a page shows."""

    title: str
    about: str
    """The line above the title."""
    notice: str
    """What a reader must know first: that it has not ended, or has failed."""
    answer: Answer
    commands: Sequence[tuple[str, str]]
    """What it does, and how it is typed."""
    sections: Sequence[Section]

    @classmethod
    def of(cls, *, sections: Sequence[Section], **more: object) -> Page:
        """A page without its empty sections and parts."""
        kept = [Section(s.id, s.title, [part for part in s.parts if part]) for s in sections if s]
        return cls(sections=kept, **more)  # type: ignore[arg-type]
