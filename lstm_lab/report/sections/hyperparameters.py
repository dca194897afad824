"""Hyperparameters: their importance, and the monitored metric over their values."""

from __future__ import annotations

from lstm_lab.records.examples import AnyExamples
from lstm_lab.report import fmt
from lstm_lab.report.parts.content import Subsection
from lstm_lab.report.parts.importance import MIN_TRIALS, importance, importance_by_value
from lstm_lab.report.parts.importance_view import (
    importance_by_value_table,
    importance_figure,
    importance_table,
    importance_text,
)
from lstm_lab.report.parts.parallel_coordinates import parallel_coordinates
from lstm_lab.report.parts.slices import interaction, slice_plots
from lstm_lab.report.records.hyperparameters import varying
from lstm_lab.report.sections.base import ReportSection, Subsections
from lstm_lab.sweeps.store.record import SweepRecord

POPULATION = (
    "In population-based training a trial is shown at the hyperparameters it started with, and with the best value of "
    "its whole record, which up to its last exploit is that of its source. The changes are listed under Training "
    "curves, Population."
)


class Hyperparameters(ReportSection):
    """Importance, slices, the interaction of the two most important ones, and parallel coordinates."""

    title, order = "Hyperparameters", 40
    wandb_panels = ("parallel_coordinates", "parameter_importance")

    def of_sweep(self, sweep: SweepRecord, examples: AnyExamples | None) -> Subsections:
        found = importance(sweep)
        by_value = importance_by_value(sweep) if found else None
        has_interaction = found is not None and found.trials >= MIN_TRIALS
        order = [*found.shares, *found.left_out] if found else varying(sweep)
        pair, parallel = interaction(sweep, order) if has_interaction else None, parallel_coordinates(sweep)
        notes = [POPULATION] if any(trial.lineage for trial in sweep.trials) else []
        grid = fmt.short_names(sweep.space)[by_value[0]] if by_value else ""
        return [
            Subsection(
                "Importance", [importance_text(found)] if found else (), [importance_table(found)] if found else [],
                figures=[importance_figure(found, sweep.metric)] if found else [],
            ),
            Subsection(f"Importance for each {grid}", (), [importance_by_value_table(*by_value)] if by_value else []),
            Subsection("Metric by hyperparameter", notes, figures=slice_plots(sweep, order)),
            Subsection("Interaction", (), figures=[pair] if pair else []),
            Subsection("Parallel coordinates", (), figures=[parallel] if parallel else []),
        ]  # fmt: skip
