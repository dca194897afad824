"""Treatments ranked over several data sets: the critical-difference diagram (Demšar, 2006)."""

from __future__ import annotations

from lstm_lab.files import Row
from lstm_lab.report import fmt, statistics
from lstm_lab.report.parts.figures import Figure, as_json, axis, layout_of, plain
from lstm_lab.report.parts.tables import Cell, Column, Table, aligned, categories
from lstm_lab.report.records.entries import Arena, Entry
from lstm_lab.report.statistics import Ranks

Scores = dict[str, dict[str, float]]
"""Treatment -> data -> value."""


def treatments(arenas: list[Arena]) -> tuple[str, Scores]:
    """What is ranked: the values of a hyperparameter that every sweep crossed, else the experiments without their data.

    Only those that have a value on every data set are kept.
    """
    sweeps = [entry.sweep for arena in arenas for entry in arena.entries if entry.sweep]
    if sweeps and all(len(arena.entries) == 1 and arena.entries[0].sweep for arena in arenas):
        shared = [key for key in categories(sweeps[0]) if all(key in categories(sweep) for sweep in sweeps[1:])]
        for key in shared:
            scores: Scores = {}
            for arena in arenas:
                sweep = arena.entries[0].sweep
                assert sweep is not None
                best = max if sweep.mode == "max" else min
                for value in categories(sweep)[key]:
                    means = [
                        point.mean for point in sweep.configurations
                        if point.mean is not None and fmt.same(point.overrides.get(key)) == fmt.same(value)
                    ]  # fmt: skip
                    if means:
                        scores.setdefault(fmt.setting(value), {})[arena.data] = best(means)
            whole = {name: row for name, row in scores.items() if len(row) == len(arenas)}
            if len(whole) > 1:
                return fmt.short(list(sweeps[0].space))[key], whole
    return "experiment", _experiments(arenas)


def _experiments(arenas: list[Arena]) -> Scores:
    entries = [(arena.data, entry) for arena in arenas for entry in arena.entries if entry.mean is not None]
    keys = differing([entry for _, entry in entries])
    keys = [key for key in keys if not key.startswith(("data.", "task."))]
    names = fmt.short(keys)
    scores: Scores = {}
    for data, entry in entries:
        label = fmt.settings({key: entry.settings[key] for key in keys if key in entry.settings}, names) or entry.name
        if len(keys) == 1:
            label = fmt.setting(entry.settings.get(keys[0]))
        if entry.mean is not None:
            scores.setdefault(label, {}).setdefault(data, entry.mean)
    return {name: row for name, row in scores.items() if len(row) == len(arenas)}


def differing(entries: list[Entry]) -> list[str]:
    """Settings that are not the same in all."""
    keys = list(dict.fromkeys(key for entry in entries for key in entry.settings))
    return [key for key in keys if len({fmt.same(entry.settings.get(key)) for entry in entries}) > 1]


def ranked(arenas: list[Arena], scores: Scores) -> Ranks | None:
    """Ranks over data sets; each data set's own direction counts."""
    signs = {arena.data: -1 if arena.mode == "max" else 1 for arena in arenas}
    blocks = [[signs[arena.data] * scores[name][arena.data] for name in scores] for arena in arenas]
    return statistics.ranks(list(scores), blocks, "min")


def table(arenas: list[Arena], what: str, scores: Scores) -> Table:
    """A row for each treatment, a column for each data set; the best of a column stands out."""
    down: list[list[Cell]] = [[Cell(name, name) for name in scores]]
    for arena in arenas:
        values = [scores[name][arena.data] for name in scores]
        top = (max if arena.mode == "max" else min)(values)
        cells = aligned(values)
        down.append([
            Cell(cell.text, cell.value, "number best" if cell.value == top else "number") for cell in cells
        ])  # fmt: skip
    columns = [Column(what), *(Column(f"{arena.data}: {fmt.metric(arena.metric)}", True) for arena in arenas)]
    return Table(f"Best {what} by data set" if what != "experiment" else "Experiments by data set", columns,
                 [list(row) for row in zip(*down, strict=True)], sortable=True, id="data-table")  # fmt: skip


def diagram(found: Ranks) -> Figure:
    """Mean ranks on a line, best left; bars join those that are not told apart."""
    k = len(found.names)
    half = (k + 1) // 2
    traces: list[Row] = [{
        "type": "scatter", "mode": "markers", "x": found.ranks, "y": [0.0] * k, "showlegend": False,
        "marker": {"color": "--c1", "size": 8}, "text": [plain(name) for name in found.names],
        "hovertemplate": "%{text}: mean rank %{x:.2f}<extra></extra>",
    }]  # fmt: skip
    notes = []
    for place, (name, rank) in enumerate(zip(found.names, found.ranks, strict=True)):
        left = place < half
        level = -1.0 - (place if left else k - 1 - place)
        edge = 0.9 if left else k + 0.1
        traces.append({
            "type": "scatter", "mode": "lines", "x": [rank, rank, edge], "y": [0, level, level], "hoverinfo": "skip",
            "line": {"color": "--rule", "width": 1.2}, "showlegend": False,
        })  # fmt: skip
        notes.append({
            "x": edge, "y": level, "text": f"{plain(name)} {rank:.2f}", "showarrow": False,
            "xanchor": "right" if left else "left", "font": {"color": "--ink", "size": 13}, "xshift": -4 if left else 4,
        })  # fmt: skip
    for number, (first, last) in enumerate(found.alike):
        height = 0.35 + 0.3 * number
        traces.append({
            "type": "scatter", "mode": "lines", "x": [found.ranks[first], found.ranks[last]], "y": [height, height],
            "line": {"color": "--ink", "width": 5}, "hoverinfo": "skip", "showlegend": False,
        })  # fmt: skip
    top = 0.8 + 0.3 * len(found.alike)
    longest = max(map(len, found.names))
    margin = min(230, 60 + 7 * longest)
    height = 130 + 30 * half + 14 * len(found.alike)
    layout = layout_of(
        height, annotations=notes, margin={"l": margin, "r": margin, "t": 40, "b": 16},
        xaxis=axis("", side="top", range=[0.9, k + 0.1], tickvals=list(range(1, k + 1)), showgrid=False),
        yaxis={"visible": False, "range": [-half - 0.6, top]},
    )  # fmt: skip
    told = fmt.listed(f"{name} {rank:.2f}" for name, rank in zip(found.names, found.ranks, strict=True))
    joined = fmt.listed(f"{found.names[first]} to {found.names[last]}" for first, last in found.alike)
    caption = (
        f"Mean ranks over {found.blocks} data sets, 1 is best; bars join what is not told apart "
        f"(Nemenyi, critical difference {found.critical:.2f}). Friedman's test: {statistics.chance(found.p)}."
    )
    alt = f"Critical-difference diagram. Mean ranks: {told}. Not told apart: {joined or 'none'}."
    return Figure("critical", "critical differences", caption, alt, as_json(traces, layout), height, 640)
