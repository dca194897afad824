"""Tables for the terminal: scores beside baselines, and the leaderboard of a sweep."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from lstm_lab.report.fmt import setting


def console(stderr: bool = False) -> Console:
    """A console that wraps nothing when its output goes to a file or a pipe."""
    found = Console(stderr=stderr, highlight=False)
    return found if found.is_terminal else Console(stderr=stderr, highlight=False, width=160)


def number(value: float | None) -> str:
    """Four significant digits; a dash for what is not there."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def scores(content: dict[str, Any], title: str) -> Table:
    """Model and baselines, one row each; `content` is `Scores.dump()`."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    metrics = [name for name in content["scores"] if name != "loss"]
    table.add_column("")
    for name in metrics:
        table.add_column(name, justify="right")
    table.add_column("skill against it", justify="right")
    table.add_row("model", *(number(content["scores"][name]) for name in metrics), "", style="bold")
    for baseline, row in content["baselines"].items():
        gained = content["skill"][baseline]
        table.add_row(
            baseline, *(number(row.get(name)) for name in metrics), "-" if gained is None else f"{gained:+.3f}"
        )
    return table


def verdict(content: dict[str, Any]) -> str:
    """One sentence: which baseline wins, or that none does."""
    metric, split = content["metric"], content["split"]
    if content["winner"] != "model":
        name = content["winner"]
        ours, theirs = number(content["scores"][metric]), number(content["baselines"][name][metric])
        return f"{name} wins on the {split} part: {metric} {theirs} against {ours}."
    return f"The model beats every baseline on the {split} part in {metric}."


def leaderboard(summary: dict[str, Any], rows: int = 12) -> Table:
    """Points of a sweep, best first."""
    keys = sorted({key for point in summary["configurations"] for key in point["overrides"]})
    shown, all_points = summary["configurations"][:rows], len(summary["configurations"])
    more = f" (best {rows} of {all_points} points)" if all_points > rows else ""
    table = Table(title=f"{summary['title']}{more}", title_justify="left", box=None, pad_edge=False)
    for name in ("rank", *(key.rsplit(".", 1)[-1] for key in keys)):
        table.add_column(name)
    for name in (f"{summary['metric']} mean", "std", "n", "parameters", "states"):
        table.add_column(name, justify="right")
    for rank, point in enumerate(shown, 1):
        states = point["states"]
        said = states[0] if len(set(states)) == 1 else ", ".join(states)
        for trial, clones in point.get("lineage", {}).items():
            said += f", {trial} went on from {clones[-1]['source']}"
        values = [setting(point["overrides"].get(key)) if key in point["overrides"] else "-" for key in keys]
        table.add_row(
            str(rank),
            *values,
            number(point["mean"]),
            number(point["std"]),
            str(point["n"]),
            f"{point['parameters']:,}" if point["parameters"] else "-",
            said,
        )
    return table
