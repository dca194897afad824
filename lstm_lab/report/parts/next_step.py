"""Figures and tables of models of the next step: loss by position and by token, excerpts, continuations.

Losses of tokens are given in bits, those of frames in nats, as in the literature.
"""

from __future__ import annotations

import math

from lstm_lab.records.examples import (
    FrameExamples,
    FrameExcerpt,
    LossShare,
    NextStepExamples,
    TokenExamples,
    TokenExcerpt,
)
from lstm_lab.records.files import Row
from lstm_lab.report import fmt
from lstm_lab.report.parts.figures import Figure, axis, base_layout, plain_text, to_json
from lstm_lab.report.parts.tables import Cell, Column, Table, aligned, percentages

VISIBLE = str.maketrans({" ": "␣", "Ġ": "␣", "\n": "↵", "Ċ": "↵"})
PLAIN_SPACES = str.maketrans({"Ġ": " ", "Ċ": " "})
MAX_CHANNEL_LABELS = 9
LN2 = math.log(2)
MAX_EXPONENT = 709.0
"""Of e, beyond which it is no float."""


def visible(token: str) -> str:
    """A token whose white space can be seen."""
    return plain_text(token.translate(VISIBLE))


def perplexity(nll: float) -> float:
    """e to the mean loss in nats."""
    return math.exp(nll) if nll < MAX_EXPONENT else math.inf


def token_summary(examples: TokenExamples) -> str:
    """Mean loss and perplexity as a sentence."""
    unit = "character" if examples.characters else "token"
    return (
        f"Mean loss: {fmt.number(examples.nll / LN2)} bits per {unit} over {examples.num_steps:,} {unit}s, a "
        f"perplexity of {fmt.number(perplexity(examples.nll))}."
    )


def frame_summary(examples: FrameExamples) -> str:
    """Mean loss as a sentence."""
    return f"Mean loss: {fmt.number(examples.nll)} nats per step over {examples.num_steps:,} steps."


def token_figures(examples: TokenExamples) -> list[Figure]:
    """Excerpts, and the loss by position."""
    excerpts = [_token_excerpt(examples, excerpt, number) for number, excerpt in enumerate(examples.excerpts)]
    return [*excerpts, *_loss_by_position(examples, "bits", LN2)]


def frame_figures(examples: FrameExamples) -> list[Figure]:
    """Excerpts, and the loss by position."""
    excerpts = [_piano_roll(excerpt, number) for number, excerpt in enumerate(examples.excerpts)]
    return [*excerpts, *_loss_by_position(examples, "nats", 1.0)]


def _loss_by_position(examples: NextStepExamples, unit: str, nats_per_unit: float) -> list[Figure]:
    losses = enumerate(examples.loss_by_position, 1)
    known = [(position, nats / nats_per_unit) for position, nats in losses if nats is not None]
    if len(known) < 3:
        return []
    (first, first_loss), (last, last_loss) = known[0], known[-1]
    trace = {
        "type": "scatter", "mode": "lines", "x": [position for position, _ in known], "y": [loss for _, loss in known],
        "line": {"color": "--c1", "width": 2.4}, "hovertemplate": "step %{x}: %{y:.4g}<extra></extra>",
    }  # fmt: skip
    layout = base_layout(
        300, xaxis=axis("step in the sequence"), yaxis=axis(f"{unit} per step", rangemode="tozero"), showlegend=False
    )
    caption = (
        f"Loss by position in the sequence, mean over sequences: {fmt.number(first_loss)} {unit} at step {first}, "
        f"{fmt.number(last_loss)} at step {last}."
    )
    alt = f"Line chart of the loss over {len(known)} steps. {caption}"
    return [Figure("loss-by-position", "loss by position", caption, alt, to_json([trace], layout), 300)]


def _heading(excerpt: TokenExcerpt | FrameExcerpt, shown: int, nats_per_unit: float, unit: str) -> str:
    more = f", the first {shown} of its {excerpt.length:,} steps" if excerpt.length > shown else ""
    mean = fmt.number(excerpt.nll / nats_per_unit)
    return f"{fmt.capitalized(excerpt.name)} sequence by mean loss{more}: {mean} {unit} per step."


def _token_excerpt(examples: TokenExamples, excerpt: TokenExcerpt, number: int) -> Figure:
    """One bar per token for its loss; below it the token, and the most probable one where tokens are characters."""
    bits = [None if nats is None else nats / LN2 for nats in excerpt.nats]
    tokens, predictions = ([visible(token) for token in row] for row in (excerpt.tokens, excerpt.predictions))
    labels = tokens
    if examples.characters:
        below = [prediction if loss is not None else "" for prediction, loss in zip(predictions, bits, strict=True)]
        labels = [f"{token}<br>{prediction}" for token, prediction in zip(tokens, below, strict=True)]
    trace = {
        "type": "bar", "x": list(range(len(bits))), "y": bits, "marker": {"color": "--c1"},
        "customdata": [list(pair) for pair in zip(tokens, predictions, strict=True)],
        "hovertemplate": "%{customdata[0]}: %{y:.3g} bits; most probable: %{customdata[1]}<extra></extra>",
    }  # fmt: skip
    font = {"family": "ui-monospace, DejaVu Sans Mono, monospace", "size": 11, "color": "--text"}
    layout = base_layout(
        260, showlegend=False, bargap=0.25, yaxis=axis("bits", rangemode="tozero"),
        xaxis=axis("", tickvals=list(range(len(bits))), ticktext=labels, ticks="", showgrid=False, tickfont=font,
                   tickangle=0 if examples.characters else -90, range=[-0.6, len(bits) - 0.4]),
    )  # fmt: skip
    caption = _heading(excerpt, len(bits), LN2, "bits") + (
        " Bars: loss of each character; below it, the most probable one." if examples.characters
        else " Bars: loss of each token."
    )  # fmt: skip
    known = [(value, token) for value, token in zip(bits, tokens, strict=True) if value is not None]
    largest, token = max(known, default=(0.0, ""))
    alt = f"Bar chart of the loss of {len(known)} tokens, the largest {largest:.1f} bits at {token}. {caption}"
    width = 0 if examples.characters else 15 * len(bits) + 80
    return Figure(f"excerpt-{number}", f"{excerpt.name} sequence", caption, alt, to_json([trace], layout), 260, width)


def _piano_roll(excerpt: FrameExcerpt, number: int) -> Figure:
    """Probability of each channel as colour, active channels as circles, and the loss of each step below."""
    names, probabilities = [plain_text(name) for name in excerpt.channels], excerpt.probabilities
    steps = list(range(1, len(probabilities) + 1))
    labelled = list(range(0, len(names), math.ceil(len(names) / MAX_CHANNEL_LABELS)))
    traces: list[Row] = [
        {"type": "heatmap", "x": steps, "y": list(range(len(names))),
         "z": [list(row) for row in zip(*probabilities, strict=True)],
         "zmin": 0, "zmax": 1, "showscale": False, "colorscale": [[0, "--background"], [1, "--c1"]],
         "customdata": [[name] * len(steps) for name in names],
         "hovertemplate": "step %{x}, %{customdata}: probability %{z:.0%}<extra></extra>"},
        {"type": "scatter", "mode": "markers", "x": [step + 1 for step, _ in excerpt.active],
         "y": [channel for _, channel in excerpt.active], "name": "active", "hoverinfo": "skip",
         "marker": {"symbol": "circle-open", "size": 6, "color": "--text", "line": {"width": 1.2, "color": "--text"}}},
        {"type": "bar", "x": steps, "y": excerpt.nats, "yaxis": "y2", "marker": {"color": "--c2"},
         "showlegend": False, "hovertemplate": "step %{x}: %{y:.3g} nats<extra></extra>"},
    ]  # fmt: skip
    layout = base_layout(
        430, bargap=0.25, showlegend=False,
        xaxis=axis("step", range=[0.4, len(steps) + 0.6], showgrid=False, anchor="y2"),
        yaxis=axis("", domain=[0.3, 1], tickvals=labelled, ticktext=[names[channel] for channel in labelled],
                   showgrid=False, range=[-0.7, len(names) - 0.3]),
        yaxis2=axis("nats", domain=[0, 0.22], rangemode="tozero", nticks=4),
    )  # fmt: skip
    caption = _heading(excerpt, len(steps), 1.0, "nats") + (
        " Colour: predicted probability that the channel is active; circles: active channels; bars: loss of each step."
    )
    alt = (
        f"Piano roll of {len(names)} channels over {len(steps)} steps with {len(excerpt.active)} active entries, and "
        f"bars of the loss. {caption}"
    )
    return Figure(f"excerpt-{number}", f"{excerpt.name} sequence", caption, alt, to_json(traces, layout), 430)


def token_tables(examples: TokenExamples) -> list[Table]:
    """Largest shares of the loss, and continuations."""
    tokens = [visible(row.name) for row in examples.largest_losses]
    bits = aligned((row.nats / LN2 for row in examples.largest_losses), "{:.2f}".format)
    column = Column("bits per occurrence", True, "mean loss where it is the target")
    tables = (_largest_losses("token", tokens, examples.largest_losses, [(column, bits)]), _continuations(examples))
    return [table for table in tables if table]


def frame_tables(examples: FrameExamples) -> list[Table]:
    """Largest shares of the loss."""
    table = _largest_losses("channel", [row.name for row in examples.largest_losses], examples.largest_losses, [])
    return [table] if table else []


def _largest_losses(
    noun: str, names: list[str], rows: list[LossShare], more: list[tuple[Column, list[Cell]]]
) -> Table | None:
    if not rows:
        return None
    target = "it is the target" if noun == "token" else "it is active"
    return Table.of_columns(
        f"Largest shares of the loss by {noun}",
        [
            Column(noun), Column("share of the steps", True, f"at which {target}"), Column("share of the loss", True),
            *(column for column, _ in more),
            Column("recall", True, f"share of the steps at which {target} where it is predicted"),
            Column("precision", True, f"share of the steps at which it is predicted where {target}"),
        ],
        [
            [Cell(name) for name in names],
            percentages(row.n / row.steps for row in rows),
            percentages(row.share for row in rows),
            *(cells for _, cells in more),
            percentages(row.correct / row.n for row in rows),
            percentages(row.correct / row.predicted if row.predicted else None for row in rows),
        ],
    )  # fmt: skip


def _continuations(examples: TokenExamples) -> Table | None:
    """Tokens from the median loss to the largest: context, target and most probable tokens."""
    rows = examples.continuations
    if not rows:
        return None
    return Table.of_columns(
        "Continuations, by increasing loss",
        [
            Column("context"), Column("target"), Column("bits", True, "loss of the target"),
            Column("most probable"), Column("quantile", True, "of the loss among all steps"),
        ],
        [
            [Cell(("…" if r.truncated else "") + r.context.translate(PLAIN_SPACES), None, "context") for r in rows],
            [Cell(visible(row.target)) for row in rows],
            aligned((-math.log2(max(row.probability, 1e-30)) for row in rows), lambda value: f"{value:.2f}"),
            [Cell(" · ".join(f"{visible(name)} {100 * p:.0f} %" for name, p in row.predictions)) for row in rows],
            [Cell("maximum" if r.quantile == 1 else f"{100 * r.quantile:.4g} %", r.quantile, "number") for r in rows],
        ],
    )  # fmt: skip
