"""Comparison: the values of each categorical hyperparameter, and the expected best value by training time."""

from __future__ import annotations

from lstm_lab.records.examples import AnyExamples
from lstm_lab.report import fmt
from lstm_lab.report.parts.content import Subsection
from lstm_lab.report.parts.expected_best import expected_best
from lstm_lab.report.parts.experiments import differing_settings
from lstm_lab.report.parts.paired import significance, value_table, win_counts
from lstm_lab.report.records.experiments import ComparisonGroup
from lstm_lab.report.records.hyperparameters import categorical
from lstm_lab.report.sections.base import ReportSection, Subsections
from lstm_lab.sweeps.store.record import SweepRecord


class Comparison(ReportSection):
    """Of a sweep, its categorical hyperparameters; of experiments, what they differ in."""

    title, order = "Comparison", 20

    def of_sweep(self, sweep: SweepRecord, examples: AnyExamples | None) -> Subsections:
        names = fmt.short_names(sweep.space)
        budget = expected_best(sweep)
        return [
            *(
                Subsection(
                    fmt.capitalized(names[key]), (), [value_table(sweep, key, values, names[key])],
                    [win_counts(sweep, key, values), *significance(sweep, key, values)],
                )
                for key, values in categorical(sweep).items()
            ),
            Subsection("Equal training time", figures=[budget] if budget else []),
        ]  # fmt: skip

    def of_comparison(self, groups: list[ComparisonGroup]) -> Subsections:
        tables = [(group.data if len(groups) > 1 else "", differing_settings(group)) for group in groups]
        return [Subsection(title, tables=[table] if table else []) for title, table in tables]
