"""A look as tables on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from lstm_lab.data.inspection.look import Look


def shown(look: Look, fault: str | None) -> None:
    """Print columns, info, classes, warnings, and the experiment file; `fault` is why it would not train."""
    out = Console(highlight=False)
    out = out if out.is_terminal else Console(highlight=False, width=160)
    out.print(f"{look.place}: {look.kind}", markup=False)
    if look.columns:
        table = Table(box=None, pad_edge=False)
        for name in ("column", "kind", "empty", "distinct", "least or first", "most or commonest", "taken for"):
            table.add_column(name, justify="right" if name in ("empty", "distinct") else "left")
        for column in look.columns:
            table.add_row(*(str(value).replace("[", r"\[") for value in column))
        out.print(table)
    info = Table(box=None, pad_edge=False, show_header=False)
    for name, value in look.info.items():
        info.add_row(name, f"{value:,}" if isinstance(value, int) else str(value))
    if look.classes:
        often = [f"{name} {count:,}" for name, count in list(look.classes.items())[:12]]
        info.add_row(
            "of each class", ", ".join(often).replace("[", r"\[") + (", ..." if len(look.classes) > 12 else "")
        )
    out.print(info)
    for warning in look.warnings:
        out.print(f"! {warning}", markup=False)
    out.print(f"\n{look.yaml()}", markup=False, soft_wrap=True, end="")
    out.print("It reads, splits and trains." if fault is None else f"It does not train yet: {fault}",
              markup=False, soft_wrap=True)  # fmt: skip
