"""Tables for the terminal: scores beside baselines, and the leaderboard of a sweep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.table import Table

from lstm_lab.files import Row
from lstm_lab.report import fmt
from lstm_lab.report import verdict as verdicts

if TYPE_CHECKING:
    from lstm_lab.explanation_records import Explanation
    from lstm_lab.report.parts import tables as page


def scores(content: Row, title: str) -> Table:
    """Model and baselines, one row each.

    Args:
        content: `Scores.dump()`.
    """
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    metrics = [name for name in content["scores"] if name != "loss"]
    table.add_column("")
    for name in metrics:
        table.add_column(name, justify="right")
    table.add_column("skill", justify="right")
    table.add_row("model", *(fmt.number(content["scores"][name]) for name in metrics), "", style="bold")
    for baseline, row in content["baselines"].items():
        skill = fmt.signed(content["skill"].get(baseline))
        table.add_row(baseline, *(fmt.number(row.get(name)) for name in metrics), skill)
    return table


def verdict(content: Row) -> str:
    """Whether a baseline scores better than the model, as one sentence, and what the scores leave out.

    Args:
        content: `Scores.dump()`.
    """
    split, metric = content["split"], content["metric"]
    found = verdicts.verdict(split, metric, content["scores"], content["baselines"], content["skill"])
    text = found.text if found else f"No baseline was scored on the {split} split."
    return "\n".join([text, *(f"Note: {note}." for note in content.get("notes") or ())])


def leaderboard(summary: Row, rows: int = 12) -> Table:
    """Configurations of a sweep, best first.

    Args:
        summary: summary.json.
        rows: shown at most.
    """
    configurations = summary["configurations"]
    keys = sorted({key for row in configurations for key in row["overrides"]})
    names = fmt.short_names(keys)
    more = f" (best {rows} of {len(configurations)} configurations)" if len(configurations) > rows else ""
    table = Table(title=f"{summary['title']}{more}", title_justify="left", box=None, pad_edge=False)
    for name in ("rank", *(names[key] for key in keys)):
        table.add_column(name)
    for name in (f"{summary['metric']} mean", "std", "n", "parameters", "states"):
        table.add_column(name, justify="right")
    for rank, row in enumerate(configurations[:rows], 1):
        overrides = row["overrides"]
        table.add_row(
            str(rank),
            *(fmt.value(overrides[key]) if key in overrides else fmt.MISSING for key in keys),
            fmt.number(row["mean"]),
            fmt.number(row["std"]),
            str(row["n"]),
            fmt.number(row["parameters"]),
            _states(row),
        )
    return table


def _states(row: Row) -> str:
    """States of a configuration's trials, and the trials that they continued from."""
    states = row["states"]
    text = states[0] if len(set(states)) == 1 else ", ".join(states)
    exploits = row.get("lineage", {}).items()
    return "".join([text, *(f", {trial} continued from {rows[-1]['source']}" for trial, rows in exploits)])


def explanation(found: Explanation) -> Iterator[Table | str]:
    """Layers, gates and inputs of a network, a table each, then notes."""
    from lstm_lab.report.parts.network import gates_table, half_life_notes, inputs_table, layers_table, tokens_table

    for table in (layers_table(found), gates_table(found), inputs_table(found), tokens_table(found)):
        if table is not None:
            yield _of_page(table)
    yield from half_life_notes(found)


def _of_page(content: page.Table) -> Table:
    """A table of the page, for the terminal."""
    table = Table(title=content.caption, title_justify="left", box=None, pad_edge=False)
    for column in content.columns:
        table.add_column(column.name, justify="right" if column.numeric else "left")
    for row in content.rows:
        table.add_row(*(cell.text for cell in row))
    return table
