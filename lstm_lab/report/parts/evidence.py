"""The picture of what a rule measured."""

from __future__ import annotations

from lstm_lab.records.diagnosis import Chart
from lstm_lab.records.files import Row
from lstm_lab.report import fmt
from lstm_lab.report.parts.figures import COLORS, Figure, axis, base_layout, plain_text, to_json

HEIGHT = 240


def evidence_figure(chart: Chart, rule: str, id: str) -> Figure:
    """Lines, bars or points.

    Args:
        rule: what they are the evidence of.
    """
    kinds: dict[str, Row] = {
        "lines": {"type": "scatter", "mode": "lines+markers", "marker": {"size": 4}},
        "points": {"type": "scatter", "mode": "markers"},
        "bars": {"type": "bar"},
    }
    traces: list[Row] = []
    for series, color in zip(chart.series, COLORS * len(chart.series), strict=False):
        name = plain_text(series.name)
        x = [plain_text(each) if isinstance(each, str) else each for each in series.x]
        trace = {**kinds[chart.kind], "x": x, "y": series.y, "name": name, "hovertemplate": f"{name}: %{{y}}"
                 "<extra></extra>"}  # fmt: skip
        traces.append({**trace, "marker": {**trace.get("marker", {}), "color": color}, "line": {"color": color}}
                      if chart.kind != "bars" else {**trace, "marker": {"color": color}})  # fmt: skip
    layout = base_layout(
        HEIGHT, xaxis=axis(plain_text(chart.x), **({"type": "log"} if chart.log_x else {})),
        yaxis=axis(plain_text(chart.y), **({"type": "log"} if chart.log_y else {})), showlegend=len(traces) > 1,
        barmode="group",
    )  # fmt: skip
    caption = f"{fmt.capitalized(chart.y)} over {chart.x}."
    names = fmt.join([series.name for series in chart.series])
    return Figure(id, rule, caption, f"{caption} {names}.", to_json(traces, layout), HEIGHT)
