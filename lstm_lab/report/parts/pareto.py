"""Several objectives: the configurations that no other one dominates, as a figure and a table."""

from __future__ import annotations

from lstm_lab.records.files import Row
from lstm_lab.report import fmt
from lstm_lab.report.parts.figures import Figure, axis, base_layout, plain_text, to_json, value_axis
from lstm_lab.report.parts.tables import Cell, Column, Table, aligned
from lstm_lab.report.records.hyperparameters import varying
from lstm_lab.sweeps.objectives import Objective, describe_compromise
from lstm_lab.sweeps.store.leaderboard import Configuration
from lstm_lab.sweeps.store.record import SweepRecord

HEIGHT = 360


def pareto_front(sweep: SweepRecord) -> list[Configuration]:
    """Configurations that no other one dominates, best first by the monitored metric; empty with one objective."""
    return [row for row in sweep.configurations if row.front == 1]


def compromise(sweep: SweepRecord) -> str:
    """Which configuration of the front is the best, in words."""
    return describe_compromise(sweep.spec.get("compromise") or "first", sweep.metric)


def objective_label(objective: Objective) -> str:
    """Its name with its unit: `latency (ms)`."""
    return fmt.metric(objective.name) + (f" ({objective.unit})" if objective.unit else "")


def objective_text(objective: Objective, value: float | None) -> str:
    """With a value: `latency 1.930 ms`."""
    return f"{fmt.metric(objective.name)} {fmt.number(_plain(value))} {objective.unit}".rstrip()


def objective_meaning(objective: Objective) -> str:
    """What it is, and which values are better."""
    what = objective.measure.meaning if objective.measure else f"{objective.name} at each trial's best epoch"
    return f"{what}; {'less' if objective.mode == 'min' else 'more'} is better"


def pareto_table(sweep: SweepRecord) -> Table:
    """The Pareto front, the chosen one first."""
    rows, keys, objectives = pareto_front(sweep), varying(sweep), sweep.criteria.objectives
    points = [point for row in rows if (point := sweep.criteria.losses(row.objectives)) is not None]
    scores = sweep.criteria.compromises(points, points)
    is_scored = sweep.criteria.weights is not None
    names = fmt.short_names(keys)
    columns = [
        Column("configuration"),
        *(Column(objective_label(each), True, objective_meaning(each)) for each in objectives),
        *([Column("compromise", True, "0: the best of the front in every objective; 1: the worst")]
          if is_scored else []),
        Column("trials"),
    ]  # fmt: skip
    cells = [
        [Cell(fmt.configuration({key: row.overrides[key] for key in keys if key in row.overrides}, names)
              or f"number {row.number}") for row in rows],
        *(aligned(_plain(row.objectives.get(each.name)) for row in rows) for each in objectives),
        *([aligned(scores)] if is_scored else []),
        [Cell(" ".join(trial.id for trial in row.trials), row.trials[0].id, "ids") for row in rows],
    ]  # fmt: skip
    chosen = [index for index, row in enumerate(rows) if sweep.winner in row.trials]
    caption = f"{fmt.plural(len(rows), 'configuration')} on the Pareto front"
    return Table.of_columns(caption, columns, cells, sortable=True, highlighted=chosen, id="pareto-table")


def _plain(value: float | None) -> float | None:
    """A mean of whole numbers as a whole number."""
    return int(value) if value is not None and value == int(value) and abs(value) >= 1000 else value


def pareto_figures(sweep: SweepRecord) -> list[Figure]:
    """The first objective over each of the others; filled markers are on the Pareto front."""
    first, *others = sweep.criteria.objectives
    rows = [row for row in sweep.configurations if row.front]
    return [_figure(sweep, rows, other, first) for other in others] if len(rows) > 1 else []


def _figure(sweep: SweepRecord, rows: list[Configuration], x: Objective, y: Objective) -> Figure:
    names = fmt.short_names(varying(sweep))
    traces = []
    chosen = [row for row in rows if sweep.winner in row.trials]
    front = [row for row in rows if row.front == 1]
    for name, found, marker in (
        (
            "dominated",
            [row for row in rows if row.front != 1],
            {"symbol": "circle-open", "size": 8, "color": "--muted"},
        ),
        ("Pareto front", [row for row in front if row not in chosen], {"symbol": "circle", "size": 9, "color": "--c1"}),
        ("chosen", chosen, {"symbol": "star", "size": 14, "color": "--c2"}),
    ):
        if found:
            traces.append({
                "type": "scatter", "mode": "markers", "name": name, "marker": marker,
                "x": [row.objectives[x.name] for row in found], "y": [row.objectives[y.name] for row in found],
                "text": [plain_text(_hover(row, names)) for row in found],
                "hovertemplate": "%{text}: %{x:.4g}, %{y:.4g}<extra></extra>",
            })  # fmt: skip
    layout = base_layout(
        HEIGHT, xaxis=axis(plain_text(objective_label(x)), **_scale(rows, x)),
        yaxis=axis(plain_text(objective_label(y)), **_scale(rows, y)),
    )  # fmt: skip
    pair = f"{fmt.metric(y.name)} over {fmt.metric(x.name)}"
    more = ", in all objectives together" if len(sweep.criteria.objectives) > 2 else ""
    caption = (
        f"{fmt.capitalized(pair)}, one marker per configuration; filled ones are on the Pareto front{more}, the star "
        "is that of best.yaml."
    )
    alt = f"Scatter plot of {pair} for {fmt.plural(len(rows), 'configuration')}; {len(front)} are on the Pareto front."
    return Figure(f"pareto-{x.name.replace('/', '-')}", pair, caption, alt, to_json(traces, layout), HEIGHT)


def _hover(row: Configuration, names: dict[str, str]) -> str:
    return f"{' '.join(trial.id for trial in row.trials)}: {fmt.configuration(row.overrides, names)}"


def _scale(rows: list[Configuration], objective: Objective) -> Row:
    values = [value for row in rows if (value := row.objectives[objective.name]) is not None]
    return value_axis(values, objective.mode)[0]
