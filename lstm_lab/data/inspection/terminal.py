"""An inspection as tables on the terminal."""

from __future__ import annotations

from rich.table import Table

from lstm_lab.data.inspection.result import Inspection
from lstm_lab.display.console import plain_console


def print_inspection(inspection: Inspection, error: str | None) -> None:
    """Print columns, statistics, classes, warnings, and the experiment file.

    Args:
        error: why the experiment cannot be trained; None where it can.
    """
    out = plain_console()
    out.print(f"{inspection.path}: {inspection.kind}")
    if inspection.columns:
        table = Table(box=None, pad_edge=False)
        for name in ("column", "kind", "empty", "distinct", "minimum or first", "maximum or most frequent", "used as"):
            table.add_column(name, justify="right" if name in ("empty", "distinct") else "left")
        for column in inspection.columns:
            table.add_row(*map(str, column))
        out.print(table)
    statistics = Table(box=None, pad_edge=False, show_header=False)
    for name, value in inspection.statistics.items():
        statistics.add_row(name, f"{value:,}" if isinstance(value, int) else str(value))
    if inspection.classes:
        counts = ", ".join(f"{name} {count:,}" for name, count in list(inspection.classes.items())[:12])
        statistics.add_row("class counts", counts + (", ..." if len(inspection.classes) > 12 else ""))
    out.print(statistics)
    for warning in inspection.warnings:
        out.print(f"! {warning}")
    out.print(f"\n{inspection.yaml()}", soft_wrap=True, end="")
    out.print(
        "The data can be read, split and trained on." if error is None else f"Cannot be trained on yet: {error}",
        soft_wrap=True,
    )
