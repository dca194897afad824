"""The monitored metric over one hyperparameter at a time, and over the two most important ones."""

from __future__ import annotations

import math

from lstm_lab.config import canonical_json
from lstm_lab.records.files import Row
from lstm_lab.records.run_record import finite
from lstm_lab.report import fmt
from lstm_lab.report.parts.figures import (
    CUT_OFF,
    Figure,
    axis,
    base_layout,
    log_ticks,
    plain_text,
    to_json,
    value_axis,
)
from lstm_lab.report.records.hyperparameters import is_listed, is_logarithmic, varying
from lstm_lab.sweeps.store.leaderboard import Configuration
from lstm_lab.sweeps.store.record import SweepRecord

MAX_SLICES, MANY = 8, 150
"""Hyperparameters that get a slice plot, and configurations from which markers are small."""
MIN_INTERACTION = 12
"""Configurations from which the interaction of two hyperparameters is drawn."""


def slice_plots(sweep: SweepRecord, order: list[str]) -> list[Figure]:
    """One panel per hyperparameter, in the given order; one marker per configuration, open where it is incomplete."""
    rows = [row for row in sweep.configurations if finite(row.mean)]
    if len(rows) < 3:
        return []
    scale, cut = value_axis((row.mean for row in rows if row.mean is not None), sweep.mode)
    names = fmt.short_names(order)
    return [_slice_plot(sweep, rows, key, names[key], scale, cut) for key in order[:MAX_SLICES]]


def _slice_plot(
    sweep: SweepRecord, configurations: list[Configuration], key: str, name: str, scale: Row, cut: bool
) -> Figure:
    rows = [row for row in configurations if key in row.overrides]
    values, value_range = coordinates(sweep, key, rows)
    metric, many = fmt.metric(sweep.metric), len(configurations) > MANY
    traces = []
    for completed, label, symbol in ((True, "trained to completion", "circle"), (False, "incomplete", "circle-open")):
        chosen = [(value, row) for value, row in zip(values, rows, strict=True) if row.completed is completed]
        if chosen:
            traces.append({
                "type": "scatter", "mode": "markers", "x": [value for value, _ in chosen],
                "y": [row.mean for _, row in chosen], "name": label,
                "marker": {"symbol": symbol, "size": 5 if many else 8, "color": "--c1", "opacity": 0.6 if many else 1,
                           "line": {"width": 1.4, "color": "--c1"}},
                "text": [
                    plain_text(f"{' '.join(t.id for t in row.trials)}: {name} {fmt.value(row.overrides[key])}")
                    for _, row in chosen
                ],
                "hovertemplate": "%{text}: %{y:.4g}<extra></extra>",
            })  # fmt: skip
    layout = base_layout(
        290, xaxis=axis(plain_text(name), **value_range), yaxis=axis(metric, **scale), showlegend=len(traces) > 1
    )
    best = configurations[0]
    at = fmt.value(best.overrides[key]) if key in best.overrides else "no value"
    if len(traces) > 1:
        state = ". Open markers: incomplete, that is stopped early, failed or interrupted with some seed"
    else:
        state = "; all were trained to completion" if best.completed else "; none was trained to completion"
    caption = f"{fmt.capitalized(metric)} over {name}, one marker per configuration{state}." + (CUT_OFF if cut else "")
    count = fmt.plural(len(rows), "configuration")
    alt = f"Scatter plot of {metric} over {name} for {count}; the best configuration has {at}."
    id = "".join(letter if letter.isalnum() else "-" for letter in key)
    return Figure(f"slice-{id}", name, caption, alt, to_json(traces, layout), 290)


def coordinates(sweep: SweepRecord, key: str, configurations: list[Configuration]) -> tuple[list[float], Row]:
    """Values of a hyperparameter as coordinates, and the axis: logarithmic where its domain is, a list at equal steps.

    Of many configurations with the same listed value, each is drawn a little beside the others.
    """
    values = [row.overrides[key] for row in configurations]
    if is_listed(sweep, key) or not all(finite(value) for value in values):
        distinct = {canonical_json(value): value for value in values}
        if all(finite(value) for value in distinct.values()):
            distinct = dict(sorted(distinct.items(), key=lambda item: item[1]))
        position = {same: number for number, same in enumerate(distinct)}
        width = 0.3 if len(configurations) > MANY else 0.0
        x = [position[canonical_json(row.overrides[key])] + width * _jitter(row.number) for row in configurations]
        texts = [plain_text(fmt.value(value)) for value in distinct.values()]
        return x, {"tickvals": list(range(len(distinct))), "ticktext": texts, "range": [-0.5, len(distinct) - 0.5],
                   "showgrid": False}  # fmt: skip
    if is_logarithmic(sweep, key):
        low, high = math.log10(min(values)), math.log10(max(values))
        ticks: list[float] = []
        for tick in log_ticks(low, high):  # Far enough apart to be legible on a phone.
            if not ticks or math.log10(tick / ticks[-1]) > 0.17 * (high - low):
                ticks.append(tick)
        marks = {"tickvals": ticks, "ticktext": [f"{tick:.6g}" for tick in ticks]} if len(ticks) > 1 else {}
        return values, {"type": "log", **marks}
    return values, {}


def _jitter(number: int) -> float:
    """-1 .. 1, evenly distributed over consecutive numbers (multiples of the golden ratio)."""
    return 2 * (number * 0.618034 % 1) - 1


def interaction(sweep: SweepRecord, order: list[str]) -> Figure | None:
    """Configurations over the first two hyperparameters of `order`, strongest colour where they are best."""
    rows = [row for row in sweep.configurations if finite(row.mean) and all(key in row.overrides for key in order[:2])]
    if len(order) < 2 or len(rows) < MIN_INTERACTION:
        return None
    first, second = order[:2]
    names, metric = fmt.short_names(varying(sweep)), fmt.metric(sweep.metric)
    (x, x_axis), (y, y_axis) = coordinates(sweep, first, rows), coordinates(sweep, second, rows)
    ranked = sorted(rows, key=lambda row: row.mean or 0.0, reverse=sweep.mode == "max")
    score = {row.number: 1 - rank / (len(rows) - 1) for rank, row in enumerate(ranked)}
    labels = [fmt.configuration({key: row.overrides[key] for key in (first, second)}, names) for row in rows]
    trace = {
        "type": "scatter", "mode": "markers", "x": x, "y": y, "showlegend": False,
        "marker": {
            "size": 13 if len(rows) <= MANY else 8,
            "color": [score[row.number] for row in rows], "cmin": 0, "cmax": 1,
            "colorscale": [[0, "--worst"], [0.7, "--middle"], [1, "--best"]], "line": {"width": 1, "color": "--muted"},
        },
        "text": [plain_text(f"{label}: {fmt.number(row.mean)}") for label, row in zip(labels, rows, strict=True)],
        "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip
    layout = base_layout(
        340, xaxis=axis(plain_text(names[first]), **x_axis), yaxis=axis(plain_text(names[second]), **y_axis)
    )
    caption = (
        f"{fmt.capitalized(names[first])} and {names[second]}, one marker per configuration, coloured by rank: "
        f"strongest where {metric} is best. A diagonal pattern means that the two should be tuned together."
    )
    best = fmt.configuration({key: ranked[0].overrides[key] for key in (first, second)}, names)
    alt = f"Scatter plot of {len(rows)} configurations over {names[first]} and {names[second]}; the best has {best}."
    return Figure("interaction", "interaction", caption, alt, to_json([trace], layout), 340)
