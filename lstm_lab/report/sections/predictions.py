"""Predictions: what the weights of the epoch that counts predict for samples of the validation split."""

from __future__ import annotations

from functools import singledispatch

from lstm_lab.records.example_shapes import Examples
from lstm_lab.records.examples import (
    AnyExamples,
    ClassExamples,
    ForecastExamples,
    FrameExamples,
    LabelExamples,
    TagExamples,
    TokenExamples,
    ValueExamples,
)
from lstm_lab.records.run_record import RunRecord, Select
from lstm_lab.records.translation_examples import TranslationExamples
from lstm_lab.report.parts.classification import classification_figures, label_sequence, per_class, worst_samples
from lstm_lab.report.parts.content import Subsection
from lstm_lab.report.parts.figures import Figure
from lstm_lab.report.parts.forecasts import forecast_figures, interval_coverage, value_figures
from lstm_lab.report.parts.multi_label import per_label, worst_labelled
from lstm_lab.report.parts.next_step import (
    frame_figures,
    frame_summary,
    frame_tables,
    token_figures,
    token_summary,
    token_tables,
)
from lstm_lab.report.parts.tables import Table
from lstm_lab.report.parts.translations import attention_figures, translation_table
from lstm_lab.report.sections.base import ReportSection, Subsections
from lstm_lab.sweeps.store.record import SweepRecord


class Predictions(ReportSection):
    """Figures and tables of the predictions, by the kind of task."""

    title, order = "Predictions", 60

    def of_run(self, run: RunRecord, examples: AnyExamples | None) -> Subsections:
        return [prediction_subsection(examples, run.select)] if examples else []

    def of_sweep(self, sweep: SweepRecord, examples: AnyExamples | None) -> Subsections:
        winner = sweep.winner
        if examples is None or winner is None or winner.record is None:
            return []
        return [prediction_subsection(examples, winner.record.select, f" of trial {winner.id}")]


def prediction_subsection(examples: AnyExamples, select: Select = "best", trial: str = "") -> Subsection:
    """Predictions of one run.

    Args:
        select: which of its epochs counts.
        trial: whose they are, as " of trial t0000"; empty for a run of its own.
    """
    summary, figures, tables = shown(examples)
    return Subsection("", [f"{source(examples, select, trial)} {summary}".strip()], tables, figures=figures)


def source(examples: Examples, select: Select, trial: str) -> str:
    """Where the predictions come from, as a sentence."""
    if examples.samples == examples.total:
        count = f"all {examples.total:,}"
    elif examples.first_samples:
        count = f"the first {examples.samples:,} of {examples.total:,}"
    else:
        count = f"{examples.samples:,} of {examples.total:,} evenly spread"
    return (
        f"Predictions{trial} with the weights of the {select} epoch ({examples.epoch}) for {count} samples of the "
        f"{examples.split} split{', by which that epoch was selected' if select == 'best' else ''}."
    )


Shown = tuple[str, list[Figure], list[Table]]
"""A sentence or none, figures and tables."""


@singledispatch
def shown(examples: Examples) -> Shown:
    """What is shown of examples, by their type."""
    return "", [], []


@shown.register
def _(examples: ClassExamples) -> Shown:
    worst = worst_samples(examples)
    classes = per_class(examples.classes, examples.confusion, examples.split)
    return "", classification_figures(examples), [classes, *([worst] if worst else [])]


@shown.register
def _(examples: LabelExamples) -> Shown:
    worst = worst_labelled(examples)
    return "", [], [per_label(examples.labels, examples.split), *([worst] if worst else [])]


@shown.register
def _(examples: TagExamples) -> Shown:
    labels = [label_sequence(examples.classes, sequence, n) for n, sequence in enumerate(examples.sequences)]
    figures = [*(figure for figure in labels if figure), *classification_figures(examples)]
    return "", figures, [per_class(examples.classes, examples.confusion, examples.split)]


@shown.register
def _(examples: ForecastExamples) -> Shown:
    coverage = interval_coverage(examples)
    return "", forecast_figures(examples), [coverage] if coverage else []


@shown.register
def _(examples: ValueExamples) -> Shown:
    return "", value_figures(examples), []


@shown.register
def _(examples: TokenExamples) -> Shown:
    return token_summary(examples), token_figures(examples), token_tables(examples)


@shown.register
def _(examples: FrameExamples) -> Shown:
    return frame_summary(examples), frame_figures(examples), frame_tables(examples)


@shown.register
def _(examples: TranslationExamples) -> Shown:
    return "", attention_figures(examples), [translation_table(examples)]
