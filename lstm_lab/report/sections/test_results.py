"""What the record of an opening of the test part shows beside its scores; a page opens nothing itself."""

from __future__ import annotations

from lstm_lab.files import Row
from lstm_lab.records import finite
from lstm_lab.report import fmt
from lstm_lab.report.parts.figures import Figure
from lstm_lab.report.parts.tables import Cell, Column, Table, aligned
from lstm_lab.report.sections.predictions import ahead, matrix


def about(opening: Row) -> str:
    """Which opening of the test part is shown; a page never opens it."""
    return (
        f"From its opening of {fmt.when(opening.get('at'))}, with the weights of the best epoch "
        f"({opening.get('epoch', fmt.NONE)}), as the record kept it."
    )


def figures_of(opening: Row) -> list[Figure]:
    """What the record of an opening of the test part lets draw: confusion, and the error at each step ahead."""
    held = opening.get("confusion")
    found = [matrix(held["classes"], held["counts"], "test")] if held else []
    steps = [row["mae"] for row in opening.get("steps") or [] if finite(row.get("mae"))]
    return [figure for figure in (*found, ahead(steps, " of the test part", "steps-test")) if figure]


def each_class(opening: Row) -> Table | None:
    """Of each true class how many there are, how many were found, and what the others were taken for."""
    held = opening.get("confusion")
    if not held:
        return None
    names, counts = [str(name) for name in held["classes"]], held["counts"]
    answered = [sum(column) for column in zip(*counts, strict=True)]
    taken = [
        max(((n, names[other]) for other, n in enumerate(row) if other != own and n), default=None)
        for own, row in enumerate(counts)
    ]

    def share(part: int, whole: int) -> float | None:
        return part / whole if whole else None

    def percent(value: float | None) -> str:
        return fmt.NONE if value is None else f"{100 * value:.1f} %"

    down = [
        [Cell(name, name) for name in names],
        [Cell(f"{sum(row):,}", sum(row), "number") for row in counts],
        aligned((share(row[own], sum(row)) for own, row in enumerate(counts)), percent),
        aligned((share(row[own], answered[own]) for own, row in enumerate(counts)), percent),
        [Cell(f"{found[1]}, {fmt.times(found[0])}" if found else fmt.NONE) for found in taken],
    ]
    columns = [
        Column("class"), Column("n", True, "samples or steps of this class"),
        Column("found", True, "share of them that were answered so: recall"),
        Column("right when said", True, "share of these answers that are right: precision"),
        Column("most often taken for"),
    ]  # fmt: skip
    rows = [list(row) for row in zip(*down, strict=True)]
    return Table("Classes of the test part", columns, rows, sortable=True, id="classes-test")
