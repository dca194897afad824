"""Tables of a page: columns, cells, and numbers aligned at their decimal points."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from lstm_lab.records.run_record import finite
from lstm_lab.report import fmt

FIGURE_SPACE, PUNCTUATION_SPACE = "\u2007", "\u2008"
"""As wide as a digit, and as a point."""


@dataclass(frozen=True)
class Column:
    """A column's heading."""

    name: str
    numeric: bool = False
    title: str = ""
    """Explanation of the name, shown on hovering."""


@dataclass(frozen=True)
class Cell:
    """A value of a table as text."""

    text: str
    value: str | float | None = None
    """What the column is sorted by, at full precision; None sorts last."""
    kind: str = ""
    """CSS class."""


@dataclass(frozen=True)
class Table:
    """A table with its caption."""

    caption: str
    columns: list[Column]
    rows: list[list[Cell]]
    """The first cell of each row is its heading."""
    sortable: bool = False
    highlighted: frozenset[int] = field(default_factory=frozenset)
    """Indices of emphasised rows."""
    id: str = ""

    @classmethod
    def of_columns(
        cls, caption: str, columns: list[Column], cells: Sequence[list[Cell]], *, sortable: bool = False,
        highlighted: Iterable[int] = (), id: str = "",
    ) -> Table:  # fmt: skip
        """A table from its columns' cells, in the order of the columns."""
        rows = [list(row) for row in zip(*cells, strict=True)]
        return cls(caption, columns, rows, sortable, frozenset(highlighted), id)


def number_cell(value: int | None) -> Cell:
    """A whole number, or a dash."""
    return Cell(fmt.number(value), value, "number")


def aligned(values: Iterable[float | None], to_text: Callable[[float | None], str] = fmt.number) -> list[Cell]:
    """Cells of a numeric column, padded so that decimal points are below one another."""
    values = list(values)
    texts = [to_text(value) for value in values]
    decimals = [text.partition(".")[2] if finite(value) else "" for text, value in zip(texts, values, strict=True)]
    widest = max(map(len, decimals), default=0)
    cells = []
    for value, text, decimal in zip(values, texts, decimals, strict=True):
        padding = FIGURE_SPACE * (widest - len(decimal)) + (PUNCTUATION_SPACE if widest and not decimal else "")
        cells.append(Cell(text + (padding if finite(value) else ""), value, "number"))
    return cells


def percentages(values: Iterable[float | None], decimals: int = 1) -> list[Cell]:
    """Shares between 0 and 1 as aligned percentages; a dash for a missing one."""
    return aligned(values, lambda share: fmt.MISSING if share is None else f"{100 * share:.{decimals}f} %")
