"""The page of a sweep as a W&B Report: its text and tables, and panels that W&B draws in place of its figures.

The only file that knows `wandb_workspaces`, whose classes change between releases and are therefore pinned. It runs in
a process of its own, `python -m lstm_lab.report.wandb_report SWEEP`, because its calls may wait for a server for ever.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from lstm_lab.config import ConfigError, DataError
from lstm_lab.records.run import Run
from lstm_lab.report import fmt
from lstm_lab.report.page import build_page
from lstm_lab.report.parts.content import Page, Stat, Subsection
from lstm_lab.report.parts.render import table_to_markdown
from lstm_lab.report.records.hyperparameters import is_logarithmic, varying
from lstm_lab.report.records.read import read
from lstm_lab.report.sections.base import section_types
from lstm_lab.sweeps.store.record import SweepRecord
from lstm_lab.tracking import project as wandb_project
from lstm_lab.tracking.server import find_server
from lstm_lab.tracking.tracker import wandb_config
from lstm_lab.tracking.upload import Unreachable, sync

TIMEOUT_SECONDS = 120
"""For saving the report, once the server is reachable."""
CURVES = ("train/loss", "train/grad_norm", "lr", "samples_per_second", "memory_mib")
"""Metrics with a panel, beside the monitored one."""
Block = Any
"""What a W&B Report is made of, and the report: `wandb_workspaces` has no types."""


def _workspaces() -> ModuleType:
    return import_module("wandb_workspaces.reports.v2")


def publish(folder: Path, final: bool = False) -> str:
    """Upload the runs of a sweep that are missing on the server, and save its report.

    Args:
        final: not a draft.

    Returns:
        The report's URL.

    Raises:
        ConfigError: the folder holds no sweep, or `wandb-workspaces` is not installed.
        Unreachable: there is no server or no account, or the server did not answer in time.
    """
    if not isinstance(read(folder), SweepRecord):
        raise ConfigError(f"{folder}: a W&B Report is made of a sweep; a run has its own page in W&B")
    if find_spec("wandb_workspaces") is None:
        raise ConfigError("report --to wandb needs the package wandb-workspaces: pip install 'wandb-workspaces<0.5'")
    if refusal := find_server().unavailable():
        raise Unreachable(f"report: {refusal}; the HTML page needs no account and no network: lstm-lab report {folder}")
    unsent = [sent for sent in sync([folder]) if sent.outcome in ("failed", "skipped")]
    if unsent:
        raise Unreachable(f"report: {len(unsent)} runs could not be uploaded, {unsent[0].run.path}: {unsent[0].reason}")
    process = subprocess.Popen(
        [sys.executable, "-m", "lstm_lab.report.wandb_report", str(folder), *(["final"] if final else [])],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise Unreachable(f"report: {find_server().host} did not answer within {TIMEOUT_SECONDS} s") from None
    if process.returncode != 0:
        raise Unreachable(f"report: it was not saved: {(err.strip().splitlines() or ['no reason given'])[-1]}")
    return out.strip().splitlines()[-1]


def report_of(sweep: SweepRecord, page: Page, entity: str) -> Block:
    """The report, not saved. With an empty entity no server is asked."""
    wr = _workspaces()
    panels, panels_of = Panels(sweep, entity), {section.id(): section.wandb_panels for section in section_types()}
    summary = page.summary
    blocks: list[Block] = [wr.TableOfContents(), wr.H1("Summary")]
    if page.notice:
        blocks.append(wr.CalloutBlock(page.notice))
    blocks += [wr.P(summary.headline), wr.UnorderedList([_stat(stat) for stat in summary.stats])]
    verdicts = [verdict.text for verdict in summary.verdicts]
    blocks += [wr.P(text) for text in (*verdicts, *summary.comparisons, *summary.notes)]
    for what, command in page.commands:
        blocks += [wr.P(f"{what}:"), wr.CodeBlock(command, language="markdown")]
    for section in page.sections:
        blocks.append(wr.H1(section.title))
        for subsection in section.subsections:
            blocks += _blocks(subsection)
        blocks += panels.grid(panels_of.get(section.id, ()))
    return wr.Report(
        project=wandb_project(),
        entity=entity or "nobody",
        title=page.title[:128],
        description=page.subtitle,
        blocks=blocks,
        width="fluid",
    )


def _stat(stat: Stat) -> str:
    return f"{stat.label}: {stat.value}" + (f" ({stat.note})" if stat.note else "")


def _blocks(subsection: Subsection) -> list[Block]:
    """Text, tables and code of a subsection; panels replace its figures."""
    wr = _workspaces()
    if not (subsection.tables or subsection.code or subsection.items):
        return []
    blocks: list[Block] = [wr.H2(subsection.title)] if subsection.title else []
    blocks += [wr.P(text) for text in subsection.text]
    blocks += [wr.MarkdownBlock(table_to_markdown(table)) for table in subsection.tables]
    blocks += [wr.P(text) for text in subsection.remarks]
    if subsection.code:
        blocks.append(wr.CodeBlock(subsection.code.rstrip(), language="yaml"))
    if subsection.items:
        blocks.append(wr.UnorderedList([f"{name}: {value}" for name, value in subsection.items]))
    return blocks


class Panels:
    """Panels that W&B draws from the runs of a sweep. Sections name them in `wandb_panels`.

    Args:
        entity: that owns the project; empty: no server is asked for the project's number.
    """

    def __init__(self, sweep: SweepRecord, entity: str) -> None:
        self.sweep, self.entity = sweep, entity
        runs = [Run(trial.record.path) for trial in sweep.trials if trial.record]
        if not runs:
            raise DataError(f"{sweep.path}: no trial has started: there is nothing to draw")
        self.ids = [logged["id"] for run in runs if (logged := run.about.get("wandb", {})).get("id")]
        self.keys = {key: path for key in varying(sweep) if (path := logged_path(key, runs))}

    def grid(self, names: Sequence[str]) -> list[Block]:
        """A heading and a grid with panels, by the names of their methods; nothing where there are none."""
        if not names:
            return []
        wr = _workspaces()
        kinds = {"run_comparer": self.run_comparer, "parallel_coordinates": self.parallel_coordinates,
                 "parameter_importance": self.parameter_importance, "curves": self.curves}  # fmt: skip
        panels = [panel for name in names for panel in kinds[name]()]
        grouped = "curves" in names  # Hyperparameters have one value per run, curves a mean over seeds.
        runset = self.runset("configurations" if grouped else "trials", grouped)
        return [wr.H2("W&B panels"), wr.PanelGrid(runsets=[runset], panels=panels)]

    def runset(self, name: str, grouped: bool) -> Block:
        """The runs of this sweep, best first; grouped: one line per configuration, over its seeds.

        They are selected by id: other machines may have a sweep of the same name, and filters over the configuration
        name its keys differently.
        """
        from wandb_workspaces import expr

        wr = _workspaces()
        columns = [f"config:{_value_path(path)}" for path in self.keys.values()]
        return wr.Runset(
            entity=self.entity, project=wandb_project() if self.entity else "", name=name,
            filters=expr.And(expr.Metric("ID").isin(self.ids)),
            groupby=[f"config.{path}" for path in self.keys.values()] if grouped else [],
            order=[wr.OrderBy(wr.SummaryMetric("best"), ascending=self.sweep.mode == "min")],
            pinned_columns=["run:displayName", "summary:best", "summary:state", *columns],
        )  # fmt: skip

    def run_comparer(self) -> list[Block]:
        """Runs side by side, with what differs between them."""
        wr = _workspaces()
        return [wr.RunComparer(diff_only="split", layout=wr.Layout(w=24, h=10))]

    def parallel_coordinates(self) -> list[Block]:
        """Hyperparameters that vary, and the best value of the monitored metric."""
        wr = _workspaces()
        axes = [
            wr.ParallelCoordinatesPlotColumn(
                wr.Config(path), display_name=key, log=is_logarithmic(self.sweep, key) or None
            )
            for key, path in self.keys.items()
        ]
        best = wr.ParallelCoordinatesPlotColumn(
            wr.SummaryMetric("best"),
            display_name=fmt.metric(self.sweep.metric),
            inverted=self.sweep.mode == "min",
        )
        return [wr.ParallelCoordinatesPlot(columns=[*axes, best], layout=wr.Layout(w=24, h=9))]

    def parameter_importance(self) -> list[Block]:
        """Importance of the hyperparameters for the best value, as W&B estimates it."""
        wr = _workspaces()
        return [wr.ParameterImportancePlot(with_respect_to="best", layout=wr.Layout(y=9, w=24, h=8))]

    def curves(self) -> list[Block]:
        """Mean and standard deviation over seeds by epoch, one panel per metric."""
        wr = _workspaces()
        return [
            wr.LinePlot(
                title=fmt.metric(name), x="epoch", y=[name], log_y=name == "lr" or None,
                groupby_aggfunc="mean", groupby_rangefunc="stddev", max_runs_to_show=100,
                layout=wr.Layout(x=8 * (number % 3), y=6 * (number // 3), w=8, h=6),
            )
            for number, name in enumerate(self.logged_metrics())
        ]  # fmt: skip

    def logged_metrics(self) -> list[str]:
        """Metrics in the records: for any other name W&B draws an empty panel without a warning."""
        logged = {key for trial in self.sweep.trials if trial.record for row in trial.record.rows[:1] for key in row}
        return [name for name in dict.fromkeys((self.sweep.metric, *CURVES)) if name in logged]


def logged_path(key: str, runs: Sequence[Run]) -> str:
    """Path of a hyperparameter in W&B's configuration; empty where none of the runs has it.

    `model.cell: gru` is short for a section, of which the name differs.
    """
    for run in runs:
        value: object = wandb_config(run)
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            return f"{key}.name" if isinstance(value, dict) and "name" in value else key
    return ""


def _value_path(path: str) -> str:
    first, _, rest = path.partition(".")
    return f"{first}.value.{rest}" if rest else f"{first}.value"


def main(folder: str, *final: str) -> None:
    """Save the report of a sweep and print its URL."""
    record = read(Path(folder))
    assert isinstance(record, SweepRecord)
    entity = _workspaces().Report(project=wandb_project()).entity
    report = report_of(record, build_page(record), entity)
    report.save(draft=not final)
    sys.stdout.write(report.url + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
