"""Texts that a model wrote beside what they should be, and where its decoder looked."""

from __future__ import annotations

from lstm_lab.records.translation_examples import AttentionMap, TranslationExamples
from lstm_lab.report.parts.figures import Figure, axis, base_layout, plain_text, to_json
from lstm_lab.report.parts.tables import Cell, Column, Table, aligned


def translation_table(examples: TranslationExamples) -> Table:
    """Source, target and what was written, from the smallest loss to the largest."""
    rows = examples.translations
    return Table.of_columns(
        "Texts, by increasing loss",
        [
            Column("quantile", True, "of the mean loss among all samples"), Column("source"), Column("target"),
            Column("written", title="by beam search"), Column("nats", True, "mean loss of a token of the target"),
        ],
        [
            [Cell(f"{100 * row.quantile:.4g} %", row.quantile, "number") for row in rows],
            *([Cell(text, None, "wide") for text in texts] for texts in (
                [row.source for row in rows], [row.target for row in rows], [row.written for row in rows])),
            aligned((row.nll for row in rows), lambda value: f"{value:.2f}"),
        ],
    )  # fmt: skip


def attention_figures(examples: TranslationExamples) -> list[Figure]:
    """A map for each sample whose attention was kept."""
    return [_attention_map(each, number) for number, each in enumerate(examples.attention)]


def _attention_map(found: AttentionMap, number: int) -> Figure:
    """Rows: tokens written, from above; columns: tokens of the source; colour: weight."""
    source, written = ([plain_text(token) for token in tokens] for tokens in (found.source, found.written))
    trace = {
        "type": "heatmap", "z": found.weights, "zmin": 0, "zmax": 1, "showscale": False,
        "colorscale": [[0, "--background"], [1, "--c1"]],
        "customdata": [[[row, column] for column in source] for row in written],
        "hovertemplate": "%{customdata[0]} ← %{customdata[1]}: %{z:.0%}<extra></extra>",
    }  # fmt: skip
    ticks = {"ticks": "", "showgrid": False}
    height = 110 + 22 * len(written)
    layout = base_layout(
        height, margin={"l": 56, "r": 16, "t": 90, "b": 12},
        xaxis=axis("", side="top", tickvals=list(range(len(source))), ticktext=source, tickangle=-60, **ticks),
        yaxis=axis("", autorange="reversed", tickvals=list(range(len(written))), ticktext=written, **ticks),
    )  # fmt: skip
    caption = (
        f"Attention while the text at {100 * found.quantile:.0f} % of the losses was written: each row is a token that "
        "was written (∎ is the end), each column one of the source; the darker, the more weight."
    )
    largest = max(range(len(source)), key=lambda column: found.weights[0][column])
    alt = (
        f"Heat map of {len(written)} written tokens by {len(source)} tokens of the source; the first, {written[0]}, "
        f"has its largest weight, {found.weights[0][largest]:.0%}, on {source[largest]}."
    )
    width = 24 * len(source) + 160
    return Figure(f"attention-{number}", "attention", caption, alt, to_json([trace], layout), height, width)
