"""What a page consists of, before it is rendered as HTML, Markdown or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from lstm_lab.report.parts.figures import Figure
from lstm_lab.report.parts.tables import Table
from lstm_lab.report.verdict import Verdict


@dataclass(frozen=True)
class Stat:
    """One number of the summary, with its label and a note below it."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Summary:
    """The top of a page."""

    headline: str
    stats: list[Stat] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    """The model beside its baselines, one sentence per split."""
    comparisons: list[str] = field(default_factory=list)
    """Differences with their uncertainty."""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Subsection:
    """Text, tables, figures, code and a list of named items below one heading of the third level, or below none."""

    title: str = ""
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    remarks: Sequence[str] = ()
    """Sentences below the tables."""
    figures: Sequence[Figure] = ()
    code: str = ""
    items: Sequence[tuple[str, str]] = ()
    """Name and value."""
    marked: Sequence[tuple[str, float]] = ()
    """Words of a text, and how strongly each is marked: from -1 to 1, in two colours."""

    def __bool__(self) -> bool:
        """Text alone makes no subsection: it describes what stands beside it."""
        return bool(self.tables or self.figures or self.code or self.items or self.marked)


@dataclass(frozen=True)
class Section:
    """A heading of the second level and the subsections below it."""

    id: str
    title: str
    subsections: Sequence[Subsection]


@dataclass(frozen=True)
class Page:
    """Everything that a page shows."""

    title: str
    subtitle: str
    """The line above the title: what the page is about, and from when."""
    notice: str
    """What a reader must know first: that the run or sweep has not ended, or has failed. Else empty."""
    summary: Summary
    commands: Sequence[tuple[str, str]]
    """What a command does, and the command line."""
    sections: Sequence[Section]

    def without_empty(self) -> Page:
        """The same without sections and subsections that have no content."""
        sections = [replace(s, subsections=[inner for inner in s.subsections if inner]) for s in self.sections]
        return replace(self, sections=[section for section in sections if section.subsections])
