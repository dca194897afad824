"""Points -> parallel coordinates, as plotly's JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from lstm_lab.files import Row
from lstm_lab.records import finite
from lstm_lab.report import fmt
from lstm_lab.report.parts.figures import Figure, as_json, decades, layout_of, plain, scale_of
from lstm_lab.report.parts.tables import varying
from lstm_lab.sweeps.store.leaderboard import Configuration
from lstm_lab.sweeps.store.record import SweepRecord

FEW = 24
"""Points whose lines do not hide each other, so that the worst may be seen as well."""


def coordinates(sweep: SweepRecord) -> Figure | None:
    """A line for each point through all hyperparameters that vary, to the deciding metric."""
    points = [point for point in sweep.configurations if finite(point.mean)]
    if len(points) < 2:
        return None
    keys = varying(sweep)
    names = fmt.short(keys)
    axes = [_dimension(points, key, names[key], sweep.space.get(key, ("", None))[0]) for key in keys]
    means = [point.mean for point in points if point.mean is not None]
    scale, _ = scale_of(means, sweep.mode)
    axes.append(_numeric(means, fmt.metric(sweep.metric), scale.get("type") == "log"))
    order = sorted(range(len(means)), key=lambda place: means[place], reverse=sweep.mode == "max")
    share = {place: rank / (len(means) - 1) for rank, place in enumerate(order)}
    # Plotly paints in the order of the values: best last, on top.
    line = {
        "color": [1 - share[place] for place in range(len(means))], "cmin": 0, "cmax": 1, "showscale": False,
        "colorscale": [[0, "--faint" if len(points) <= FEW else "--worst"], [0.7, "--middle"], [1, "--best"]],
    }  # fmt: skip
    # Where each stands in the leaderboard, of which the page keeps what is kept along an axis.
    ids = [str(place) for place, point in enumerate(sweep.configurations) if finite(point.mean)]
    trace = {
        "type": "parcoords", "dimensions": axes, "ids": ids, "line": line, "labelfont": {"size": 13, "color": "--ink"},
        "tickfont": {"size": 12, "color": "--muted"}, "rangefont": {"size": 1, "color": "rgba(0,0,0,0)"},
        "unselected": {"line": {"color": "--grid", "opacity": 0.3}},
    }  # fmt: skip
    left_out = len(sweep.configurations) - len(points)
    caption = (
        f"One line for each of {len(points)} points, strongest where {fmt.metric(sweep.metric)} is best. Drag along "
        "an axis to keep a range, in the leaderboard too; click to let it go; drag a name to move its axis. By "
        "keyboard: type ranges above the leaderboard, as in its example."
        + (f" Left out: {fmt.plural(left_out, 'point')} without a value." if left_out else "")
    )
    alt = (
        f"Parallel coordinates of {fmt.listed(names.values())} and {fmt.metric(sweep.metric)} for {len(points)} "
        f"points; the leaderboard holds the same values. The best is {fmt.settings(points[0].overrides, names)}."
    )
    room = max(116, 16 + max(4 * (len(a["label"]) + len(b["label"])) for a, b in pairwise(axes)))
    layout = layout_of(420, margin={"l": 64, "r": 72, "t": 56, "b": 24})
    return Figure("parallel", "parallel coordinates", caption, alt, as_json([trace], layout), 420, room * len(axes))


def _dimension(points: list[Configuration], key: str, name: str, domain: str) -> Row:
    values = [point.overrides.get(key) for point in points]
    missing = [key not in point.overrides for point in points]
    if domain in ("grid", "choice") or any(missing) or not all(finite(value) for value in values):
        return _listed(values, missing, name)
    return _numeric(values, name, domain in ("loguniform", "qloguniform"))


def _listed(values: list[Any], missing: list[bool], name: str) -> Row:
    """Values side by side: numbers in their order, names in the order of their appearance, those without one last."""
    told = {fmt.same(value): value for value, out in zip(values, missing, strict=True) if not out}
    if all(finite(value) for value in told.values()):
        told = dict(sorted(told.items(), key=lambda item: item[1]))
    places = {key: place for place, key in enumerate(told)}
    texts = [plain(fmt.setting(value)) for value in told.values()] + ([fmt.NONE] if any(missing) else [])
    at = [len(told) if out else places[fmt.same(value)] for value, out in zip(values, missing, strict=True)]
    step = math.ceil(len(texts) / 12)
    return {
        "label": plain(name), "values": at, "range": [-0.3, len(texts) - 0.7],
        "tickvals": list(range(len(texts)))[::step], "ticktext": texts[::step],
    }  # fmt: skip


def _numeric(values: Sequence[Any], name: str, log: bool) -> Row:
    held = [math.log10(value) if log else value for value in values]
    low, high = min(held), max(held)
    if low == high:
        low, high = low - 0.5, high + 0.5
    ticks = _ticks(low, high, log)
    texts = [fmt.setting(float(f"{10**tick if log else tick:.3g}")) for tick in ticks]
    return {"label": plain(name), "values": held, "range": [low, high], "tickvals": ticks, "ticktext": texts}


def _ticks(low: float, high: float, log: bool) -> list[float]:
    """Both ends, because an axis is drawn between its ticks, and the round values that stand clear of them."""
    if log:
        inside = [math.log10(tick) for tick in decades(low, high)]
    else:
        step = 10.0 ** math.floor(math.log10(high - low))
        step *= next(part for part in (0.1, 0.2, 0.5, 1, 2) if (high - low) / (part * step) <= 7)
        inside = [place * step for place in range(math.ceil(low / step), math.floor(high / step) + 1)]
    room, ticks = 0.07 * (high - low), [low]
    for tick in inside:
        if tick - ticks[-1] > room and high - tick > room:
            ticks.append(tick)
    return [*ticks, high]
