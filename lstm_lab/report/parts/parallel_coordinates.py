"""Configurations as parallel coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from lstm_lab.config import canonical_json
from lstm_lab.records.files import Row
from lstm_lab.records.run_record import finite
from lstm_lab.report import fmt
from lstm_lab.report.parts.figures import Figure, base_layout, log_ticks, plain_text, to_json, value_axis
from lstm_lab.report.records.hyperparameters import is_listed, is_logarithmic, varying
from lstm_lab.sweeps.store.leaderboard import Configuration
from lstm_lab.sweeps.store.record import SweepRecord

FEW = 24
"""Configurations up to which the lines do not hide each other, so that the worst are drawn strongly too."""
MAX_TICKS = 12


def parallel_coordinates(sweep: SweepRecord) -> Figure | None:
    """One line per configuration through all hyperparameters that vary, to the monitored metric."""
    rows = [row for row in sweep.configurations if finite(row.mean)]
    if len(rows) < 2 or not varying(sweep):  # The same configuration may be drawn every time.
        return None
    keys, metric = varying(sweep), fmt.metric(sweep.metric)
    names = fmt.short_names(keys)
    axes = [_dimension(sweep, rows, key, names[key]) for key in keys]
    means = [row.mean for row in rows if row.mean is not None]
    scale, _ = value_axis(means, sweep.mode)
    axes.append(_numeric_axis(means, metric, scale.get("type") == "log"))
    order = sorted(range(len(means)), key=lambda index: means[index], reverse=sweep.mode == "max")
    rank = {index: number / (len(means) - 1) for number, index in enumerate(order)}
    # Plotly draws in the order of the colour values: the best last, on top.
    line = {
        "color": [1 - rank[index] for index in range(len(means))], "cmin": 0, "cmax": 1, "showscale": False,
        "colorscale": [[0, "--faint" if len(rows) <= FEW else "--worst"], [0.7, "--middle"], [1, "--best"]],
    }  # fmt: skip
    # Index in the leaderboard, whose rows a selection along an axis filters.
    ids = [str(index) for index, row in enumerate(sweep.configurations) if finite(row.mean)]
    trace = {
        "type": "parcoords", "dimensions": axes, "ids": ids, "line": line, "labelfont": {"size": 13, "color": "--text"},
        "tickfont": {"size": 12, "color": "--muted"}, "rangefont": {"size": 1, "color": "rgba(0,0,0,0)"},
        "unselected": {"line": {"color": "--grid", "opacity": 0.3}},
    }  # fmt: skip
    missing = len(sweep.configurations) - len(rows)
    caption = (
        f"One line per configuration ({len(rows)}), strongest where {metric} is best. Drag along an axis to select a "
        "range, which filters the leaderboard too; click it to remove it; drag a name to move its axis. With the "
        "keyboard, enter conditions in the filter of the leaderboard."
        + (f" Not shown: {fmt.plural(missing, 'configuration')} without a value." if missing else "")
    )
    alt = (
        f"Parallel coordinates of {fmt.join([*names.values(), metric])} for {len(rows)} configurations; the "
        f"leaderboard has the same values. Best configuration: {fmt.configuration(rows[0].overrides, names)}."
    )
    spacing = max(116, 16 + max(4 * (len(a["label"]) + len(b["label"])) for a, b in pairwise(axes)))
    layout = base_layout(420, margin={"l": 64, "r": 72, "t": 56, "b": 24})
    width = spacing * len(axes)
    return Figure("parallel", "parallel coordinates", caption, alt, to_json([trace], layout), 420, width)


def _dimension(sweep: SweepRecord, rows: list[Configuration], key: str, name: str) -> Row:
    values = [row.overrides.get(key) for row in rows]
    missing = [key not in row.overrides for row in rows]
    numbers = [value for value in values if finite(value)]
    if is_listed(sweep, key) or any(missing) or len(numbers) < len(values):
        return _listed_axis(values, missing, name)
    return _numeric_axis(numbers, name, is_logarithmic(sweep, key))


def _listed_axis(values: list[object], missing: list[bool], name: str) -> Row:
    """Values at equal steps: numbers in order, others in the order of their appearance, missing ones last."""
    distinct = {canonical_json(value): value for value, absent in zip(values, missing, strict=True) if not absent}
    numbers = {same: value for same, value in distinct.items() if finite(value)}
    if len(numbers) == len(distinct):
        distinct = {same: distinct[same] for same in sorted(numbers, key=numbers.__getitem__)}
    position = {same: number for number, same in enumerate(distinct)}
    texts = [plain_text(fmt.value(value)) for value in distinct.values()] + ([fmt.MISSING] if any(missing) else [])
    pairs = zip(values, missing, strict=True)
    step = math.ceil(len(texts) / MAX_TICKS)
    return {
        "label": plain_text(name),
        "values": [len(distinct) if absent else position[canonical_json(value)] for value, absent in pairs],
        "range": [-0.3, len(texts) - 0.7], "tickvals": list(range(len(texts)))[::step], "ticktext": texts[::step],
    }  # fmt: skip


def _numeric_axis(values: Sequence[float], name: str, log: bool) -> Row:
    coordinates = [math.log10(value) if log else value for value in values]
    low, high = min(coordinates), max(coordinates)
    if low == high:
        low, high = low - 0.5, high + 0.5
    ticks = _ticks(low, high, log)
    texts = [fmt.value(float(f"{10**tick if log else tick:.3g}")) for tick in ticks]
    return {
        "label": plain_text(name), "values": coordinates, "range": [low, high], "tickvals": ticks, "ticktext": texts,
    }  # fmt: skip


def _ticks(low: float, high: float, log: bool) -> list[float]:
    """Both ends, because plotly draws an axis between its ticks, and the round values far enough from them."""
    if log:
        inside = [math.log10(tick) for tick in log_ticks(low, high)]
    else:
        power = 10.0 ** math.floor(math.log10(high - low))
        step = next(power * factor for factor in (0.1, 0.2, 0.5, 1, 2) if (high - low) / (factor * power) <= 7)
        inside = [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
    distance, ticks = 0.07 * (high - low), [low]
    for tick in inside:
        if tick - ticks[-1] > distance and high - tick > distance:
            ticks.append(tick)
    return [*ticks, high]
