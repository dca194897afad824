"""Test results: what the record of the last test evaluation has beside the scores. A page evaluates nothing itself."""

from __future__ import annotations

from lstm_lab.records.examples import AnyExamples, LabelScores
from lstm_lab.records.files import Row
from lstm_lab.records.run_record import RunRecord, Select, finite
from lstm_lab.report import fmt
from lstm_lab.report.parts.classification import confusion_matrix, per_class
from lstm_lab.report.parts.content import Subsection
from lstm_lab.report.parts.forecasts import error_by_step
from lstm_lab.report.parts.multi_label import per_label
from lstm_lab.report.sections.base import ReportSection, Subsections
from lstm_lab.sweeps.store.record import SweepRecord


class TestResults(ReportSection):
    """Confusion matrix and scores by class, or the error by step ahead, on the test split."""

    title, order = "Test results", 70

    def of_run(self, run: RunRecord, examples: AnyExamples | None) -> Subsections:
        return [evaluation_subsection(row, run.select) for row in run.test_results[-1:]]

    def of_sweep(self, sweep: SweepRecord, examples: AnyExamples | None) -> Subsections:
        if sweep.winner is None or sweep.winner.record is None:
            return []
        trial = f" of trial {sweep.winner.id}"
        record = sweep.winner.record
        return [evaluation_subsection(row, record.select, trial) for row in record.test_results[-1:]]


def evaluation_subsection(evaluation: Row, select: Select, trial: str = "") -> Subsection:
    """The record of a test evaluation.

    Args:
        select: which epoch of the run counts.
        trial: that was evaluated, as " of trial t0000"; empty for a run of its own.
    """
    text = (
        f"Test evaluation{trial} of {fmt.timestamp(evaluation.get('at'))}, with the weights of the {select} epoch "
        f"({evaluation.get('epoch', fmt.MISSING)}), as recorded."
    )
    confusion = evaluation.get("confusion")
    errors = [row["mae"] if finite(row.get("mae")) else None for row in evaluation.get("steps") or []]
    figures = (
        confusion_matrix([str(name) for name in confusion["classes"]], confusion["counts"], "test")
        if confusion else None,
        error_by_step(errors, " on the test split", "error-by-step-test"),
    )  # fmt: skip
    tables = [per_class(confusion["classes"], confusion["counts"], "test")] if confusion else []
    labels = [LabelScores.model_validate(row) for row in evaluation.get("labels") or []]
    tables += [per_label(labels, "test")] if labels else []
    return Subsection("", [text], tables, figures=[figure for figure in figures if figure])
