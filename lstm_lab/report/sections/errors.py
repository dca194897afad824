"""Errors: where a model is wrong on the validation split, as `lstm-lab explain` measured it."""

from __future__ import annotations

from lstm_lab.records.examples import AnyExamples
from lstm_lab.records.explanation import read_explanation
from lstm_lab.records.run_record import RunRecord
from lstm_lab.report.parts.content import Subsection
from lstm_lab.report.parts.errors import calibration_note, slices_table, suspects_table, worst_groups
from lstm_lab.report.sections.base import ReportSection, Subsections
from lstm_lab.sweeps.store.record import SweepRecord


class ErrorsSection(ReportSection):
    """Groups with a larger loss, calibration, and doubtful labels; left out until `lstm-lab explain` was run."""

    title, order = "Errors", 62

    def of_run(self, run: RunRecord, examples: AnyExamples | None) -> Subsections:
        explanation = read_explanation(run.path)
        if explanation is None or explanation.errors is None or not run.best:
            return []
        if explanation.epoch != run.best["epoch"]:
            return []
        found = explanation.errors
        groups, suspects, calibration = slices_table(found), suspects_table(found), calibration_note(found)
        told = (
            "By the model's probabilities on the validation split, whose labels it was not trained on: at least as "
            "sure of another class as of the samples labelled so (confident learning)."
        )
        return [
            Subsection("Where the loss is larger", [worst_groups(found)], [groups] if groups else []),
            Subsection("Calibration", items=[("Temperature scaling", calibration)] if calibration else []),
            Subsection("Doubtful labels", [told], [suspects] if suspects else []),
        ]

    def of_sweep(self, sweep: SweepRecord, examples: AnyExamples | None) -> Subsections:
        best = sweep.winner.record if sweep.winner else None
        return self.of_run(best, examples) if best else []
