"""Figures and tables of an explanation: gradients over the lag, gates, half-lives, one sequence, inputs."""

from __future__ import annotations

import math
from itertools import accumulate

from lstm_lab.records.explanation import Explanation, Layer
from lstm_lab.records.files import Row
from lstm_lab.report import fmt
from lstm_lab.report.parts.figures import COLORS, Figure, axis, base_layout, plain_text, to_json
from lstm_lab.report.parts.tables import Cell, Column, Table, aligned, number_cell, percentages

MAX_NAMED, MAX_ROWS, MAX_MARKED = 12, 20, 400
"""Units that are named, channels or tokens that are listed, and tokens of a text that are marked, at most."""


def gradient_figure(found: Explanation) -> Figure:
    """Gradient of the last output over the lag, one colour per layer: trained, its band, and before training."""
    traces = []
    for layer, color in zip(found.layers, COLORS * len(found.layers), strict=False):
        name, profile = plain_text(layer.name), layer.gradient
        shown = [n for n, value in enumerate(profile.low) if value > 0]
        x, low, high = ([values[n] for n in shown] for values in (profile.lags, profile.low, profile.high))
        traces += [
            {"type": "scatter", "mode": "lines", "x": x + x[::-1], "y": high + low[::-1], "fill": "toself",
             "fillcolor": color, "opacity": 0.14, "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False,
             "legendgroup": name},
            _line(profile.lags, profile.median, name, color, "solid", name),
        ]  # fmt: skip
        if layer.gradient_at_start is not None:
            start = layer.gradient_at_start
            traces.append(_line(start.lags, start.median, f"{name}, before training", color, "dot", name))
    caption = (
        "Norm of the gradient of the last output with respect to the hidden state so many steps earlier, relative to "
        f"the last step: median over {found.samples} sequences of the {found.split} split, with the band from the 10th "
        "to the 90th percentile. Dotted: the same with the weights before the first step of training."
    )
    layout = base_layout(
        360, xaxis=axis("steps back", rangemode="tozero"),
        yaxis=axis("relative gradient", type="log", exponentformat="power"),
    )  # fmt: skip
    return Figure(
        "gradient-lag", "gradient over the lag", caption, " ".join(look_back(found)), to_json(traces, layout), 360
    )


def _positive(values: list[float]) -> list[float | None]:
    """Values that a logarithmic axis can show."""
    return [value if value > 0 else None for value in values]


def _line(x: list[int], y: list[float], name: str, color: str, dash: str, group: str) -> dict[str, object]:
    return {"type": "scatter", "mode": "lines", "x": x, "y": _positive(y), "name": name, "legendgroup": group,
            "line": {"color": color, "width": 2.4 if dash == "solid" else 1.6, "dash": dash},
            "hovertemplate": f"{name}<br>%{{x}} steps back: %{{y:.2g}}<extra></extra>"}  # fmt: skip


def look_back(found: Explanation) -> list[str]:
    """How far each layer looks back, a sentence each."""
    sentences = []
    for layer in found.layers:
        back = layer.gradient.look_back
        far = "never, over all steps of the sequences" if back is None else f"{fmt.plural(back, 'step')} back"
        sentences.append(f"In {layer.name} ({layer.cell}) the gradient falls below 1 %: {far}.")
    return sentences


def gates_table(found: Explanation) -> Table | None:
    """Every gate of every layer: mean, saturation, and units that never move; None without gates."""
    pairs = [(layer, gate) for layer in found.layers for gate in layer.gates]
    if not pairs:
        return None
    gates = [gate for _, gate in pairs]
    return Table.of_columns(
        "Gates over all steps",
        [
            Column("layer"),
            Column("gate"),
            Column("mean", True),
            Column("below 0.1", True, "share of all values; there the gate hardly learns"),
            Column("above 0.9", True, "share of all values; there the gate hardly learns"),
            Column("units always closed", False, "below 0.1 in at least 95 % of steps"),
            Column("units always open", False, "above 0.9 in at least 95 % of steps"),
        ],
        [
            [Cell(f"{layer.name} ({layer.cell})") for layer, _ in pairs],
            [Cell(gate.symbol) for gate in gates],
            aligned([gate.mean for gate in gates]),
            percentages([gate.closed for gate in gates]),
            percentages([gate.open for gate in gates]),
            [Cell(units(gate.always_closed), len(gate.always_closed)) for gate in gates],
            [Cell(units(gate.always_open), len(gate.always_open)) for gate in gates],
        ],
    )


def units(numbers: list[int]) -> str:
    """Numbers of units, not too many."""
    if not numbers:
        return fmt.MISSING
    shown = ", ".join(map(str, numbers[:MAX_NAMED]))
    return f"{len(numbers)}: {shown}" + (", ..." if len(numbers) > MAX_NAMED else "")


def layers_table(found: Explanation) -> Table:
    """Every layer: units, dead ones, how far it looks back, half-lives."""
    layers = found.layers
    return Table.of_columns(
        "Layers",
        [
            Column("layer"),
            Column("units", True),
            Column("dead units", False, "the same output in every step of every sequence"),
            Column("looks back", True, "steps until the gradient is below 1 %"),
            Column("before training", True, "the same with the weights before the first step"),
            Column("median half-life", True, "steps, by the gates alone"),
        ],
        [
            [Cell(f"{layer.name} ({layer.cell})") for layer in layers],
            [number_cell(layer.units) for layer in layers],
            [Cell(units(layer.dead), len(layer.dead)) for layer in layers],
            [_steps(layer.gradient.look_back) for layer in layers],
            [_steps(layer.gradient_at_start.look_back if layer.gradient_at_start else None) for layer in layers],
            aligned([median_half_life(layer) for layer in layers]),
        ],
    )


def _steps(back: int | None) -> Cell:
    return Cell("all steps", math.inf, "number") if back is None else number_cell(back)


def median_half_life(layer: Layer) -> float | None:
    """Of the units that lose anything; None where there are none, or where half-lives may not be read."""
    if layer.half_lives is None or layer.half_lives.note is not None:
        return None
    steps = sorted(value for value in layer.half_lives.steps if value is not None)
    return steps[len(steps) // 2] if steps else None


def half_life_notes(found: Explanation) -> list[str]:
    """Where half-lives may not be read, a sentence each."""
    notes = [
        (layer.name, layer.half_lives.note) for layer in found.layers if layer.half_lives and layer.half_lives.note
    ]
    return [f"{fmt.capitalized(name)}: {note}." for name, note in notes]


def sequence_figures(found: Explanation) -> list[Figure]:
    """Outputs of each layer over one sequence, units by steps."""
    figures = []
    for number, layer in enumerate(found.layers):
        rows = layer.sequence
        if not rows or not rows[0]:
            continue
        scale = max(abs(value) for row in rows for value in row) or 1.0
        count = len(rows[0])
        step = max(found.steps - 1, 1) / max(count - 1, 1)
        trace = {
            "type": "heatmap", "z": rows, "x": [round(n * step) for n in range(count)], "zmin": -scale, "zmax": scale,
            "colorscale": [[0, "--c2"], [0.5, "--background"], [1, "--c1"]], "showscale": False,
            "hovertemplate": "step %{x}, row %{y}: %{z:.3f}<extra></extra>",
        }  # fmt: skip
        shown = f"{len(rows)} of its {layer.units} units" if len(rows) < layer.units else f"all {layer.units} units"
        caption = (
            f"Outputs of {layer.name} over sample {found.sample} of the {found.split} split, {shown} as rows, in the "
            f"order in which the layer reads its {fmt.plural(found.steps, 'step')}; colours from {-scale:.2g} to "
            f"{scale:.2g}."
        )
        height = min(120 + 5 * len(rows), 460)
        layout = base_layout(height, xaxis=axis("step", showgrid=False), yaxis=axis("unit", showgrid=False))
        figures.append(
            Figure(f"units-{number}", f"units of {layer.name}", caption, caption, to_json([trace], layout), height)
        )
    return figures


def inputs_table(found: Explanation) -> Table | None:
    """Channels by attribution, with what permuting them costs; None for tokens."""
    rows = found.channels[:MAX_ROWS]
    if not rows:
        return None
    more = f", the first {len(rows)} of {len(found.channels)}" if len(found.channels) > len(rows) else ""
    return Table.of_columns(
        f"Input channels by attribution{more}",
        [
            Column("channel"),
            Column("attribution", True, "share of the absolute integrated gradients"),
            Column("occlusion", True, "share of the change of the prediction when it is put to zero"),
            Column("loss when permuted", True, "increase, mean over repetitions"),
            Column("std", True),
        ],
        [
            [Cell(row.name) for row in rows],
            percentages([row.attribution for row in rows]),
            percentages([row.occluded for row in rows]),
            aligned([row.permuted for row in rows]),
            aligned([row.std for row in rows]),
        ],
        sortable=True,
    )


def tokens_table(found: Explanation) -> Table | None:
    """Tokens of the shown text that move the prediction most; None for numbers."""
    order = sorted(range(len(found.tokens)), key=lambda number: -abs(found.tokens[number].value))[:MAX_ROWS]
    if not order:
        return None
    chosen = [found.tokens[number] for number in order]
    return Table.of_columns(
        f"Tokens of sample {found.sample} that move its prediction most",
        [Column("token"), Column("position", True), Column("share", True, "of the absolute integrated gradients")],
        [
            [Cell(token.token) for token in chosen],
            [number_cell(number) for number in order],
            percentages([token.value for token in chosen]),
        ],
    )


def lag_attribution(found: Explanation) -> Figure | None:
    """Share of the attributions by lag; None for a single step."""
    if len(found.lags) < 2:
        return None
    shown = found.lags[:200]
    half = next((lag for lag, total in enumerate(accumulate(found.lags)) if total >= 0.5), len(found.lags) - 1)
    trace: Row = {"type": "bar", "x": list(range(len(shown))), "y": shown, "marker": {"color": "--c1"},
             "name": "integrated gradients", "hovertemplate": "%{x} steps back: %{y:.1%}<extra></extra>"}  # fmt: skip
    traces = [trace, *([_attention_trace(found.attention[: len(shown)])] if found.attention else [])]
    caption = (
        "Share of the absolute integrated gradients by distance from the last step: half of it lies in the last "
        f"{fmt.plural(half + 1, 'step')}."
        + (f" The first {len(shown)} of {len(found.lags)} are shown." if len(shown) < len(found.lags) else "")
    )
    caption += " The line is the mean attention weight." if found.attention else ""
    layout = base_layout(260, xaxis=axis("steps back"), yaxis=axis("share", tickformat=".0%"))
    return Figure("lag-attribution", "attribution over the lag", caption, caption, to_json(traces, layout), 260)


def _attention_trace(weights: list[float]) -> Row:
    return {"type": "scatter", "mode": "lines", "x": list(range(len(weights))), "y": weights, "name": "attention",
            "line": {"color": "--c2", "width": 2},
            "hovertemplate": "%{x} steps back: %{y:.1%}<extra>attention</extra>"}  # fmt: skip


def occlusion_figure(found: Explanation) -> Figure | None:
    """Occlusion of each tenth of the steps beside the attributions in it; None where it was not measured."""
    if not found.occlusion or len(found.lags) < len(found.occlusion):
        return None
    parts = len(found.occlusion)
    sums = [0.0] * parts
    for lag, share in enumerate(found.lags):
        sums[lag * parts // len(found.lags)] += share
    names = [f"{100 * n // parts} to {100 * (n + 1) // parts} %" for n in range(parts)]
    traces: list[Row] = [
        {"type": "bar", "x": names, "y": values, "name": name, "marker": {"color": color},
         "hovertemplate": f"%{{x}}: %{{y:.1%}}<extra>{name}</extra>"}
        for name, values, color in (("occlusion", found.occlusion, "--c1"), ("integrated gradients", sums, "--c2"))
    ]  # fmt: skip
    caption = (
        "Share of the change of the prediction when a tenth of the steps is put to zero, beside the share of the "
        "integrated gradients in it; the last steps are on the left. Where the two differ much, steps act together."
    )
    layout = base_layout(260, xaxis=axis("part of the sequence, from its end"), yaxis=axis("share", tickformat=".0%"),
                         barmode="group")  # fmt: skip
    return Figure("occlusion", "occlusion", caption, caption, to_json(traces, layout), 260)


def marked_tokens(found: Explanation) -> list[tuple[str, float]]:
    """The shown text, each token marked by its attribution relative to the largest one; empty for numbers."""
    largest = max((abs(token.value) for token in found.tokens), default=0.0)
    if largest <= 0:
        return []
    return [(token.token, round(token.value / largest, 3)) for token in found.tokens[:MAX_MARKED]]
