"""What to try next: what rules found in a run or a sweep, with what was measured and the command to continue with."""

from __future__ import annotations

import shlex
from pathlib import Path

from lstm_lab.records import files
from lstm_lab.records.diagnosis import Diagnosis, Finding, read_diagnosis
from lstm_lab.records.examples import AnyExamples
from lstm_lab.records.run_record import RunRecord
from lstm_lab.report import fmt
from lstm_lab.report.parts.content import Subsection
from lstm_lab.report.parts.evidence import evidence_figure
from lstm_lab.report.records.read import shown_path
from lstm_lab.report.sections.base import ReportSection, Subsections
from lstm_lab.sweeps.store.record import SweepRecord

SEVERITIES = {3: "It cannot be used as it is.", 2: "It loses much.", 1: "It could be better."}


class WhatToTryNext(ReportSection):
    """Findings of diagnosis.json; left out of the page where there are none."""

    title, order = "What to try next", 15

    def of_run(self, run: RunRecord, examples: AnyExamples | None) -> Subsections:
        found = read_diagnosis(run.path)
        if found is None or found.epoch != (run.best["epoch"] if run.best else None):
            return []  # Of other weights than the page describes.
        return findings(found, run.path, "train", files.EXPERIMENT)

    def of_sweep(self, sweep: SweepRecord, examples: AnyExamples | None) -> Subsections:
        found = read_diagnosis(sweep.path) if sweep.summary else None
        best = sweep.winner.record if sweep.winner else None
        of_best = self.of_run(best, None) if best else []
        return [*(findings(found, sweep.path, "sweep", files.SWEEP) if found else []), *of_best]


def findings(found: Diagnosis, folder: Path, verb: str, file: str) -> Subsections:
    """A subsection for each finding."""
    return [
        _finding(each, f"{shown_path(folder)}/{file}", verb, f"{folder.resolve().name}-{number}")
        for number, each in enumerate(found.findings)
    ]


def _finding(found: Finding, file: str, verb: str, id: str) -> Subsection:
    items = [("Measured", f"{fmt.capitalized(found.evidence)}.")]
    if found.action:
        items.append(("Try", shlex.join(["lstm-lab", verb, file, *found.action])))
    if found.advice:
        items.append(("Or" if found.action else "Do", f"{fmt.capitalized(found.advice)}."))
    if found.cost:
        items.append(("Cost", f"{fmt.capitalized(found.cost)}."))
    figures = [evidence_figure(found.chart, found.rule, f"evidence-{id}")] if found.chart else []
    return Subsection(fmt.capitalized(found.rule), [SEVERITIES[found.severity]], figures=figures, items=items)
