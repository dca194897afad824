"""Tables of several labels for each sample."""

from __future__ import annotations

from collections.abc import Sequence

from lstm_lab.records.examples import LabelExamples, LabelScores
from lstm_lab.report import fmt
from lstm_lab.report.parts.tables import Cell, Column, Table, aligned, number_cell, percentages


def per_label(labels: Sequence[LabelScores], split: str) -> Table:
    """Number of samples, precision, recall and F1 of each label, and its scores without a threshold.

    Args:
        split: that was predicted: validation or test.
    """
    return Table.of_columns(
        f"Labels of the {split} split",
        [
            Column("label"), Column("n", True, "samples that have it"),
            Column("precision", True, "share of the samples given this label that have it"),
            Column("recall", True, "share of the samples with this label that were given it"),
            Column("F1", True, "harmonic mean of precision and recall"),
            Column("average precision", True, "area below precision over recall; chance is the share of n"),
            Column("AUROC", True, "chance that a sample with this label has a higher probability than one without"),
        ],
        [
            [Cell(row.name, row.name) for row in labels],
            [number_cell(row.n) for row in labels],
            percentages(row.correct / row.predicted if row.predicted else None for row in labels),
            percentages(row.correct / row.n if row.n else None for row in labels),
            aligned((2 * row.correct / (row.n + row.predicted) if row.n else None for row in labels), _score),
            aligned((row.average_precision for row in labels), _score),
            aligned((row.auroc for row in labels), _score),
        ],
        sortable=True, id=f"labels-{split}",
    )  # fmt: skip


def worst_labelled(examples: LabelExamples) -> Table | None:
    """Samples with a wrong set of labels and the largest loss."""
    rows = examples.worst
    if not rows:
        return None
    has_text = rows[0].text is not None
    return Table.of_columns(
        "Samples with wrong labels and the largest loss",
        [
            Column("sample", title="index in the split"), Column("target"), Column("prediction"),
            Column("loss", True, "binary cross-entropy, the mean over labels"),
            Column("text" if has_text else "steps", not has_text),
        ],
        [
            [Cell(str(row.sample), row.sample, "ids") for row in rows],
            [Cell(", ".join(row.target) or fmt.MISSING) for row in rows],
            [Cell(", ".join(row.prediction) or fmt.MISSING) for row in rows],
            aligned((row.loss for row in rows), _score),
            [Cell(row.text or "", None, "wide") for row in rows] if has_text else
            [number_cell(row.length) for row in rows],
        ],
    )  # fmt: skip


def _score(value: float | None) -> str:
    return fmt.MISSING if value is None else f"{value:.3f}"
