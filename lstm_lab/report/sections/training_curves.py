"""Training curves: metrics and learning rates by epoch, the lineage of a population, and failed trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lstm_lab.records.examples import AnyExamples
from lstm_lab.records.run_record import RunRecord
from lstm_lab.report import fmt
from lstm_lab.report.parts.content import Subsection
from lstm_lab.report.parts.curves import learning_rates, run_curves, trial_curves
from lstm_lab.report.parts.experiments import experiment_curves
from lstm_lab.report.parts.population import lineage
from lstm_lab.report.parts.tables import Cell, Column, Table, number_cell
from lstm_lab.report.records.experiments import ComparisonGroup
from lstm_lab.report.records.hyperparameters import varying
from lstm_lab.report.sections.base import ReportSection, Subsections
from lstm_lab.sweeps.hopeless import PREFIX
from lstm_lab.sweeps.store.leaderboard import Trial
from lstm_lab.sweeps.store.record import SweepRecord


class TrainingCurves(ReportSection):
    """How training went."""

    title, order = "Training curves", 50
    wandb_panels = ("curves",)

    def of_run(self, run: RunRecord, examples: AnyExamples | None) -> Subsections:
        return [Subsection(figures=run_curves(run))]

    def of_sweep(self, sweep: SweepRecord, examples: AnyExamples | None) -> Subsections:
        rates, population = learning_rates(sweep), lineage(sweep)
        hopeless = [trial for trial in sweep.trials if (trial.reason or "").startswith(PREFIX)]
        return [
            Subsection("Metrics", figures=trial_curves(sweep)),
            Subsection("Learning rate", figures=[rates] if rates else []),
            Subsection("Population", (), [population[1]], figures=[population[0]]) if population else Subsection(),
            Subsection("Hopeless trials", (), [hopeless_table(sweep, hopeless)] if hopeless else []),
            Subsection("Failed trials", (), [failures_table(sweep)] if sweep.count("failed") else []),
        ]

    def of_comparison(self, groups: list[ComparisonGroup]) -> Subsections:
        figures = [experiment_curves(group, number) for number, group in enumerate(groups)]
        return [Subsection(figures=[figure for figure in figures if figure])]


def hopeless_table(sweep: SweepRecord, trials: Sequence[Trial]) -> Table:
    """Trials that `stop_sick` has ended, and what its rule measured."""
    caption = f"{fmt.plural(len(trials), 'trial')} ended by stop_sick, as hopeless"
    return _reasons_table(
        sweep, caption, trials, {trial.id: (trial.reason or "").removeprefix(PREFIX) for trial in trials}
    )


def failures_table(sweep: SweepRecord) -> Table:
    """Failed trials, their hyperparameters and the reason."""
    reasons = {row["trial"]: row.get("reason") for row in (sweep.summary or {}).get("failures", [])}
    failed = [trial for trial in sweep.trials if trial.state == "failed"]
    return _reasons_table(sweep, fmt.plural(len(failed), "failed trial"), failed, reasons)


def _reasons_table(
    sweep: SweepRecord, caption: str, failed: Sequence[Trial], reasons: Mapping[str, str | None]
) -> Table:
    names = fmt.short_names(varying(sweep))
    return Table.of_columns(
        caption,
        [Column("trial"), Column("hyperparameters"), Column("epochs", True), Column("reason")],
        [
            [Cell(trial.id, trial.id, "ids") for trial in failed],
            [Cell(fmt.configuration({**trial.overrides, "seed": str(trial.repeat)}, names)) for trial in failed],
            [number_cell(len(trial.record.rows) if trial.record else 0) for trial in failed],
            [Cell(reasons.get(trial.id) or trial.reason or "no reason was recorded", None, "wide") for trial in failed],
        ],
    )
