"""Figures and tables of classifications: confusion matrix, calibration, label sequences, worst samples, classes."""

from __future__ import annotations

from collections.abc import Sequence

from lstm_lab.records.examples import ClassExamples, Classification, LabelledSequence
from lstm_lab.records.files import Row
from lstm_lab.report import fmt
from lstm_lab.report.parts.figures import COLORS, Figure, axis, base_layout, plain_text, to_json
from lstm_lab.report.parts.tables import Cell, Column, Table, aligned, number_cell, percentages

MAX_COUNTED = 6
"""Classes up to which counts of four digits and more fit into the cells of a confusion matrix."""
MAX_CLASSES = 25
"""Classes up to which a confusion matrix is readable."""


def classification_figures(examples: Classification) -> list[Figure]:
    """Confusion matrix and reliability diagram."""
    figures = (confusion_matrix(examples.classes, examples.confusion, "validation"), calibration(examples))
    return [figure for figure in figures if figure]


def confusion_matrix(classes: Sequence[str], counts: list[list[int]], split: str) -> Figure | None:
    """Targets down, predictions across; shares of each target class as colour, counts in the cells.

    Args:
        split: that was predicted: validation or test.

    Returns:
        None for too many classes to read.
    """
    names = [plain_text(name) for name in classes]
    C = len(names)
    if not 1 < C <= MAX_CLASSES:
        return None
    shares = [[count / sum(row) if sum(row) else 0.0 for count in row] for row in counts]
    as_shares = C > MAX_COUNTED and max(map(max, counts)) > 999  # Wider than a cell.
    # A category axis, or classes called 1, 2, 3 would become an axis of numbers.
    trace = {
        "type": "heatmap", "x": names, "y": names, "z": shares, "zmin": 0, "zmax": 1, "showscale": False,
        "colorscale": [[0, "--background"], [1, "--heat"]], "xgap": 1, "ygap": 1,
        "customdata": counts, "hovertemplate": "target %{y}, prediction %{x}: %{customdata}<extra></extra>",
    }  # fmt: skip
    annotations = [
        {"x": j, "y": i, "text": f"{100 * shares[i][j]:.0f}" if as_shares else f"{counts[i][j]:,}", "showarrow": False,
         "font": {"size": 12 if C < 10 else 9, "color": "--text"}}
        for i in range(C) for j in range(C) if counts[i][j]
    ]  # fmt: skip
    height = max(300, min(620, 110 + 30 * C))
    style = {"tickfont": {"color": "--text"}, "type": "category", "showgrid": False, "ticks": ""}
    layout = base_layout(
        height, annotations=annotations, xaxis=axis("prediction", **style),
        yaxis=axis("target", autorange="reversed", **style),
    )  # fmt: skip
    share = "share of the target class"
    kind = f"each prediction's {share} in percent" if as_shares else f"counts, coloured by their {share}"
    correct, total = sum(counts[i][i] for i in range(C)), sum(map(sum, counts))
    caption = f"Confusion matrix of the {split} split: {kind}; {correct:,} of {total:,} predictions are correct."
    errors = [(counts[i][j], names[i], names[j]) for i in range(C) for j in range(C) if i != j and counts[i][j]]
    if errors:
        count, target, prediction = max(errors)
        caption += f" Most frequent error: {target} predicted as {prediction}, {fmt.times(count)}."
    test = split == "test"
    return Figure(
        "confusion-test" if test else "confusion", "confusion matrix, test split" if test else "confusion matrix",
        caption, f"{caption} {C} classes.", to_json([trace], layout), height,
    )  # fmt: skip


def calibration(examples: Classification) -> Figure | None:
    """Reliability diagram: accuracy over confidence, one point per bin."""
    bins = examples.calibration
    total = sum(b.n for b in bins)
    if not total:
        return None
    error = sum(b.n * abs(b.confidence - b.accuracy) for b in bins) / total
    traces: list[Row] = [
        {"type": "scatter", "mode": "lines", "x": [0, 1], "y": [0, 1], "name": "perfect calibration",
         "line": {"color": "--faint", "width": 1.4, "dash": "dash"}, "hoverinfo": "skip"},
        {"type": "scatter", "mode": "lines+markers", "x": [b.confidence for b in bins],
         "y": [b.accuracy for b in bins], "name": "model", "line": {"color": "--c1", "width": 2},
         "marker": {"color": "--c1", "size": [6 + 16 * (b.n / total) ** 0.5 for b in bins]},
         "text": [f"{b.n:,}" for b in bins],
         "hovertemplate": "confidence %{x:.0%}, accuracy %{y:.0%}, %{text} predictions<extra></extra>"},
    ]  # fmt: skip
    share = {"tickformat": ".0%", "range": [-0.04, 1.06]}
    layout = base_layout(340, xaxis=axis("confidence", **share), yaxis=axis("accuracy", **share))
    caption = (
        "Reliability diagram. Below the dashed line the model is overconfident. The size of a marker grows with the "
        f"number of predictions. Expected calibration error: {100 * error:.1f} percentage points."
    )
    alt = f"Reliability diagram of {total:,} predictions in {len(bins)} bins; expected calibration error {error:.3f}."
    return Figure("calibration", "calibration", caption, alt, to_json(traces, layout), 340)


def label_sequence(classes: Sequence[str], sequence: LabelledSequence, number: int) -> Figure | None:
    """Targets above, predictions below, one colour per class; of more classes than colours, a row for each class."""
    if len(classes) > len(COLORS):
        return _label_lines(classes, sequence, number)
    steps = range(len(sequence.target))
    rows = {"prediction": sequence.prediction, "target": sequence.target}
    traces = []
    for index, (name, color) in enumerate(zip(map(plain_text, classes), COLORS, strict=False)):
        x = [step for row in rows.values() for step in steps if row[step] == index]
        y = [label for label, row in rows.items() for step in steps if row[step] == index]
        if x:
            traces.append({
                "type": "scatter", "mode": "markers", "x": x, "y": y, "name": name,
                "marker": {"symbol": "line-ns-open", "size": 26, "color": color,
                           "line": {"width": max(2.0, 560 / max(len(steps), 1) * 0.7), "color": color}},
                "hovertemplate": f"step %{{x}}, %{{y}}: {name}<extra></extra>",
            })  # fmt: skip
    layout = base_layout(
        190, xaxis=axis("step"), yaxis=axis("", type="category", categoryarray=["prediction", "target"],
                                            categoryorder="array", range=[-0.6, 1.6], ticks="", showgrid=False,
                                            tickfont={"color": "--text"}),
    )  # fmt: skip
    caption = _sequence_caption(sequence)
    caption += " Steps without a target are blank in the upper row." if min(sequence.target) < 0 else ""
    alt = f"Two rows of labels, target and prediction. {caption}"
    return Figure(f"labels-{number}", f"{sequence.name} sequence", caption, alt, to_json(traces, layout), 190)


def _sequence_caption(sequence: LabelledSequence) -> str:
    shown, whole = len(sequence.target), sequence.length
    more = f", the first {shown} of its {whole:,} steps" if whole > shown else ""
    of = "of all steps " if more else ""
    accuracy = f"{of}{100 * sequence.accuracy:.0f} % are correct"
    return f"Labels by step of the {sequence.name} sequence{more}: {accuracy}."


def _label_lines(classes: Sequence[str], sequence: LabelledSequence, number: int) -> Figure | None:
    """Targets and predictions over the steps, one row for each class that occurs; None for more than can be read."""
    found = sorted({label for label in (*sequence.target, *sequence.prediction) if label >= 0})
    if len(found) > MAX_CLASSES:
        return None
    names = {label: plain_text(classes[label]) for label in found}
    rows = {"target": (sequence.target, "--text", 8), "prediction": (sequence.prediction, "--c2", 3)}
    traces = [
        {"type": "scatter", "mode": "lines", "x": list(range(len(labels))),
         "y": [names.get(label) for label in labels], "name": name, "line": {"color": color, "width": width,
         "shape": "hvh"}, "opacity": 0.35 if name == "target" else 1, "hovertemplate": f"step %{{x}}, {name}: %{{y}}"
         "<extra></extra>"}
        for name, (labels, color, width) in rows.items()
    ]  # fmt: skip
    height = 110 + 24 * max(len(found), 3)
    order = {"categoryarray": [names[label] for label in reversed(found)], "categoryorder": "array"}
    layout = base_layout(height, xaxis=axis("step"), yaxis=axis("", type="category", **order,
                                                                tickfont={"color": "--text"}))  # fmt: skip
    caption = _sequence_caption(sequence)
    alt = f"Lines of target and prediction over the steps. {caption}"
    return Figure(f"labels-{number}", f"{sequence.name} sequence", caption, alt, to_json(traces, layout), height)


def worst_samples(examples: ClassExamples) -> Table | None:
    """Misclassified samples with the least probability of the target."""
    rows = examples.worst
    if not rows:
        return None
    has_text = rows[0].text is not None
    return Table.of_columns(
        "Misclassified samples with the lowest probability of the target",
        [
            Column("sample", title="index in the split"), Column("target"), Column("prediction"),
            Column("probability of the target", True), Column("text" if has_text else "steps", not has_text),
        ],
        [
            [Cell(str(row.sample), row.sample, "ids") for row in rows],
            [Cell(row.target) for row in rows],
            [Cell(row.prediction) for row in rows],
            aligned((row.probability for row in rows), lambda value: f"{value:.3f}"),
            [Cell(row.text or "", None, "wide") for row in rows] if has_text else
            [number_cell(row.length) for row in rows],
        ],
    )  # fmt: skip


def per_class(classes: Sequence[str], counts: list[list[int]], split: str) -> Table:
    """Number, recall, precision and F1 of each class, and the class it is most often predicted as instead.

    Args:
        split: that was predicted: validation or test.
    """
    predicted = [sum(column) for column in zip(*counts, strict=True)]
    confused = [
        max(((n, str(classes[j])) for j, n in enumerate(row) if j != i and n), default=None)
        for i, row in enumerate(counts)
    ]
    return Table.of_columns(
        f"Classes of the {split} split",
        [
            Column("class"), Column("n", True, "samples or steps with this target"),
            Column("recall", True, "share of this class that was predicted as such"),
            Column("precision", True, "share of the predictions of this class that are correct"),
            Column("F1", True, "harmonic mean of recall and precision"),
            Column("most frequent error", title="the class it was most often predicted as instead"),
        ],
        [
            [Cell(str(name), str(name)) for name in classes],
            [number_cell(sum(row)) for row in counts],
            percentages(row[i] / sum(row) if sum(row) else None for i, row in enumerate(counts)),
            percentages(row[i] / predicted[i] if predicted[i] else None for i, row in enumerate(counts)),
            aligned(
                2 * row[i] / (sum(row) + predicted[i]) if sum(row) + predicted[i] else None
                for i, row in enumerate(counts)
            ),
            [Cell(f"{error[1]}, {fmt.times(error[0])}" if error else fmt.MISSING) for error in confused],
        ],
        sortable=True, id=f"classes-{split}",
    )  # fmt: skip
