"""What a model does, from its examples.json: forecasts against the truth, confusion, calibration, errors, tags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lstm_lab.files import Row
from lstm_lab.report import fmt
from lstm_lab.report.parts.figures import COLOURS, Figure, as_json, axis, layout_of, plain
from lstm_lab.report.parts.tables import Cell, Column, Table, aligned
from lstm_lab.report.sections import next_step

MOST_CLASSES = 25
"""Classes of which the confusion can be read."""


def figures_of(content: Row) -> list[Figure]:
    return DRAWN[content["kind"]](content) if content.get("kind") in DRAWN else []


def about(content: Row) -> str:
    whole = content["samples"] == content["of"]
    count = f"all {content['of']:,}" if whole else f"{content['samples']:,} of {content['of']:,}, evenly chosen,"
    if content.get("first") and not whole:
        count = f"the first {content['samples']:,} of {content['of']:,}"
    said = (
        f"From the answers of the best epoch ({content['epoch']}) to {count} samples of the {content['part']} part, by "
        "which that epoch was chosen; the test part is not opened for this page."
    )
    return f"{said} {next_step.summary(content)}" if content["kind"] == "next_step" else said


def confusion(content: Row) -> Figure | None:
    return matrix(content["classes"], content["confusion"], "validation")


def matrix(names: list[Any], counts: list[list[int]], part: str) -> Figure | None:
    """Truth down, answer across; shares of each true class, with the counts in the cells."""
    classes = [plain(str(name)) for name in names]
    if not 1 < len(classes) <= MOST_CLASSES:
        return None
    shares = [[count / sum(row) if sum(row) else 0.0 for count in row] for row in counts]
    # Names as text, for classes that are called 1, 2, 3 would else become an axis of numbers.
    trace = {
        "type": "heatmap", "x": classes, "y": classes, "z": shares, "zmin": 0, "zmax": 1, "showscale": False,
        "colorscale": [[0, "--paper"], [1, "--heat"]], "xgap": 1, "ygap": 1,
        "customdata": counts, "hovertemplate": "truth %{y}, answer %{x}: %{customdata}<extra></extra>",
    }  # fmt: skip
    notes = [
        {"x": across, "y": down, "text": f"{counts[down][across]:,}", "showarrow": False,
         "font": {"size": 12 if len(classes) < 14 else 9, "color": "--ink"}}
        for down in range(len(classes)) for across in range(len(classes)) if counts[down][across]
    ]  # fmt: skip
    side = max(300, min(620, 110 + 30 * len(classes)))
    small = {"tickfont": {"color": "--ink"}, "type": "category", "showgrid": False, "ticks": ""}
    layout = layout_of(
        side, annotations=notes, xaxis=axis("answer", **small), yaxis=axis("truth", autorange="reversed", **small)
    )
    right = sum(counts[place][place] for place in range(len(classes)))
    total = sum(map(sum, counts))
    swapped = [
        (counts[down][across], classes[down], classes[across])
        for down in range(len(classes))
        for across in range(len(classes))
        if down != across and counts[down][across]
    ]
    caption = (
        f"Counts of the {part} part, coloured by the share of the true class; {right:,} of {total:,} lie on the "
        "diagonal."
    )
    if swapped:
        count, truth, answer = max(swapped)
        caption += f" Most often confused: {truth} taken for {answer}, {fmt.times(count)}."
    alt = f"Confusion matrix of {len(classes)} classes. {caption}"
    name, title = ("confusion-test", "confusion, test part") if part == "test" else ("confusion", "confusion")
    return Figure(name, title, caption, alt, as_json([trace], layout), side)


def calibration(content: Row) -> Figure | None:
    """How often an answer is right, against how sure the model was of it."""
    bins = content["calibration"]
    total = sum(row["n"] for row in bins)
    if not total:
        return None
    gap = sum(row["n"] * abs(row["sure"] - row["right"]) for row in bins) / total
    traces: list[Row] = [
        {"type": "scatter", "mode": "lines", "x": [0, 1], "y": [0, 1], "name": "as sure as right",
         "line": {"color": "--faint", "width": 1.4, "dash": "dash"}, "hoverinfo": "skip"},
        {"type": "scatter", "mode": "lines+markers", "x": [row["sure"] for row in bins],
         "y": [row["right"] for row in bins], "name": "model", "line": {"color": "--c1", "width": 2},
         "marker": {"color": "--c1", "size": [6 + 16 * (row["n"] / total) ** 0.5 for row in bins]},
         "text": [f"{row['n']:,}" for row in bins],
         "hovertemplate": "sure to %{x:.0%}, right in %{y:.0%}, %{text} answers<extra></extra>"},
    ]  # fmt: skip
    share = {"tickformat": ".0%", "range": [-0.04, 1.06]}
    layout = layout_of(340, xaxis=axis("how sure it is", **share), yaxis=axis("how often it is right", **share))
    caption = (
        f"Where the line lies below the dashes the model is surer than it should be. Marks grow with the answers in "
        f"them; on average both differ by {100 * gap:.1f} points of a hundred (expected calibration error)."
    )
    alt = f"Reliability diagram of {total:,} answers in {len(bins)} bins; expected calibration error {gap:.3f}."
    return Figure("calibration", "calibration", caption, alt, as_json(traces, layout), 340)


def _classes(content: Row) -> list[Figure]:
    return [figure for figure in (confusion(content), calibration(content)) if figure]


def _tags(content: Row) -> list[Figure]:
    strips = [figure for place, strip in enumerate(content["strips"]) if (figure := _strip(content, strip, place))]
    return [*strips, *_classes(content)]


def _strip(content: Row, strip: Row, place: int) -> Figure | None:
    """Truth above, answer below, a colour for each class; the truth is blank where nothing is asked."""
    classes = [plain(str(name)) for name in content["classes"]]
    if len(classes) > len(COLOURS):
        return None
    steps = list(range(len(strip["truth"])))
    rows = {"answer": strip["answer"], "truth": strip["truth"]}
    traces = []
    for number, (name, colour) in enumerate(zip(classes, COLOURS, strict=False)):
        x = [step for row in rows.values() for step in steps if row[step] == number]
        y = [label for label, row in rows.items() for step in steps if row[step] == number]
        if x:
            traces.append({
                "type": "scatter", "mode": "markers", "x": x, "y": y, "name": name,
                "marker": {"symbol": "line-ns-open", "size": 26, "color": colour,
                           "line": {"width": max(2.0, 560 / max(len(steps), 1) * 0.7), "color": colour}},
                "hovertemplate": f"step %{{x}}, %{{y}}: {name}<extra></extra>",
            })  # fmt: skip
    more = f", its first {len(steps)} of {strip['length']:,} steps" if strip["length"] > len(steps) else ""
    layout = layout_of(
        190, xaxis=axis("step"), yaxis=axis("", type="category", categoryarray=["answer", "truth"],
                                            categoryorder="array", range=[-0.6, 1.6], ticks="", showgrid=False,
                                            tickfont={"color": "--ink"}),
    )  # fmt: skip
    caption = f"Labels of each step, {strip['name']} of the sequences{more}: {100 * strip['right']:.0f} % are right."
    caption += " Where the truth is blank nothing was asked." if min(strip["truth"]) < 0 else ""
    return Figure(
        f"tags-{place}", strip["name"], caption, f"Two strips of labels. {caption}", as_json(traces, layout), 190
    )


def _forecasts(content: Row) -> list[Figure]:
    found = [_window(content, window, place) for place, window in enumerate(content["windows"])]
    last = ahead(content["steps"], ", over all targets" if content["targets"] > 1 else "", "steps")
    return [*found, last] if last else found


def ahead(steps: list[float], of: str, name: str) -> Figure | None:
    """The error over the steps ahead; nothing where there is but one."""
    if len(steps) < 2:
        return None
    trace = {
        "type": "scatter", "mode": "lines", "x": list(range(1, len(steps) + 1)), "y": steps,
        "line": {"color": "--c1", "width": 2.4}, "hovertemplate": "%{x} ahead: %{y:.4g}<extra></extra>",
    }  # fmt: skip
    layout = layout_of(
        300, xaxis=axis("steps ahead"), yaxis=axis("mean absolute error", rangemode="tozero"), showlegend=False
    )
    caption = (
        f"Mean absolute error at each step ahead{of}: {fmt.number(steps[0])} at the first, "
        f"{fmt.number(steps[-1])} at the last."
    )
    alt = f"Line chart of the error over {len(steps)} steps ahead. {caption}"
    return Figure(name, "error by step ahead", caption, alt, as_json([trace], layout), 300)


def _window(content: Row, window: Row, place: int) -> Figure:
    """Past, truth and forecast of one window; the 90 % interval as a band where there is one."""
    past, truth, said = window["past"], window["truth"], window["said"]
    before = list(range(1 - len(past), 1))
    ahead = list(range(1, len(truth) + 1))
    traces: list[Row] = []
    if len(said) == 5:
        for low, high, name, dim in ((1, 4, "90 % interval", 0.16), (2, 3, "80 % interval", 0.24)):
            traces.append({
                "type": "scatter", "mode": "lines", "x": ahead + ahead[::-1], "y": said[high] + said[low][::-1],
                "fill": "toself", "fillcolor": "--c1", "opacity": dim, "line": {"width": 0}, "name": name,
                "hoverinfo": "skip",
            })  # fmt: skip
    traces += [
        {"type": "scatter", "mode": "lines", "x": before, "y": past, "name": "before",
         "line": {"color": "--faint", "width": 1.6}, "hovertemplate": "%{x}: %{y:.5g}<extra></extra>"},
        {"type": "scatter", "mode": "lines", "x": ahead, "y": truth, "name": "truth",
         "line": {"color": "--ink", "width": 2}, "hovertemplate": "%{x}: %{y:.5g}<extra>truth</extra>"},
        {"type": "scatter", "mode": "lines", "x": ahead, "y": said[0], "name": "forecast",
         "line": {"color": "--c1", "width": 2.4, "dash": "dot"},
         "hovertemplate": "%{x}: %{y:.5g}<extra>forecast</extra>"},
    ]  # fmt: skip
    target = plain(str(content["target"]))
    layout = layout_of(300, xaxis=axis("steps ahead"), yaxis=axis(target))
    caption = (
        f"{fmt.sentence(window['name'])} of {content['samples']:,} windows by its error: mean absolute error "
        f"{fmt.number(window['error'])}"
        + (f" over {content['targets']} targets; {target} is drawn." if content["targets"] > 1 else ".")
    )
    alt = f"Line chart of {target}: what came before, the truth and the forecast. {caption}"
    return Figure(f"window-{place}", window["name"], caption, alt, as_json(traces, layout), 300)


def _numbers(content: Row) -> list[Figure]:
    truth, said = content["truth"], content["said"]
    low, high = min([*truth, *said]), max([*truth, *said])
    traces: list[Row] = [
        {"type": "scatter", "mode": "lines", "x": [low, high], "y": [low, high], "name": "truth",
         "line": {"color": "--faint", "width": 1.4, "dash": "dash"}, "hoverinfo": "skip"},
        {"type": "scatter", "mode": "markers", "x": truth, "y": said, "name": "answers",
         "marker": {"color": "--c1", "size": 6, "opacity": 0.6}, "hovertemplate": "%{x:.4g}: %{y:.4g}<extra></extra>"},
    ]  # fmt: skip
    layout = layout_of(360, xaxis=axis("truth"), yaxis=axis("answer"))
    caption = f"Answers of {plain(content['target'])} against the truth; on the dashes they are right."
    alt = f"Scatter of {len(truth)} answers against the truth, from {fmt.number(low)} to {fmt.number(high)}."
    return [Figure("numbers", "answers", caption, alt, as_json(traces, layout), 360)]


DRAWN: dict[str, Callable[[Row], list[Figure]]] = {
    "classes": _classes, "tags": _tags, "forecasts": _forecasts, "numbers": _numbers, "next_step": next_step.figures_of,
}  # fmt: skip


def tables_of(content: Row) -> list[Table]:
    if content.get("kind") == "next_step":
        return next_step.tables_of(content)
    return [table for table in (covered(content), worst(content)) if table]


def worst(content: Row) -> Table | None:
    """Samples that the model was surest to be wrong about."""
    rows = content.get("worst") or []
    if not rows:
        return None
    told: list[list[Any]] = [
        [Cell(f"{row['sample']}", row["sample"], "ids"), Cell(str(row["truth"])), Cell(str(row["answer"]))]
        for row in rows
    ]
    chances = aligned((row["chance"] for row in rows), lambda value: f"{value:.3f}")
    texts = [Cell(row["text"], None, "reason") if "text" in row else Cell(f"{row['length']:,}", row["length"], "number")
             for row in rows]  # fmt: skip
    columns = [
        Column("sample", title="its place in the part"), Column("truth"), Column("answer"),
        Column("chance given to the truth", True),
        Column("text" if "text" in rows[0] else "steps", "text" not in rows[0]),
    ]  # fmt: skip
    body = [[*row, chance, text] for row, chance, text in zip(told, chances, texts, strict=True)]
    return Table("Worst examples: wrong, and least chance for the truth", columns, body)


def covered(content: Row) -> Table | None:
    """How many of the values the intervals of a forecast hold."""
    rows = content.get("inside") or []
    if not rows:
        return None
    body = [
        [Cell(f"{100 * row['level']:.0f} %"), Cell(f"{100 * row['share']:.1f} %", row["share"], "number")]
        for row in rows
    ]
    return Table("Intervals", [Column("interval"), Column("truth inside", True)], body)
