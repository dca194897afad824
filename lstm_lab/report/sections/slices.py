"""The metric over one hyperparameter at a time, and over the two that matter most."""

from __future__ import annotations

import math

from lstm_lab.files import Row
from lstm_lab.records import finite
from lstm_lab.report import fmt
from lstm_lab.report.parts.figures import Figure, as_json, axis, decades, layout_of, plain, scale_of
from lstm_lab.report.parts.tables import varying
from lstm_lab.sweeps.store.leaderboard import Configuration
from lstm_lab.sweeps.store.record import SweepRecord

MOST, MANY = 8, 150
"""Hyperparameters of which a slice is drawn, and points from which marks are small."""


def slices(sweep: SweepRecord, order: list[str]) -> list[Figure]:
    """One panel for each hyperparameter, in the given order: a mark for each point, hollow where it was cut short."""
    points = [point for point in sweep.configurations if finite(point.mean)]
    if len(points) < 3:
        return []
    scale, cut = scale_of((p.mean for p in points if p.mean is not None), sweep.mode)
    names = fmt.short(order)
    return [_slice(sweep, points, key, names[key], scale, cut) for key in order[:MOST]]


def _slice(sweep: SweepRecord, points: list[Configuration], key: str, name: str, scale: Row, cut: bool) -> Figure:
    having = [point for point in points if key in point.overrides]
    values, more = places(sweep, key, having)
    metric = fmt.metric(sweep.metric)
    traces = []
    for through, label, symbol in ((True, "trained through", "circle"), (False, "cut short", "circle-open")):
        chosen = [(value, point) for value, point in zip(values, having, strict=True) if point.completed is through]
        if chosen:
            traces.append({
                "type": "scatter", "mode": "markers", "x": [value for value, _ in chosen],
                "y": [point.mean for _, point in chosen], "name": label,
                "marker": {"symbol": symbol, "size": size_of(points), "color": "--c1",
                           "opacity": 1 if len(points) <= MANY else 0.6, "line": {"width": 1.4, "color": "--c1"}},
                "text": [
                    plain(f"{' '.join(t.id for t in point.trials)}: {name} {fmt.setting(point.overrides[key])}")
                    for _, point in chosen
                ],
                "hovertemplate": "%{text}: %{y:.4g}<extra></extra>",
            })  # fmt: skip
    layout = layout_of(290, xaxis=axis(plain(name), **more), yaxis=axis(metric, **scale), showlegend=len(traces) > 1)
    best = points[0]
    at = fmt.setting(best.overrides[key]) if key in best.overrides else "without it"
    state = "" if len(traces) > 1 else ", all trained through" if points[0].completed else ", all cut short"
    caption = f"{fmt.sentence(metric)} over {name}, a mark for each point{state}." + (
        " The largest values lie above the panel." if cut else ""
    )
    alt = f"Scatter of {metric} over {name} for {fmt.plural(len(having), 'point')}; the best point has {at}."
    return Figure(f"slice-{ident(key)}", name, caption, alt, as_json(traces, layout), 290)


def size_of(points: list[Configuration]) -> float:
    return 8 if len(points) <= MANY else 5


def ident(key: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in key)


def places(sweep: SweepRecord, key: str, points: list[Configuration]) -> tuple[list[float], Row]:
    """Values of a hyperparameter on an axis, and the axis: logarithmic where its domain is, a list side by side.

    Of many points on one value each stands a little beside the others.
    """
    kind = sweep.space.get(key, ("", None))[0]
    values = [point.overrides[key] for point in points]
    if kind in ("grid", "choice") or not all(finite(value) for value in values):
        told = {fmt.same(value): value for value in values}
        if all(finite(value) for value in told.values()):
            told = dict(sorted(told.items(), key=lambda item: item[1]))
        spots = {same: place for place, same in enumerate(told)}
        beside = 0.3 if len(points) > MANY else 0.0
        at = [
            spots[fmt.same(value)] + beside * _beside(point.number) for value, point in zip(values, points, strict=True)
        ]
        texts = [plain(fmt.setting(value)) for value in told.values()]
        return at, {"tickvals": list(range(len(told))), "ticktext": texts, "range": [-0.5, len(told) - 0.5],
                    "showgrid": False}  # fmt: skip
    if kind in ("loguniform", "qloguniform"):
        low, high = math.log10(min(values)), math.log10(max(values))
        ticks: list[float] = []
        for tick in decades(low, high):  # So far apart that they can be read on a phone.
            if not ticks or math.log10(tick / ticks[-1]) > 0.17 * (high - low):
                ticks.append(tick)
        marks = {"tickvals": ticks, "ticktext": [f"{tick:.6g}" for tick in ticks]} if len(ticks) > 1 else {}
        return values, {"type": "log", **marks}
    return values, {}


def _beside(number: int) -> float:
    """-1 .. 1, evenly over consecutive numbers (the golden ratio's multiples)."""
    return 2 * (number * 0.618034 % 1) - 1


def interaction(sweep: SweepRecord, order: list[str]) -> Figure | None:
    """Points over the two hyperparameters that matter most, darkest where they are best."""
    points = [p for p in sweep.configurations if finite(p.mean) and all(key in p.overrides for key in order[:2])]
    if len(order) < 2 or len(points) < 12:
        return None
    one, other = order[:2]
    names, metric = fmt.short(varying(sweep)), fmt.metric(sweep.metric)
    (x, across), (y, up) = places(sweep, one, points), places(sweep, other, points)
    ranked = sorted(points, key=lambda point: point.mean or 0.0, reverse=sweep.mode == "max")
    share = {id(point): 1 - rank / (len(points) - 1) for rank, point in enumerate(ranked)}
    trace = {
        "type": "scatter", "mode": "markers", "x": x, "y": y, "showlegend": False,
        "marker": {
            "size": 13 if len(points) <= MANY else 8,
            "color": [share[id(point)] for point in points], "cmin": 0, "cmax": 1,
            "colorscale": [[0, "--worst"], [0.7, "--middle"], [1, "--best"]], "line": {"width": 1, "color": "--muted"},
        },
        "text": [
            plain(f"{fmt.settings({key: p.overrides[key] for key in (one, other)}, names)}: {fmt.number(p.mean)}")
            for p in points
        ],
        "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip
    layout = layout_of(340, xaxis=axis(plain(names[one]), **across), yaxis=axis(plain(names[other]), **up))
    caption = (
        f"{fmt.sentence(names[one])} and {names[other]} together, a mark for each point, strongest where {metric} "
        "is best. Where the strong marks lie along a slant, the one should be chosen for the other."
    )
    best = fmt.settings({key: ranked[0].overrides[key] for key in (one, other)}, names)
    alt = f"Scatter of {len(points)} points over {names[one]} and {names[other]}; the best has {best}."
    return Figure("interaction", "interaction", caption, alt, as_json([trace], layout), 340)
