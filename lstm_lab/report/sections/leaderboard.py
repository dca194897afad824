"""Leaderboard: the configurations of a sweep, or the experiments of a comparison, best first."""

from __future__ import annotations

from collections import Counter

from lstm_lab.records.examples import AnyExamples
from lstm_lab.records.run_record import finite
from lstm_lab.report import fmt
from lstm_lab.report.parts import critical_difference as cd
from lstm_lab.report.parts.content import Subsection
from lstm_lab.report.parts.experiments import experiments_table, interval_cell, tests_against_best
from lstm_lab.report.parts.pareto import compromise, objective_label, objective_meaning
from lstm_lab.report.parts.tables import Cell, Column, Table, aligned, number_cell
from lstm_lab.report.records.experiments import ComparisonGroup
from lstm_lab.report.records.hyperparameters import varying
from lstm_lab.report.sections.base import ReportSection, Subsections
from lstm_lab.sweeps.store.leaderboard import Configuration
from lstm_lab.sweeps.store.record import SweepRecord

RANKING = (
    "Configurations are ranked by the number of their trials that were not trained to completion, because those were "
    "given fewer epochs, and then by the mean over {noun}s of each trial's {select} epoch."
)
FRONTS = (
    "With several objectives, configurations on the Pareto front, which no other one dominates, come first, then those "
    "that are on it without them, and so on; on each front, {compromise} comes first."
)
CONSTRAINTS = (
    "A configuration whose mean breaks a constraint ({limits}) ranks behind all that keep them, the nearest first, and "
    "is never the best."
)
CONFIRMED = (
    "The best configurations of the search were trained again with other seeds to confirm them. They come first, "
    "ranked by these seeds alone."
)


class Leaderboard(ReportSection):
    """All configurations or experiments in one sortable table."""

    title, order = "Leaderboard", 10
    wandb_panels = ("run_comparer",)

    def of_sweep(self, sweep: SweepRecord, examples: AnyExamples | None) -> Subsections:
        ranking = RANKING.format(noun=sweep.repeat_noun, select=sweep.select)
        text = [ranking, *([FRONTS.format(compromise=compromise(sweep))] if sweep.criteria.objectives else [])]
        if limits := sweep.criteria.limits:
            text.append(CONSTRAINTS.format(limits=fmt.join([limit.text for limit in limits])))
        text += [CONFIRMED] if sweep.about.get("confirmed") else []
        return [Subsection("", text, [leaderboard_table(sweep)])] if sweep.configurations else []

    def of_comparison(self, groups: list[ComparisonGroup]) -> Subsections:
        return [
            _over_data_sets(groups),
            *(
                Subsection(
                    f"{fmt.capitalized(fmt.metric(group.metric))} on {group.data}", group.notes,
                    [experiments_table(group, number)], tests_against_best(group),
                )
                for number, group in enumerate(groups)
            ),
        ]  # fmt: skip


def _over_data_sets(groups: list[ComparisonGroup]) -> Subsection:
    noun, scores = cd.treatments(groups) if len(groups) > 1 else ("", {})
    ranks = cd.ranked(groups, scores) if len(groups) > 2 else None
    tables = [cd.scores_table(groups, noun, scores)] if len(scores) > 1 else []
    return Subsection("All data sets", (), tables, figures=[cd.critical_difference_diagram(ranks)] if ranks else [])


def leaderboard_table(sweep: SweepRecord) -> Table:
    """Configurations, best first; hyperparameters that do not vary are left out."""
    keys, rows = varying(sweep), sweep.configurations
    names, noun = fmt.short_names(keys), sweep.repeat_noun
    epochs = [[len(trial.record.rows) for trial in row.trials if trial.record] for row in rows]
    has_intervals, extended = any(row.n > 2 for row in rows), bool(sweep.about.get("extensions"))
    # The model's parameters have a column in any case.
    others = [each for each in sweep.criteria.measured if each.name not in (sweep.metric, "parameters")]
    columns = [
        Column("rank", True),
        *(
            [Column("front", True, "1: the Pareto front, which no other configuration dominates")]
            if sweep.criteria.objectives
            else []
        ),
        *(Column(names[key], all(finite(row.overrides.get(key, 0)) for row in rows), key) for key in keys),
        Column(
            fmt.metric(sweep.metric), True, f"{sweep.metric}: mean over {noun}s of each trial's {sweep.select} epoch"
        ),
        Column("std", True, f"standard deviation over {noun}s"),
        *([Column("95 % CI", True, f"confidence interval of the mean over {noun}s")] if has_intervals else []),
        *(Column(objective_label(each), True, objective_meaning(each)) for each in others),
        *([Column("constraints", False, "what it breaks, beside its mean")] if sweep.criteria.limits else []),
        Column("n", True, f"{noun}s with a value"),
        Column("parameters", True, "trainable parameters of the model"),
        Column("epochs", True, "epochs trained, from the shortest to the longest trial"),
        Column("seconds", True, f"of training, summed over {noun}s"),
        *([Column("version", True, "which extension of the sweep added it; 0: none")] if extended else []),
        Column("state"),
        Column("trials"),
    ]
    cells = [
        [number_cell(rank) for rank in range(1, len(rows) + 1)],
        *([[number_cell(row.front) for row in rows]] if sweep.criteria.objectives else []),
        *(_values(rows, key) for key in keys),
        aligned(row.mean for row in rows),
        aligned(row.std for row in rows),
        *([[interval_cell([t.value for t in row.trials if t.value is not None]) for row in rows]] if has_intervals
          else []),
        *(aligned(row.objectives.get(each.name) for row in rows) for each in others),
        *([[_constraints(row) for row in rows]] if sweep.criteria.limits else []),
        [number_cell(row.n) for row in rows],
        aligned(row.parameters for row in rows),
        [Cell(fmt.number_range(counts), max(counts, default=None), "number") for counts in epochs],
        aligned((sum(trial.seconds for trial in row.trials) for row in rows), lambda value: f"{value:,.1f}"),
        *([[number_cell(row.version) for row in rows]] if extended else []),
        [Cell(state := states(row), state, row.trials[0].state) for row in rows],
        [Cell(" ".join(trial.id for trial in row.trials), row.trials[0].id, "ids") for row in rows],
    ]  # fmt: skip
    incomplete = 0 < sum(row.completed for row in rows) < len(rows)
    order = "those trained to completion first, then " if incomplete else "best first "
    decides = "front and compromise" if sweep.criteria.weights else f"front and {fmt.metric(sweep.metric)}"
    by = decides if sweep.criteria.objectives else fmt.metric(sweep.metric)
    caption = f"{fmt.plural(len(rows), 'configuration')}, {order}by {by}"
    best = [index for index, row in enumerate(rows) if sweep.winner in row.trials]
    return Table.of_columns(caption, columns, cells, sortable=True, highlighted=best, id="leaderboard-table")


def _constraints(row: Configuration) -> Cell:
    """Whether it keeps the constraints on metrics, or what it breaks."""
    text = f"breaks {', '.join(row.broken)}" if row.broken else "kept"
    return Cell(text, text, "failed" if row.broken else "")


def states(configuration: Configuration) -> str:
    """States of its trials, and the trials that they continued from."""
    counts = Counter(trial.state for trial in configuration.trials)
    text = ", ".join(state if len(counts) == 1 else f"{count} {state}" for state, count in counts.items())
    sources = [trial.lineage[-1]["source"] for trial in configuration.trials if trial.lineage]
    return f"{text}, continued from {' '.join(sources)}" if sources else text


def _values(rows: list[Configuration], key: str) -> list[Cell]:
    """Values of a hyperparameter; a dash where a configuration does not have it."""
    values = [row.overrides.get(key) for row in rows]
    texts = [fmt.value(row.overrides[key]) if key in row.overrides else fmt.MISSING for row in rows]
    if all(value is None or finite(value) for value in values):
        remaining = iter(texts)
        return aligned(values, lambda value: next(remaining))
    return [Cell(text, text) for text in texts]
