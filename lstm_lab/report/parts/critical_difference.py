"""Treatments ranked over several data sets: the critical-difference diagram (Demšar, 2006)."""

from __future__ import annotations

from lstm_lab.config import canonical_json
from lstm_lab.records.files import Row
from lstm_lab.report import fmt, statistics
from lstm_lab.report.parts.figures import Figure, axis, base_layout, plain_text, to_json
from lstm_lab.report.parts.tables import Cell, Column, Table, aligned
from lstm_lab.report.records.experiments import ComparisonGroup, ExperimentRecord
from lstm_lab.report.records.hyperparameters import categorical
from lstm_lab.report.statistics import Ranks
from lstm_lab.sweeps.store.record import SweepRecord

Scores = dict[str, dict[str, float]]
"""Treatment -> data -> value."""
EXPERIMENT = "experiment"
"""What a treatment is called where it is no value of a hyperparameter."""


def treatments(groups: list[ComparisonGroup]) -> tuple[str, Scores]:
    """What can be ranked over data sets: the values of a hyperparameter that is categorical in every sweep, else the
    experiments by what they differ in besides their data.

    Returns:
        The name of a treatment, and the scores of those with a value on every data set.
    """
    sweeps = {group.data: group.experiments[0].sweep for group in groups if len(group.experiments) == 1}
    if len(sweeps) == len(groups):
        by_data = {data: sweep for data, sweep in sweeps.items() if sweep is not None}
        if by_data and len(by_data) == len(groups):
            first = next(iter(by_data.values()))
            for key in categorical(first):
                complete = _complete(_by_value(by_data, key), len(groups))
                if len(complete) > 1:
                    return fmt.short_names(first.space)[key], complete
    return EXPERIMENT, _complete(_by_experiment(groups), len(groups))


def _complete(scores: Scores, count: int) -> Scores:
    return {name: row for name, row in scores.items() if len(row) == count}


def _by_value(sweeps: dict[str, SweepRecord], key: str) -> Scores:
    """The best configuration with each value of a hyperparameter; empty where it is not categorical everywhere."""
    scores: Scores = {}
    for data, sweep in sweeps.items():
        if key not in categorical(sweep):
            return {}
        best = max if sweep.mode == "max" else min
        for value in categorical(sweep)[key]:
            same = canonical_json(value)
            rows = [row for row in sweep.configurations if canonical_json(row.overrides.get(key)) == same]
            if means := [row.mean for row in rows if row.mean is not None]:
                scores.setdefault(fmt.value(value), {})[data] = best(means)
    return scores


def _by_experiment(groups: list[ComparisonGroup]) -> Scores:
    experiments = [(group.data, experiment) for group in groups for experiment in group.ranked]
    keys = differing_keys([experiment for _, experiment in experiments])
    keys = [key for key in keys if not key.startswith(("data.", "task."))]
    names = fmt.short_names(keys)
    scores: Scores = {}
    for data, experiment in experiments:
        chosen = {key: experiment.config[key] for key in keys if key in experiment.config}
        label = fmt.configuration(chosen, names) or experiment.name
        if len(keys) == 1:
            label = fmt.value(experiment.config.get(keys[0]))
        if experiment.mean is not None:
            scores.setdefault(label, {}).setdefault(data, experiment.mean)
    return scores


def differing_keys(experiments: list[ExperimentRecord]) -> list[str]:
    """Dotted keys whose values are not the same in all."""
    keys = list(dict.fromkeys(key for experiment in experiments for key in experiment.config))
    return [key for key in keys if len({canonical_json(e.config.get(key)) for e in experiments}) > 1]


def ranked(groups: list[ComparisonGroup], scores: Scores) -> Ranks | None:
    """Mean ranks over data sets, each with its own better end; None for fewer than three treatments or data sets."""
    signs = {group.data: -1 if group.mode == "max" else 1 for group in groups}
    blocks = [[signs[group.data] * scores[name][group.data] for name in scores] for group in groups]
    return statistics.ranks(list(scores), blocks, "min")


def scores_table(groups: list[ComparisonGroup], noun: str, scores: Scores) -> Table:
    """A row per treatment, a column per data set; the best value of a column is emphasised."""
    cells: list[list[Cell]] = [[Cell(name, name) for name in scores]]
    for group in groups:
        values = [scores[name][group.data] for name in scores]
        best, column = (max if group.mode == "max" else min)(values), aligned(values)
        cells.append([Cell(c.text, c.value, "number best" if c.value == best else "number") for c in column])
    average = statistics.mean_ranks([
        [(-1 if group.mode == "max" else 1) * scores[name][group.data] for name in scores] for group in groups
    ])  # fmt: skip
    cells.append([Cell(f"{rank:.2f}", rank, "number") for rank in average])
    columns = [Column(noun), *(Column(f"{group.data}: {fmt.metric(group.metric)}", True) for group in groups)]
    columns.append(Column("mean rank", True, "over the data sets; 1: the best on each"))
    caption = "Experiments by data set" if noun == EXPERIMENT else f"Best value of each {noun} by data set"
    return Table.of_columns(caption, columns, cells, sortable=True, id="data-table")


def critical_difference_diagram(found: Ranks) -> Figure:
    """Mean ranks on a line, the best on the left; bars join treatments without a significant difference."""
    k = len(found.names)
    half = (k + 1) // 2
    traces: list[Row] = [{
        "type": "scatter", "mode": "markers", "x": found.ranks, "y": [0.0] * k, "showlegend": False,
        "marker": {"color": "--c1", "size": 8}, "text": [plain_text(name) for name in found.names],
        "hovertemplate": "%{text}: mean rank %{x:.2f}<extra></extra>",
    }]  # fmt: skip
    labels = []
    for index, (name, rank) in enumerate(zip(found.names, found.ranks, strict=True)):
        left = index < half
        level = -1.0 - (index if left else k - 1 - index)
        edge = 0.9 if left else k + 0.1
        traces.append({
            "type": "scatter", "mode": "lines", "x": [rank, rank, edge], "y": [0, level, level], "hoverinfo": "skip",
            "line": {"color": "--rule", "width": 1.2}, "showlegend": False,
        })  # fmt: skip
        labels.append({
            "x": edge, "y": level, "text": f"{plain_text(name)} {rank:.2f}", "showarrow": False,
            "xanchor": "right" if left else "left", "xshift": -4 if left else 4,
            "font": {"color": "--text", "size": 13},
        })  # fmt: skip
    for number, (first, last) in enumerate(found.cliques):
        y = 0.35 + 0.3 * number
        traces.append({
            "type": "scatter", "mode": "lines", "x": [found.ranks[first], found.ranks[last]], "y": [y, y],
            "line": {"color": "--text", "width": 5}, "hoverinfo": "skip", "showlegend": False,
        })  # fmt: skip
    margin = min(230, 60 + 7 * max(map(len, found.names)))
    height = 130 + 30 * half + 14 * len(found.cliques)
    layout = base_layout(
        height, annotations=labels, margin={"l": margin, "r": margin, "t": 40, "b": 16},
        xaxis=axis("", side="top", range=[0.9, k + 0.1], tickvals=list(range(1, k + 1)), showgrid=False),
        yaxis={"visible": False, "range": [-half - 0.6, 0.8 + 0.3 * len(found.cliques)]},
    )  # fmt: skip
    ranks = fmt.join(f"{name} {rank:.2f}" for name, rank in zip(found.names, found.ranks, strict=True))
    cliques = fmt.join(f"{found.names[first]} to {found.names[last]}" for first, last in found.cliques)
    caption = (
        f"Mean ranks over {found.blocks} data sets; 1 is best. Bars join treatments that do not differ significantly "
        f"(Nemenyi test, critical difference {found.critical_difference:.2f}). Friedman test: "
        f"{statistics.p_value(found.p)}."
    )
    alt = f"Critical-difference diagram. Mean ranks: {ranks}. Without significant difference: {cliques or 'none'}."
    title = "critical-difference diagram"
    return Figure("critical-difference", title, caption, alt, to_json(traces, layout), height, 640)
