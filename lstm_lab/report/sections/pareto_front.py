"""Pareto front: the configurations of a sweep with several objectives that no other one dominates."""

from __future__ import annotations

from lstm_lab.records.examples import AnyExamples
from lstm_lab.report import fmt
from lstm_lab.report.parts.content import Subsection
from lstm_lab.report.parts.pareto import compromise, pareto_figures, pareto_front, pareto_table
from lstm_lab.report.sections.base import ReportSection, Subsections
from lstm_lab.sweeps.store.record import SweepRecord

FRONT = (
    "A configuration is on the Pareto front where no other one is at least as good in every objective and better in "
    "one. Values are means over {noun}s."
)


class ParetoFront(ReportSection):
    """What there is to choose from where objectives conflict."""

    title, order = "Pareto front", 9

    def of_sweep(self, sweep: SweepRecord, examples: AnyExamples | None) -> Subsections:
        criteria = sweep.criteria
        if not criteria.objectives or not pareto_front(sweep):
            return []
        chosen = f"best.yaml has {compromise(sweep)}."
        remarks = [
            f"{fmt.capitalized(fmt.metric(name))} was measured on this machine, beside the other trials of the sweep: "
            "another run of the same file has other values, and so perhaps another front."
            for name in criteria.not_reproducible
        ]
        text = [FRONT.format(noun=sweep.repeat_noun), chosen]
        return [Subsection("", text, [pareto_table(sweep)], remarks, pareto_figures(sweep))]
