"""Records -> figures, as plotly's JSON.

Colours stand as names of the page's CSS variables (`--ink`), which a script on the page looks up: so one figure is
right in the light, in the dark and on paper.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

from lstm_lab.files import Row
from lstm_lab.records import RunRecord, finite
from lstm_lab.report import fmt
from lstm_lab.report.parts.tables import categories, varying
from lstm_lab.sweeps.store.leaderboard import Trial
from lstm_lab.sweeps.store.record import SweepRecord

BEST, SHOWN = 20, 60
"""Curves drawn: so many of the best, and so many in all."""
POINTS_PER_CURVE = 300
COLOURS = [f"--c{place}" for place in range(1, 7)]
ENDS = {
    "stopped": ("circle-open", "stopped early"),
    "failed": ("x-thin-open", "failed"),
    "interrupted": ("diamond-open", "interrupted"),
}


@dataclass(frozen=True)
class Figure:
    id: str
    title: str
    caption: str
    alt: str
    """What it shows, for those who cannot see it."""
    content: str
    """Plotly's JSON."""
    height: int = 380
    width: int = 0
    """Least width in pixels; a narrower page scrolls it."""


def plain(text: str) -> str:
    """Text that plotly cannot take for markup."""
    return text.replace("<", "‹").replace(">", "›").replace("&", "＆")


def axis(title: str, **more: Any) -> Row:
    return {
        "title": {"text": title, "standoff": 8},
        "gridcolor": "--grid",
        "linecolor": "--rule",
        "zeroline": False,
        "automargin": True,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": "--rule",
        **more,
    }


def layout_of(height: int, **more: Any) -> Row:
    return {
        "template": "none",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "--muted"},
        "height": height,
        "margin": {"l": 56, "r": 16, "t": 12, "b": 44},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.01, "x": 0, "font": {"color": "--ink"}},
        "hoverlabel": {"bgcolor": "--paper", "bordercolor": "--rule", "font": {"color": "--ink"}},
        "hovermode": "closest",
        **more,
    }


def as_json(traces: Sequence[Row], layout: Row) -> str:
    return json.dumps({"data": list(traces), "layout": layout}, allow_nan=False)


def thin(values: list[Row], keep: Row | None) -> list[Row]:
    """At most some hundred rows of a record, the last and the best among them."""
    step = math.ceil(len(values) / POINTS_PER_CURVE)
    return [row for place, row in enumerate(values) if place % step == 0 or row is keep or row is values[-1]]


def scale_of(values: Iterable[float], mode: str = "min") -> tuple[Row, bool]:
    """Type and range of a y axis, and whether it leaves the largest values out so that the others can be seen.

    What is to be small (`mode` is min) gets a logarithmic axis where it spans much.
    """
    held = sorted(values)
    low, high = held[0], held[-1]
    if low == high:
        # One value is shown by its distance from zero.
        return {"range": [min(0.0, 1.3 * low), max(0.0, 1.3 * high) or 1.0]}, False
    usual = quantiles(held, n=50)[-1] if len(held) > 50 else high
    log = mode == "min" and low > 0 and usual / low > 8
    cut = high > usual + 5 * (usual - low)
    high = usual if cut else high
    if log:
        low, high = math.log10(low), math.log10(high)
    pad = 0.05 * (high - low)
    ticks = decades(low - pad, high + pad) if log else []
    marks = {"tickvals": ticks, "ticktext": [f"{tick:.6g}" for tick in ticks]} if len(ticks) > 1 else {}
    return {"type": "log" if log else "linear", "range": [low - pad, high + pad], **marks}, cut


def decades(low: float, high: float) -> list[float]:
    """Round values between two powers of ten: 1, 2, 5 of each decade, fewer or more as the range asks."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    ticks: list[float] = []
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 5), (1, 2, 3, 4, 5, 7), tuple(range(1, 10))):
        ticks = [digit * 10.0**power for power in powers for digit in digits]
        ticks = [tick for tick in ticks if low <= math.log10(tick) <= high]
        if len(ticks) >= 4:
            break
    return ticks


def chosen(sweep: SweepRecord) -> list[Trial]:
    """Trials whose curves are drawn: the best, and a spread over all the others."""
    ranked = [trial for point in sweep.configurations for trial in point.trials if trial.record and trial.record.rows]
    if sweep.winner in ranked:
        ranked.sort(key=lambda trial: trial is not sweep.winner)
    if len(ranked) <= SHOWN:
        return ranked
    rest, wanted = ranked[BEST:], SHOWN - BEST
    return ranked[:BEST] + [rest[round(place * (len(rest) - 1) / (wanted - 1))] for place in range(wanted)]


def _groups(sweep: SweepRecord) -> tuple[str | None, dict[str, str]]:
    """The first hyperparameter chosen from a short list, and the colour of each of its values."""
    for key, values in categories(sweep).items():
        if len(values) <= len(COLOURS):
            return key, dict(zip(map(fmt.same, values), COLOURS, strict=False))
    return None, {}


def curves(sweep: SweepRecord) -> list[Figure]:
    """Deciding metric and training loss over the epochs, a line for each trial."""
    shown = chosen(sweep)
    return [
        figure
        for name, column in (("monitor", sweep.metric), ("train", "train/loss"))
        if (figure := _curves(sweep, shown, name, column)) is not None
    ]


def _curves(sweep: SweepRecord, shown: list[Trial], name: str, column: str) -> Figure | None:
    drawn = [(trial, _line(trial, sweep.metric, column)) for trial in shown]
    drawn = [(trial, rows) for trial, rows in drawn if rows]
    if not drawn:
        return None
    mode = sweep.mode if column == sweep.metric else "min"
    scale, cut = scale_of((row[column] for _, rows in drawn for row in rows), mode)
    traces = [*_lines(sweep, drawn, column), *_ends(drawn, column)]
    won = next((trial for trial, _ in drawn if trial is sweep.winner), None)
    if won is not None and won.record is not None and won.record.best and finite(won.record.best.get(column)):
        traces.append(_star(won.id, won.record.best, column))
    words_of = fmt.metric(column)
    caption = f"{fmt.sentence(words_of)} over epochs, one line for each trial."
    ran = sum(bool(trial.record and trial.record.rows) for trial in sweep.trials)
    if ran > len(drawn):
        caption += f" {len(drawn)} of {ran} trials are drawn: the best {BEST}, and the others evenly from good to bad."
    if cut:
        caption += " The largest values lie above the panel."
    best = f"the winner {won.id} reaches {fmt.number(won.value)}" if won else "no trial has won yet"
    alt = f"Line chart of {words_of} over epochs for {fmt.plural(len(drawn), 'trial')}; {best}."
    layout = layout_of(400, xaxis=axis("epoch", rangemode="tozero"), yaxis=axis(words_of, **scale))
    return Figure(f"curves-{name}", words_of, caption, alt, as_json(traces, layout), 400)


def _line(trial: Trial, metric: str, column: str) -> list[Row]:
    assert trial.record is not None
    return thin([row for row in trial.record.rows if finite(row.get(column))], trial.record.best)


def _lines(sweep: SweepRecord, drawn: list[tuple[Trial, list[Row]]], column: str) -> list[Row]:
    """The winner last, so that it lies on top."""
    key, colours = _groups(sweep)
    names = fmt.short(varying(sweep))
    traces, told = [], set()
    for trial, rows in sorted(drawn, key=lambda pair: pair[0] is sweep.winner):
        value = trial.overrides.get(key) if key else None
        colour = colours.get(fmt.same(value), "--faint") if key else "--faint"
        won = trial is sweep.winner
        label = "winner" if won else fmt.setting(value) if key in trial.overrides else "other trials"
        said = plain(f"{trial.id}: {fmt.settings({**trial.overrides, 'seed': trial.seed}, names)}")
        traces.append({
            "type": "scatter",
            "mode": "lines" if len(rows) > 1 else "markers",
            "x": [row["epoch"] for row in rows],
            "y": [row[column] for row in rows],
            "line": {"color": (colour if key else "--c1") if won else colour, "width": 3.5 if won else 1.4},
            "marker": {"color": colour, "size": 5},
            "opacity": 1 if won else 0.55,
            "name": plain(label),
            "legendgroup": label,
            "showlegend": label not in told,
            "hovertemplate": f"{said}<br>epoch %{{x}}: %{{y:.4g}}<extra></extra>",
        })  # fmt: skip
        told.add(label)
    return traces


def _ends(drawn: list[tuple[Trial, list[Row]]], column: str) -> list[Row]:
    """A mark where a trial ended before its time."""
    traces = []
    for state, (symbol, label) in ENDS.items():
        last = [(trial, rows[-1]) for trial, rows in drawn if trial.state == state]
        if last:
            traces.append({
                "type": "scatter",
                "mode": "markers",
                "x": [row["epoch"] for _, row in last],
                "y": [row[column] for _, row in last],
                "text": [plain(trial.id) for trial, _ in last],
                "marker": {"symbol": symbol, "size": 8, "color": "--ink", "line": {"width": 1.4, "color": "--ink"}},
                "name": label,
                "hovertemplate": f"%{{text}} {label} after epoch %{{x}}<extra></extra>",
            })  # fmt: skip
    return traces


def _star(name: str, best: Row, column: str) -> Row:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [best["epoch"]],
        "y": [best[column]],
        "marker": {"symbol": "star", "size": 15, "color": "--star", "line": {"width": 1, "color": "--ink"}},
        "name": "best epoch",
        "hovertemplate": f"{plain(name)}, best epoch %{{x}}: %{{y:.4g}}<extra></extra>",
    }


def run_curves(record: RunRecord) -> list[Figure]:
    """Losses, the deciding metric and the learning rate of one run."""
    found = []
    metric = record.monitor or "val/loss"
    panels = [("losses", "loss", ["train/loss", "val/loss"]), ("rate", "learning rate", ["lr"])]
    if metric != "val/loss":
        panels.insert(0, ("monitor", fmt.metric(metric), [metric]))
    for name, title, columns in panels:
        lines = {c: [row for row in record.rows if finite(row.get(c))] for c in columns}
        lines = {column: thin(rows, record.best) for column, rows in lines.items() if rows}
        if lines:
            found.append(_run_panel(record, name, title, lines))
    return found


def _run_panel(record: RunRecord, name: str, title: str, lines: dict[str, list[Row]]) -> Figure:
    # A learning rate that falls to zero would draw nothing but its fall.
    mode = {"monitor": record.mode, "losses": "min"}.get(name, "linear")
    scale, cut = scale_of((row[column] for column, rows in lines.items() for row in rows), mode)
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers" if len(rows) < 2 else "lines",
            "x": [row["epoch"] for row in rows],
            "y": [row[column] for row in rows],
            "line": {"color": colour, "width": 2.2},
            "name": fmt.metric(column),
            "hovertemplate": "epoch %{x}: %{y:.4g}<extra></extra>",
        }
        for (column, rows), colour in zip(lines.items(), ("--c2", "--c1") if len(lines) > 1 else ("--c1",), strict=True)
    ]
    if record.best and record.monitor in lines:
        traces.append(_star(record.name, record.best, record.monitor))
    layout = layout_of(
        340, xaxis=axis("epoch", rangemode="tozero"), yaxis=axis(title, **scale), showlegend=len(traces) > 1
    )
    caption = f"{title[0].upper()}{title[1:]} over epochs." + (
        " The largest values lie above the panel." if cut else ""
    )
    ends = [f"{fmt.metric(column)} ends at {fmt.number(rows[-1][column])}" for column, rows in lines.items()]
    alt = f"Line chart of {title} over {fmt.plural(len(record.rows), 'epoch')}; {fmt.listed(ends)}."
    return Figure(f"curves-{name}", title, caption, alt, as_json(traces, layout), 340)
