"""Tables for the terminal: scores beside baselines, and the leaderboard of a sweep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from lstm_lab.records.files import Row
from lstm_lab.report import fmt
from lstm_lab.report import verdict as verdicts
from lstm_lab.sweeps.objectives import Criteria, describe_compromise
from lstm_lab.sweeps.store.extension import describe_changes

if TYPE_CHECKING:
    from pathlib import Path

    from lstm_lab.records.diagnosis import Finding
    from lstm_lab.records.explanation import Explanation
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
    noun = content.get("repeat", "seed")
    label = f"mean of {fmt.plural(len(content['trials']), noun)}" if content.get("trials") else "model"
    table.add_row(label, *(fmt.number(content["scores"][name]) for name in metrics), "", style="bold")
    if std := content.get("std"):
        table.add_row(f"std over {noun}s", *(fmt.number(std.get(name)) for name in metrics), "")
    if ensemble := content.get("ensemble"):
        table.add_row("their ensemble", *(fmt.number(ensemble.get(name)) for name in metrics), "")
    if refit := content.get("refit"):
        table.add_row("refit on both splits", *(fmt.number(refit.get(name)) for name in metrics), "")
    for label, row in content.get("ensembles", {}).items():
        table.add_row(label, *(fmt.number(row.get(name)) for name in metrics), "")
    for baseline, row in content["baselines"].items():
        skill = fmt.signed(content["skill"].get(baseline))
        table.add_row(baseline, *(fmt.number(row.get(name)) for name in metrics), skill)
    return table


def start(path: Path, facts: str) -> str:
    """The first line of a training or sweep, and a second where the CPU would compute without the engine it lacks."""
    import torch

    from lstm_lab import kernels

    engine = kernels.status()
    slow = engine.missing and not torch.cuda.is_available()
    return f"{path}  {facts}" + (f"\n{engine.reason}" if slow else "")


def verdict(content: Row) -> str:
    """Whether a baseline scores better than the model, as one sentence, and what the scores leave out.

    Args:
        content: `Scores.dump()`.
    """
    split, metric = content["split"], content["metric"]
    found = verdicts.verdict(split, metric, content["scores"], content["baselines"], content["skill"])
    text = found.text if found else f"No baseline was scored on the {split} split."
    return "\n".join([text, *(f"Note: {note}." for note in content.get("notes") or ())])


def leaderboard(summary: Row, width: int = 160, rows: int = 12) -> Table:
    """Configurations of a sweep, best first, in as many columns as fit.

    Args:
        summary: summary.json.
        width: of the terminal, in characters.
        rows: shown at most.
    """
    configurations, metric = summary["configurations"], summary["metric"]
    shown = configurations[:rows]
    varying, same = _hyperparameters(configurations)
    objectives = summary.get("objectives") or {}
    criteria = Criteria.of_record({**summary, "monitor": objectives})
    others = {each.name: each.label for each in criteria.measured if each.name not in (metric, "parameters")}
    columns = {
        "rank": [f"{rank}{'' if _completed(row) else '*'}" for rank, row in enumerate(shown, 1)],
        **({"front": [fmt.number(row["front"]) for row in shown]} if objectives else {}),
        **{name: [_value(row, key) for row in shown] for key, name in varying.items()},
        metric: [fmt.mean_std(row["mean"], row["std"]) for row in shown],
        **{head: [fmt.number(row["objectives"][name]) for row in shown] for name, head in others.items()},
        **({"constraints": [_constraints(row) for row in shown]} if criteria.limits else {}),
        "n": [str(row["n"]) for row in shown],
        "parameters": [fmt.number(row["parameters"]) for row in shown],
        **({"version": [str(row["version"]) for row in shown]} if summary.get("extensions") else {}),
        "state": [_state(row) for row in shown],
    }
    droppable = [name for name in ("parameters", "n") if name not in criteria.names]
    dropped = _drop_to_fit(columns, [*droppable, *reversed(varying.values())], width)
    more = f" (best {rows} of {len(configurations)} configurations)" if len(configurations) > rows else ""
    notes = _notes(shown, configurations, summary.get("repeat", "seed"))
    if objectives:
        notes += [f"Front 1: the Pareto front, {len(summary['pareto_front'])} configurations that no other dominates; "
                  f"first {describe_compromise(summary.get('compromise') or 'first', metric)}."]  # fmt: skip
    if criteria.limits:
        notes += [f"Constraints: {fmt.join([limit.text for limit in criteria.limits])}; one that breaks them is never "
                  "the best."]  # fmt: skip
    if objectives or criteria.limits:
        notes += [f"Another run measures another {name}." for name in criteria.not_reproducible]
    notes += [f"Version {each['version']}: {describe_changes(each)}." for each in summary.get("extensions") or []]
    notes += [f"Same in all: {fmt.configuration(same, fmt.short_names(same))}."] if same else []
    notes += [f"Left out, for a width of {width}: {fmt.join(dropped)}; report.html has all."] if dropped else []
    table = Table(
        title=f"{summary['title']}{more}", title_justify="left", box=None, pad_edge=False,
        caption="\n".join(notes) or None, caption_justify="left", caption_style="",
    )  # fmt: skip
    numeric = (metric, "n", "parameters", *others.values())
    for name in columns:
        table.add_column(name, justify="right" if name in numeric else "left", overflow="fold")
    for number, cells in enumerate(zip(*columns.values(), strict=True)):
        table.add_row(*cells, style="bold" if number == 0 and not shown[0].get("broken") else "")
    return table


def _hyperparameters(configurations: list[Row]) -> tuple[dict[str, str], Row]:
    """Dotted key -> name of those that differ between configurations, and the values of the others."""
    keys = sorted({key for row in configurations for key in row["overrides"]})
    values = {key: {_value(row, key) for row in configurations} for key in keys}
    names = fmt.short_names([key for key in keys if len(values[key]) > 1])
    return names, {key: configurations[0]["overrides"][key] for key in keys if key not in names}


def _value(row: Row, key: str) -> str:
    return fmt.value(row["overrides"][key]) if key in row["overrides"] else fmt.MISSING


def _drop_to_fit(columns: dict[str, list[str]], droppable: list[str], width: int) -> list[str]:
    """Take out columns until the others fit, in the order given; returns their names."""
    dropped = []
    for name in droppable:
        if sum(max(map(len, (head, *cells))) + 2 for head, cells in columns.items()) - 2 <= width:
            break
        del columns[name]
        dropped.append(name)
    return dropped


def _constraints(row: Row) -> str:
    """`kept`, or the metrics whose constraints are broken."""
    return f"breaks {', '.join(text.split()[0] for text in row['broken'])}" if row.get("broken") else "kept"


def _completed(row: Row) -> bool:
    return all(state == "finished" for state in row["states"])


def _notes(shown: list[Row], configurations: list[Row], noun: str) -> list[str]:
    """What a reader must know of the order."""
    if not configurations or all(map(_completed, shown)):
        return []
    if not any(map(_completed, configurations)):
        return ["* No configuration was trained to completion: the best one might not have stayed best."]
    return [f"* Not trained to completion with every {noun}: ranked behind those that were."]


def _state(row: Row) -> str:
    """`finished`, `stopped` or `1 of 2 stopped`, and the trials that its trials continued from."""
    states = row["states"]
    counts = {state: states.count(state) for state in dict.fromkeys(states) if state != "finished"}
    words = [state if n == len(states) else f"{n} of {len(states)} {state}" for state, n in counts.items()]
    exploits = row.get("lineage", {}).items()
    words += [f"{trial} continued from {rows[-1]['source']}" for trial, rows in exploits]
    return ", ".join(words) or "finished"


def next_step(findings: list[Finding], folder: Path) -> str:
    """The gravest finding with what to do about it, in a line, and where the others are."""
    first, others = findings[0], len(findings) - 1
    remedy = " ".join(first.action) or first.advice
    more = f", and {others} more" if others else ""
    return f"To try next: {first.rule}{f': {remedy}' if remedy else ''}{more} (lstm-lab diagnose {folder})"


def explanation(found: Explanation) -> Iterator[Table | str]:
    """Layers, gates and inputs of a network, a table each, then its errors and notes."""
    from lstm_lab.report.parts.errors import calibration_note, slices_table, suspects_table, worst_groups
    from lstm_lab.report.parts.network import gates_table, half_life_notes, inputs_table, layers_table, tokens_table

    errors = found.errors
    of_errors = (slices_table(errors), suspects_table(errors)) if errors else ()
    for table in (layers_table(found), gates_table(found), inputs_table(found), tokens_table(found), *of_errors):
        if table is not None:
            yield _of_page(table)
    if errors:
        yield from (text for text in (worst_groups(errors), calibration_note(errors)) if text)
    yield from half_life_notes(found)


def over_data_sets(folders: Sequence[Path]) -> Iterator[Table | str]:
    """What holds over the data sets of a sweep: the best value of each treatment on each, and mean ranks."""
    from lstm_lab.report.parts import critical_difference as cd
    from lstm_lab.report.records.experiments import comparison_groups
    from lstm_lab.report.records.read import read
    from lstm_lab.report.statistics import p_value

    groups = comparison_groups([read(folder) for folder in folders], ())
    noun, found = cd.treatments(groups)
    if len(groups) > 1 and len(found) > 1:
        yield _of_page(cd.scores_table(groups, noun, found))
    if ranks := cd.ranked(groups, found):
        yield (f"Friedman test of equal ranks: {p_value(ranks.p)}; critical difference of mean ranks (Nemenyi): "
               f"{ranks.critical_difference:.2f}.")  # fmt: skip


def _of_page(content: page.Table) -> Table:
    """A table of the page, for the terminal."""
    table = Table(title=content.caption, title_justify="left", box=None, pad_edge=False)
    for column in content.columns:
        table.add_column(column.name, justify="right" if column.numeric else "left")
    for row in content.rows:
        table.add_row(*(cell.text for cell in row))
    return table
