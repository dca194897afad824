"""Tables and figures that show experiments side by side: ranking, tests, differing settings, curves, costs, sources."""

from __future__ import annotations

from lstm_lab.records.files import Row
from lstm_lab.records.run_record import finite
from lstm_lab.records.scores import level
from lstm_lab.report import fmt, statistics
from lstm_lab.report.parts.critical_difference import differing_keys
from lstm_lab.report.parts.energy import watt_hours
from lstm_lab.report.parts.figures import (
    COLORS,
    CUT_OFF,
    Figure,
    axis,
    base_layout,
    downsample,
    epoch_axis,
    plain_text,
    to_json,
    value_axis,
)
from lstm_lab.report.parts.tables import Cell, Column, Table, aligned, number_cell
from lstm_lab.report.records.experiments import ComparisonGroup, ExperimentRecord

MAX_COLUMNS = 8
"""Experiments up to which their settings are columns."""
MAX_EXPERIMENTS, MAX_SEEDS = 30, 10
"""Experiments, and seeds of each, whose curves are drawn."""


def experiments_table(group: ComparisonGroup, number: int) -> Table:
    """A row per experiment, best first."""
    rows = group.experiments
    metric = group.metric.rpartition("/")[2]
    test = [row.test_values(metric) for row in rows]
    epochs = [[len(record.rows) for record in row.records] for row in rows]
    columns = [
        Column("rank", True), Column("experiment"), Column("from"), Column(fmt.metric(group.metric), True),
        Column("std", True, "standard deviation over seeds"),
        Column("95 % CI", True, "confidence interval of the mean over seeds"), Column("n", True, "seeds with a value"),
        Column("parameters", True), Column("epochs", True), Column("seconds", True, "of training, summed over seeds"),
    ]  # fmt: skip
    cells = [
        [number_cell(rank) for rank in shared_ranks([row.mean for row in rows])],
        [Cell(row.name, row.name) for row in rows],
        [Cell(row.kind, row.kind) for row in rows],
        aligned(row.mean for row in rows),
        aligned(row.std for row in rows),
        [interval_cell(list(row.values.values())) for row in rows],
        [number_cell(len(row.values)) for row in rows],
        aligned(row.parameters for row in rows),
        [Cell(fmt.number_range(counts), max(counts, default=None), "number") for counts in epochs],
        aligned((row.seconds for row in rows), lambda value: f"{value:,.1f}"),
    ]
    if any(test):
        columns.append(Column(f"test {fmt.metric(metric)}", True, "mean over the seeds evaluated on the test split"))
        cells.append(aligned(sum(values) / len(values) if values else None for values in test))
    caption = f"{fmt.plural(len(rows), 'experiment')}, best first by {fmt.metric(group.metric)}"
    best = [0] if group.ranked else []
    return Table.of_columns(caption, columns, cells, sortable=True, highlighted=best, id=f"experiments-{number}")


def shared_ranks(means: list[float | None]) -> list[int]:
    """Rank of each mean, best first; those that are level but for rounding share one: 1, 1, 3."""
    found: list[int] = []
    for number, mean in enumerate(means):
        found.append(found[-1] if number and level(mean, means[number - 1]) else number + 1)
    return found


def interval_cell(values: list[float]) -> Cell:
    """95 % confidence interval of a mean; none for fewer than three values, where it is too wide to be of use."""
    low, high = statistics.confidence_interval(values) if len(values) > 2 else (None, None)
    return Cell(statistics.interval(low, high), low, "number")


def tests_against_best(group: ComparisonGroup) -> list[str]:
    """Each experiment tested against the best over shared seeds, corrected for their number."""
    if len(group.ranked) < 3:
        return []
    best, *others = group.ranked
    p_values = [(e, statistics.signed_rank(group.paired_differences(best, e))) for e in others]
    known = [(experiment, p) for experiment, p in p_values if p is not None]
    if not known:
        return [f"Tests against the best experiment need {statistics.MIN_PAIRS} shared seeds."]
    corrected = zip(known, statistics.holm([p for _, p in known]), strict=True)
    tests = fmt.join(f"{experiment.name} {statistics.p_value(p)}" for (experiment, _), p in corrected)
    return [f"Wilcoxon signed-rank tests against {best.name} over shared seeds, Holm-corrected: {tests}."]


def lead_over_second(group: ComparisonGroup) -> list[str]:
    """How far the best experiment is ahead of the second over shared seeds."""
    if len(group.ranked) < 2:
        return []
    best, second = group.ranked[:2]
    differences = group.paired_differences(best, second)
    if not differences:
        gap = abs((best.mean or 0.0) - (second.mean or 0.0))
        return [f"{best.name} is {fmt.number(gap)} ahead of {second.name}; they share no seed, so nothing is paired."]
    found = statistics.paired(differences)
    size = f"{fmt.number(abs(found.mean))} {'ahead of' if found.mean > 0 else 'behind'}" if found.mean else "equal to"
    if found.low is None:
        return [
            f"With the one shared seed {best.name} is {size} {second.name}. How much of this is due to the seed is not "
            "known."
        ]
    text = f"Over {fmt.plural(found.n, 'shared seed')} {best.name} is on average {size} {second.name}"
    text += f", 95 % confidence interval {statistics.interval(found.low, found.high)}"
    text += ", which includes zero: not certain" if found.low <= 0 <= (found.high or 0.0) else ""
    return [text + (f"; Wilcoxon signed-rank test: {statistics.p_value(found.p)}." if found.p is not None else ".")]


def differing_settings(group: ComparisonGroup) -> Table | None:
    """Settings that differ: a row for each, or of many experiments a row per experiment. None where all are equal."""
    rows = group.experiments
    keys = differing_keys(rows)
    if len(rows) < 2 or not keys:
        return None

    def cell(row: ExperimentRecord, key: str) -> Cell:
        text = fmt.value(row.config[key]) if key in row.config else fmt.MISSING
        return Cell(text, row.config[key] if finite(row.config.get(key)) else text)

    caption = "Settings that differ"
    if len(rows) <= MAX_COLUMNS:
        columns = [Column("setting"), *(Column(row.name) for row in rows)]
        return Table(caption, columns, [[Cell(key), *(cell(row, key) for row in rows)] for key in keys])
    names = fmt.short_names(keys)
    columns = [Column("experiment"), *(Column(names[key], title=key) for key in keys)]
    body = [[Cell(row.name, row.name), *(cell(row, key) for key in keys)] for row in rows]
    return Table(caption, columns, body, sortable=True, id=f"settings-{group.data}")


def experiment_curves(group: ComparisonGroup, number: int) -> Figure | None:
    """One line per seed, one colour per experiment; the best experiments have colours of their own."""
    drawn = [
        (rank, experiment, record, rows)
        for rank, experiment in enumerate(group.experiments[:MAX_EXPERIMENTS])
        for record in experiment.records[:MAX_SEEDS]
        if (rows := [row for row in record.rows if finite(row.get(group.metric))])
    ]
    if not drawn:
        return None
    scale, cut = value_axis((row[group.metric] for *_, rows in drawn for row in rows), group.mode)
    traces: list[Row] = []
    labels = set()
    for rank, experiment, record, all_rows in reversed(drawn):
        color = COLORS[rank] if rank < len(COLORS) else "--faint"
        label = experiment.name if rank < len(COLORS) else "others"
        rows = downsample(all_rows, record.best)
        traces.append({
            "type": "scatter", "mode": "lines" if len(rows) > 1 else "markers", "x": [row["epoch"] for row in rows],
            "y": [row[group.metric] for row in rows], "line": {"color": color, "width": 1.5 if rank else 2.4},
            "marker": {"color": color, "size": 6}, "name": plain_text(label), "legendgroup": label,
            "showlegend": label not in labels, "opacity": 0.85, "legendrank": rank + 1,
            "hovertemplate": f"{plain_text(experiment.name)}, {plain_text(record.name)}<br>epoch %{{x}}: %{{y:.4g}}"
                             "<extra></extra>",
        })  # fmt: skip
        labels.add(label)
    metric, best = fmt.metric(group.metric), group.experiments[0]
    last = max(row["epoch"] for *_, rows in drawn for row in rows)
    layout = base_layout(400, xaxis=epoch_axis(last), yaxis=axis(metric, **scale))
    caption = f"{fmt.capitalized(metric)} on {group.data} by epoch, one line per seed." + (CUT_OFF if cut else "")
    count = fmt.plural(len(labels), "experiment")
    alt = f"Line chart of {metric} on {group.data} for {count}; {best.name} reaches {fmt.number(best.mean)}."
    return Figure(f"curves-{number}", metric, caption, alt, to_json(traces, layout), 400)


def costs_table(experiments: list[ExperimentRecord]) -> Table:
    """Training time of each experiment, and of the sweep that found it."""

    def per_epoch(experiment: ExperimentRecord) -> float | None:
        epochs = sum(len(record.rows) for record in experiment.records)
        return experiment.seconds / epochs if epochs else None

    def tenths(value: float | None) -> str:
        return fmt.MISSING if value is None else f"{value:,.1f}"

    search = [
        sum(trial.seconds for trial in experiment.sweep.trials) if experiment.sweep else None
        for experiment in experiments
    ]
    columns = [
        Column("experiment"), Column("runs", True), Column("training seconds", True), Column("seconds per epoch", True),
    ]  # fmt: skip
    cells = [
        [Cell(experiment.name, experiment.name) for experiment in experiments],
        [number_cell(len(experiment.records)) for experiment in experiments],
        aligned((experiment.seconds for experiment in experiments), tenths),
        aligned(per_epoch(experiment) for experiment in experiments),
    ]
    energies = [watt_hours(experiment.records) for experiment in experiments]
    how = "; ".join(dict.fromkeys(text for _, measured, assumed in energies for text in (*measured, *assumed)))
    columns.append(Column("energy (Wh)", True, f"measured, or marked with ~ estimated: {how}"))
    cells.append([
        Cell(f"{'~' if assumed else ''}{fmt.number(hours)}" if hours else fmt.MISSING, hours, "number")
        for hours, _, assumed in energies
    ])  # fmt: skip
    if any(search):
        columns.append(Column("sweep seconds", True, "training time of all trials of the sweep that found it"))
        cells.append(aligned(search, tenths))
    return Table.of_columns("Compute cost by experiment", columns, cells, sortable=True, id="costs-table")
