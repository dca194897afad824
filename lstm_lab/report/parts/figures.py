"""Figures of a page as plotly's JSON: axes, layout, value ranges and downsampling.

Colours are names of the page's CSS variables (`--text`). A script on the page replaces them by their values, so that
one figure fits the light and the dark colour scheme and paper.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import quantiles

from lstm_lab.records.files import Row

POINTS_PER_CURVE = 300
COLORS = [f"--c{number}" for number in range(1, 7)]
CUT_OFF = " The largest values are outside the range of the axis."
"""Said in the caption of a figure whose axis leaves them out."""


@dataclass(frozen=True)
class Figure:
    """A plotly figure with its caption."""

    id: str
    title: str
    caption: str
    alt: str
    """The content in words, for those who cannot see the figure."""
    content: str
    """Plotly's JSON."""
    height: int = 380
    width: int = 0
    """Least width in pixels; on a narrower page the figure scrolls."""


def plain_text(text: str) -> str:
    """Text without the characters that plotly would take for markup."""
    return text.replace("<", "‹").replace(">", "›").replace("&", "＆")


def axis(title: str, **more: object) -> Row:
    """A plotly axis in the style of the page."""
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


def epoch_axis(last: int) -> Row:
    """An x axis of epochs 0 to `last`: whole numbers, with room for the markers at both ends."""
    room = max(0.5 if last == 0 else 0.04 * last, 0.04)
    return axis("epoch", range=[-room, last + room], **({"dtick": 1} if last < 8 else {}))


def base_layout(height: int, **more: object) -> Row:
    """A plotly layout in the style of the page."""
    return {
        "template": "none",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "--muted"},
        "height": height,
        "margin": {"l": 56, "r": 16, "t": 12, "b": 44},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.01, "x": 0, "font": {"color": "--text"}},
        "hoverlabel": {"bgcolor": "--background", "bordercolor": "--rule", "font": {"color": "--text"}},
        "hovermode": "closest",
        **more,
    }


def to_json(traces: Sequence[Row], layout: Row) -> str:
    """Plotly's JSON of a figure."""
    return json.dumps({"data": list(traces), "layout": layout}, allow_nan=False)


def downsample(rows: list[Row], keep: Row | None) -> list[Row]:
    """At most some hundred rows of a record, the last one and `keep` among them."""
    step = math.ceil(len(rows) / POINTS_PER_CURVE)
    return [row for index, row in enumerate(rows) if index % step == 0 or row is keep or row is rows[-1]]


def value_axis(values: Iterable[float], mode: str = "min") -> tuple[Row, bool]:
    """Type, range and ticks of a y axis.

    Args:
        values: what is drawn, one at least.
        mode: min: logarithmic where the values span much; anything else: linear.

    Returns:
        The axis, and whether it leaves out the largest values so that the others can be told apart.
    """
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    if low == high:
        # A single value is shown by its distance from zero.
        return {"range": [min(0.0, 1.3 * low), max(0.0, 1.3 * high) or 1.0]}, False
    typical = quantiles(ordered, n=50)[-1] if len(ordered) > 50 else high
    log = mode == "min" and low > 0 and typical / low > 8
    cut = high > typical + 5 * (typical - low)
    high = typical if cut else high
    if log:
        low, high = math.log10(low), math.log10(high)
    padding = 0.05 * (high - low)
    ticks = log_ticks(low - padding, high + padding) if log else []
    marks = {"tickvals": ticks, "ticktext": [f"{tick:.6g}" for tick in ticks]} if len(ticks) > 1 else {}
    return {"type": "log" if log else "linear", "range": [low - padding, high + padding], **marks}, cut


def log_ticks(low: float, high: float) -> list[float]:
    """Round values between 10^low and 10^high: 1, 2 and 5 of each decade, fewer or more as the range needs."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    ticks: list[float] = []
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 5), (1, 2, 3, 4, 5, 7), tuple(range(1, 10))):
        ticks = [digit * 10.0**power for power in powers for digit in digits]
        ticks = [tick for tick in ticks if low <= math.log10(tick) <= high]
        if len(ticks) >= 4:
            break
    return ticks
