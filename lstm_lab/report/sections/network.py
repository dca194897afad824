"""Network: what `lstm-lab explain` found in the weights of a run's best epoch."""

from __future__ import annotations

from lstm_lab.records.examples import AnyExamples
from lstm_lab.records.explanation import Explanation, read_explanation
from lstm_lab.records.run_record import RunRecord
from lstm_lab.report.parts.content import Subsection
from lstm_lab.report.parts.network import (
    gates_table,
    gradient_figure,
    half_life_notes,
    inputs_table,
    lag_attribution,
    layers_table,
    look_back,
    marked_tokens,
    occlusion_figure,
    sequence_figures,
    tokens_table,
)
from lstm_lab.report.sections.base import ReportSection, Subsections
from lstm_lab.sweeps.store.record import SweepRecord

MARKED = (
    "The shown text: in blue what moves its prediction from that for an empty text, in orange what moves it back, the "
    "stronger the more."
)


class Network(ReportSection):
    """Memory, gates and inputs; left out of the page until `lstm-lab explain` was run."""

    title, order = "Network", 65

    def of_run(self, run: RunRecord, examples: AnyExamples | None) -> Subsections:
        found = read_explanation(run.path)
        # Of another epoch than the best one, it explains weights that the page does not describe.
        return network_subsections(found) if found and run.best and found.epoch == run.best["epoch"] else []

    def of_sweep(self, sweep: SweepRecord, examples: AnyExamples | None) -> Subsections:
        best = sweep.winner.record if sweep.winner else None
        return self.of_run(best, examples) if best else []


def network_subsections(found: Explanation) -> Subsections:
    """Everything that an explanation holds."""
    gates, inputs, tokens, lags = gates_table(found), inputs_table(found), tokens_table(found), lag_attribution(found)
    marked = marked_tokens(found)
    tables = [table for table in (inputs, tokens) if table]
    return [
        Subsection("Memory", look_back(found), [layers_table(found)], half_life_notes(found), [gradient_figure(found)]),
        Subsection("Gates", (), [gates] if gates else []),
        Subsection("Units", figures=sequence_figures(found)),
        Subsection(
            "Inputs",
            [MARKED] * bool(marked),
            tables,
            figures=[figure for figure in (lags, occlusion_figure(found)) if figure],
            marked=marked,
        ),
    ]
