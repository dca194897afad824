"""The numbers of a figure as a table, for forms of a page that draw nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from lstm_lab.report.parts.figures import Figure

Number = str | float | None


@dataclass(frozen=True)
class FigureData:
    """What is drawn, a row for each point."""

    columns: list[str]
    rows: list[list[Number]] = field(default_factory=list)


def figure_data(figure: Figure) -> FigureData:
    """The points of a figure at full precision.

    Of lines, points and bars: the name of the trace, where there are several, x and y. Of a heatmap with counts: the
    counts, a row for each target. Of parallel coordinates: a row for each line.
    """
    content: dict[str, Any] = json.loads(figure.content)
    traces = [trace for trace in content["data"] if trace.get("x") or trace.get("y") or trace.get("dimensions")]
    x, y = (_title(content["layout"].get(name)) or name[0] for name in ("xaxis", "yaxis"))
    if len(traces) == 1 and traces[0]["type"] == "heatmap":
        trace = traces[0]
        matrix = trace["customdata"] if _is_matrix(trace.get("customdata")) else trace["z"]
        rows: list[list[Number]] = [[name, *values] for name, values in zip(trace["y"], matrix, strict=True)]
        return FigureData([f"{y} \\ {x}", *map(str, trace["x"])], rows)
    if len(traces) == 1 and traces[0]["type"] == "parcoords":
        axes = traces[0]["dimensions"]
        return FigureData([str(axis["label"]) for axis in axes], [list(row) for row in _columns(axes)])
    found = [
        [str(trace.get("name") or ""), *point]
        for trace in traces
        for point in zip_longest(trace.get("x") or [], trace.get("y") or [])
        if point != (None, None)
    ]
    if any(row[0] for row in found):
        return FigureData(["trace", x, y], found)
    return FigureData([x, y], [row[1:] for row in found])


def _columns(axes: Sequence[dict[str, Any]]) -> zip_longest[Any]:
    return zip_longest(*(axis["values"] for axis in axes))


def _title(axis: dict[str, Any] | None) -> str:
    title = (axis or {}).get("title") or {}
    return str(title.get("text") or "") if isinstance(title, dict) else str(title)


def _is_matrix(values: object) -> bool:
    """Whether they are rows of numbers."""
    return isinstance(values, list) and all(
        isinstance(row, list) and all(isinstance(value, int | float) for value in row) for row in values
    )
