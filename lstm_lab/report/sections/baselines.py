"""Baselines: scores of the model beside those of methods that need no training of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from lstm_lab.records.examples import AnyExamples
from lstm_lab.records.files import Row
from lstm_lab.records.run_record import RunRecord
from lstm_lab.records.scores import Metrics, compared_metric
from lstm_lab.report import fmt
from lstm_lab.report.parts.content import Subsection
from lstm_lab.report.parts.tables import Cell, Column, Table, aligned
from lstm_lab.report.sections.base import ReportSection, Subsections
from lstm_lab.sweeps.store.record import SweepRecord


class Baselines(ReportSection):
    """One table per split on which the model was scored."""

    title, order = "Baselines", 30

    def of_run(self, run: RunRecord, examples: AnyExamples | None) -> Subsections:
        validation = run.about.get("validation")
        rows: list[Row] = [*([validation] if validation else []), *run.test_results[-1:]]
        notes = [note for row in rows for note in score_notes(str(row.get("split", "")), row.get("notes"))]
        return [Subsection(tables=[_run_table(row, run.monitor or "") for row in rows], remarks=notes)]

    def of_sweep(self, sweep: SweepRecord, examples: AnyExamples | None) -> Subsections:
        notes = (sweep.summary or {}).get("notes") or {}
        remarks = [note for split, of in notes.items() for note in score_notes(split, of)]
        return [Subsection(remarks=remarks, tables=[
            scores_table(
                f"{fmt.capitalized(split)} split", label, model, baselines, skills, sweep.metric,
                _winner(sweep).get(f"{split}_std"), sweep.repeat_noun, _ensembles(sweep, split),
            )
            for label, split, model, baselines, skills in sweep_scores(sweep)
        ])]  # fmt: skip


def _ensembles(sweep: SweepRecord, split: str) -> dict[str, Metrics]:
    """Scores of mean predictions: of the winner's seeds, then with weights that were chosen on the validation split."""
    found = {}
    if seeds := _winner(sweep).get(f"{split}_ensemble"):
        found[f"ensemble of the {sweep.repeat_noun}s"] = seeds
    for row in sweep.ensembles:
        scores = row.validation if split == "validation" else row.test
        if scores:
            found[row.label] = scores
    return found


def _winner(sweep: SweepRecord) -> Row:
    return (sweep.summary or {}).get("winner") or {}


def sweep_scores(sweep: SweepRecord) -> list[tuple[str, str, Row, dict[str, Row], Row]]:
    """Of each split that was scored: whose scores, split, the scores, those of the baselines, and the skills.

    They are the means over the seeds of the best configuration where those were evaluated, else of the best trial.
    """
    summary = sweep.summary or {}
    best = summary.get("winner") or {}
    found = []
    for split in ("validation", "test"):
        baselines = (summary.get("baselines") or {}).get(split)
        if best.get(split) and baselines:
            trials = best.get(f"{split}_trials")
            label = f"mean of {len(trials)} {sweep.repeat_noun}s" if trials else f"best trial {best['trial']}"
            found.append((label, split, best[split], baselines, (summary.get("skill") or {}).get(split) or {}))
    return found


def score_notes(split: str, notes: Sequence[str] | None) -> list[str]:
    """What the scores of a split leave out, a sentence each."""
    return [f"{fmt.capitalized(split)} split: {note}." for note in notes or ()]


def _run_table(row: Row, monitor: str) -> Table:
    caption = f"Test split, evaluated {fmt.timestamp(row['at'])}" if row.get("at") else "Validation split"
    model = f"model, epoch {row.get('epoch', fmt.MISSING)}"
    return scores_table(caption, model, row["scores"], row.get("baselines") or {}, row.get("skill") or {}, monitor)


def scores_table(
    caption: str, label: str, model: Metrics, baselines: Mapping[str, Metrics], skills: Row, monitor: str,
    std: Metrics | None = None, noun: str = "seed", ensembles: Mapping[str, Metrics] = MappingProxyType({}),
) -> Table:  # fmt: skip
    """Model and baselines, one row each.

    Args:
        label: of the model's row.
        monitor: the monitored metric.
        std: of the model's scores over its trials; None for one trial.
        noun: what those are called, seed or fold.
        ensembles: whose mean prediction -> its scores.
    """
    metrics = [name for name in model if not baselines or any(name in row for row in baselines.values())]
    compared = compared_metric(monitor, model, baselines.values())
    above = {label: model, **({f"std over {noun}s": std} if std else {})}
    above |= ensembles
    rows = {**above, **baselines}
    columns = [
        Column(""),
        *(Column(fmt.metric(name), True, "used for the comparison" if name == compared else "") for name in metrics),
        Column("skill", True, "share of the baseline's error that the model removes; below 0 the baseline is better"),
    ]
    cells = [
        [Cell(name) for name in rows],
        *(aligned(row.get(name) for row in rows.values()) for name in metrics),
        [*[Cell("", None, "number")] * len(above), *aligned((skills.get(name) for name in baselines), fmt.signed)],
    ]
    return Table.of_columns(caption, columns, cells, highlighted=[0])
