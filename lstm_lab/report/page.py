"""RunRecord -> page: what is said, and in which order."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from lstm_lab.files import Row
from lstm_lab.records import RunRecord
from lstm_lab.report import fmt
from lstm_lab.report.parts import tables
from lstm_lab.report.parts.figures import curves, run_curves
from lstm_lab.report.parts.spec import Page, Part, Section
from lstm_lab.report.parts.tables import Table, varying
from lstm_lab.report.sections import cost, importance, predictions, provenance, slices, test_results, training
from lstm_lab.report.sections.answer import answer_of_run, answer_of_sweep
from lstm_lab.report.sections.compare import comparisons
from lstm_lab.report.sections.equal_budget import equal_budget
from lstm_lab.report.sections.parallel_coordinates import coordinates
from lstm_lab.sweeps.store.record import SweepRecord


def page_of(record: RunRecord | SweepRecord, examples: Row | None = None) -> Page:
    """The page of a run or of a sweep; `examples` are what its best model answers."""
    build: Any = sweep_page if isinstance(record, SweepRecord) else run_page
    return build(record, examples or {})


def sweep_page(sweep: SweepRecord, examples: Row) -> Page:
    found = importance.importance(sweep)
    return Page.of(
        title=sweep.title,
        about=_about("Sweep", sweep.path, sweep.about.get("created")),
        notice=_unfinished(sweep),
        answer=answer_of_sweep(sweep),
        commands=_sweep_commands(sweep),
        sections=[
            Section("comparison", "Comparison", _comparison(sweep)),
            Section("mattered", "What mattered", _mattered(sweep, found)),
            Section("learned", "How it learned", _learned(sweep)),
            Section("does", "What it does", _does(
                examples, sweep.winner.id if sweep.winner else "", sweep.winner.record if sweep.winner else None)),
            Section("cost", "Cost", [Part(facts=cost.of_sweep(sweep))]),
            Section("provenance", "Provenance", [
                Part("Best configuration", code=sweep.best_experiment or ""),
                Part("Where it comes from", facts=provenance.of_sweep(sweep)),
            ]),
        ],
    )  # fmt: skip


def _comparison(sweep: SweepRecord) -> list[Part]:
    ranking = (
        "Points are ranked by the mean over seeds of each trial's best epoch. A point that was cut short with any of "
        "its seeds ranks behind those trained through: it was not given the same chance."
    )
    budget = equal_budget(sweep)
    return [
        Part("Leaderboard", [ranking], [tables.leaderboard(sweep)] if sweep.configurations else []),
        *(Part(fmt.sentence(c.name), (), [c.table], c.verdicts) for c in comparisons(sweep)),
        Part("Baselines", (), baselines(sweep)),
        Part("At equal budget", (), figures=[budget] if budget else []),
    ]


def _mattered(sweep: SweepRecord, found: importance.Importance | None) -> list[Part]:
    order = list(found.shares) + found.left_out if found else varying(sweep)
    apart = importance.arms(sweep) if found else None
    figure, pair = coordinates(sweep), slices.interaction(sweep, order) if found else None
    # What a clone reached it owes in part to numbers that it did not begin with.
    cloned = any(trial.lineage for trial in sweep.trials)
    told = [
        "Of a population a member stands where it began, with the best of its record; a clone's record is its donor's "
        "up to where it went on. Which numbers followed which stands under Population."
    ] if cloned else []  # fmt: skip
    return [
        Part("Importance", (), [importance.table(found)] if found else [],
             figures=[importance.figure(found, sweep.metric)] if found else []),
        Part("Arm by arm", (), [importance.arms_table(*apart)] if apart else []),
        Part("One at a time", told, figures=slices.slices(sweep, order)),
        Part("Two together", (), figures=[pair] if pair else []),
        Part("All together", (), figures=[figure] if figure else []),
    ]  # fmt: skip


def _learned(sweep: SweepRecord) -> list[Part]:
    rates, population = training.rates(sweep), training.lineage(sweep)
    return [
        Part("Curves", (), figures=curves(sweep)),
        Part("Learning rates", (), figures=[rates] if rates else []),
        Part("Population", (), [population[1]], figures=[population[0]]) if population else Part(),
        Part("Failures", (), [tables.failures(sweep)] if sweep.count("failed") else []),
    ]


def _does(examples: Row, name: str, record: RunRecord | None) -> list[Part]:
    """What the best epoch answers to the validation part, and what the record kept of the last opening of the test."""
    of = f"Of trial {name}. " if name else ""
    opening = record.test_evaluations[-1] if record and record.test_evaluations else {}
    after, classes = test_results.figures_of(opening), test_results.each_class(opening)
    tested = Part("On the test part", [of + test_results.about(opening)], [classes] if classes else [], figures=after)
    if not examples:
        return [tested]
    head = "On the validation part" if tested else ""
    return [
        Part(
            head,
            [of + predictions.about(examples)],
            predictions.tables_of(examples),
            figures=predictions.figures_of(examples),
        ),
        tested,
    ]


def _unfinished(sweep: SweepRecord) -> str:
    if sweep.summary is not None:
        return ""
    ended = sum(sweep.count(state) for state in ("finished", "stopped", "failed"))
    return (
        f"This sweep is unfinished: {ended} of {fmt.plural(len(sweep.trials), 'trial')} asked for so far have ended. "
        "What follows is read from their records and may change."
    )


def _sweep_commands(sweep: SweepRecord) -> list[tuple[str, str]]:
    folder = provenance.shown(sweep.path)
    if sweep.summary is None:
        return [("Go on with the sweep", f"lstm-lab resume {shlex.quote(folder)}")]
    if sweep.best_experiment is None:
        return []
    commands = [("Train the winner again", f"lstm-lab train {shlex.quote(f'{folder}/best.yaml')}")]
    if sweep.winner and sweep.winner.record and not sweep.winner.record.test_evaluations:
        commands.append(("Open the sealed test part", f"lstm-lab evaluate {shlex.quote(folder)}"))
    return commands


def baselines(sweep: SweepRecord) -> list[Table]:
    """Winner and baselines on each part that was scored."""
    summary = sweep.summary or {}
    won = summary.get("winner")
    found = []
    for part in ("validation", "test"):
        rows = (summary.get("baselines") or {}).get(part)
        if won and rows and won.get(part):
            skill = (summary.get("skill") or {}).get(part) or {}
            compared = tables.compared(won[part], rows, sweep.metric)
            found.append(tables.scores(f"{part} part", f"winner {won['trial']}", won[part], rows, skill, compared))
    return found


def run_page(record: RunRecord, examples: Row) -> Page:
    folder = provenance.shown(record.path)
    config = record.path / "experiment.yaml"
    text = config.read_text(encoding="utf-8") if config.is_file() else ""
    validation = record.about.get("validation")
    scored = [
        tables.scores(
            f"test part, opened {fmt.when(row['at'])}" if row.get("at") else "validation part",
            f"model, epoch {row.get('epoch', fmt.NONE)}",
            row["scores"],
            row.get("baselines") or {},
            row.get("skill") or {},
            tables.compared(row["scores"], row.get("baselines") or {}, record.monitor or ""),
        )
        for row in ([validation] if validation else []) + record.test_evaluations[-1:]
    ]
    commands = [("Train it again", f"lstm-lab train {shlex.quote(f'{folder}/experiment.yaml')}")]
    if record.state in ("interrupted", "failed"):
        commands.insert(0, ("Go on with the run", f"lstm-lab train --resume {shlex.quote(folder)}"))
    elif record.state == "finished" and not record.test_evaluations:
        commands.append(("Open the sealed test part", f"lstm-lab evaluate {shlex.quote(folder)}"))
    return Page.of(
        title=record.about.get("name") or record.name,
        about=_about("Run", record.path, record.about.get("created")),
        notice=_not_finished(record),
        answer=answer_of_run(record),
        commands=commands,
        sections=[
            Section("comparison", "Comparison", [Part("Scores beside baselines", (), scored)]),
            Section("learned", "How it learned", [Part("Curves", (), figures=run_curves(record))]),
            Section("does", "What it does", _does(examples, "", record)),
            Section("cost", "Cost", [Part(facts=cost.of_run(record))]),
            Section("provenance", "Provenance", [
                Part("Configuration", code=text), Part("Where it comes from", facts=provenance.of_run(record)),
            ]),
        ],
    )  # fmt: skip


def _not_finished(record: RunRecord) -> str:
    reason = f": {record.reason}" if record.reason else "."
    epochs = fmt.plural(len(record.rows), "epoch")
    said = {
        "failed": f"This run failed after {epochs}{reason}",
        "interrupted": f"This run was interrupted after {epochs} and can go on.",
        "running": f"This run is still training: {epochs} so far.",
        "stopped": f"This run was stopped early after {epochs}{reason}",
    }
    return said.get(record.state, "")


def _about(kind: str, path: Path, created: Any) -> str:
    return " · ".join([kind, path.resolve().name, *([fmt.when(created)] if created else [])])
