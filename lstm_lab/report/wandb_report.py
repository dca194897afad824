"""The page of a sweep as a W&B Report: its words and tables, and in place of its figures panels that W&B draws.

The only file that knows `wandb_workspaces`, whose classes are private enough to be pinned. It is run in a process of
its own, `python -m lstm_lab.report.wandb_report SWEEP`, for what it calls may wait for a server without end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lstm_lab.config import ConfigError, DataError
from lstm_lab.report import fmt
from lstm_lab.report.page import page_of
from lstm_lab.report.parts.render import table_text
from lstm_lab.report.parts.spec import Page, Part
from lstm_lab.report.parts.tables import varying
from lstm_lab.report.records.read import read
from lstm_lab.run import Run
from lstm_lab.sweeps.store.record import SweepRecord
from lstm_lab.tracking import PROJECT
from lstm_lab.tracking.server import server
from lstm_lab.tracking.tracker import wandb_config
from lstm_lab.tracking.upload import Unreachable, sync

SECONDS = 120
"""Patience with the server once it has answered."""
CURVES = ("train/loss", "train/grad_norm", "lr", "samples_per_second", "memory_mib")
"""Beside the deciding metric."""
Block = Any


def publish(folder: Path, final: bool = False) -> str:
    """Upload the runs of a sweep that are not there yet, and save its report, a draft unless it is final; its address.

    Raises:
        ConfigError: it is no sweep, or `wandb-workspaces` is not installed.
        Unreachable: there is no server or no account, or it did not come to an end.
    """
    if not isinstance(read(folder), SweepRecord):
        raise ConfigError(f"{folder}: a W&B Report is made of a sweep; of a run W&B has its own page")
    if find_spec("wandb_workspaces") is None:
        raise ConfigError("report --to wandb needs the package wandb-workspaces: pip install 'lstm-lab[reports]'")
    if refusal := server().refusal():
        raise Unreachable(f"report: {refusal}; the page needs neither: lstm-lab report {folder}")
    unsent = [sent for sent in sync([folder]) if sent.outcome in ("failed", "left")]
    if unsent:
        raise Unreachable(f"report: {len(unsent)} runs could not be uploaded, {unsent[0].run.path}: {unsent[0].reason}")
    process = subprocess.Popen(
        [sys.executable, "-m", "lstm_lab.report.wandb_report", str(folder), *(["final"] if final else [])],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise Unreachable(f"report: {server().name} did not come to an end in {SECONDS} s") from None
    if process.returncode != 0:
        raise Unreachable(f"report: it was not saved: {(err.strip().splitlines() or ['no reason given'])[-1]}")
    return out.strip().splitlines()[-1]


def report_of(sweep: SweepRecord, page: Page, entity: str) -> Any:
    """The report, not saved. With an empty entity it asks no server."""
    import wandb_workspaces.reports.v2 as wr

    panels = Panels(sweep, entity)
    blocks: list[Block] = [wr.TableOfContents(), wr.H1("Answer")]
    if page.notice:
        blocks.append(wr.CalloutBlock(page.notice))
    answer = page.answer
    blocks += [wr.P(answer.lede), wr.UnorderedList([_stat(stat) for stat in answer.stats])]
    blocks += [wr.P(text) for text in (*(verdict.text for verdict in answer.verdicts), *answer.sure, *answer.notes)]
    for what, command in page.commands:
        blocks += [wr.P(f"{what}:"), wr.CodeBlock(command, language="markdown")]
    for section in page.sections:
        blocks.append(wr.H1(section.title))
        for part in section.parts:
            blocks += _blocks(part)
        blocks += panels.below(section.id)
    return wr.Report(
        project=PROJECT,
        entity=entity or "nobody",
        title=page.title[:128],
        description=page.about,
        blocks=blocks,
        width="fluid",
    )


def _stat(stat: Any) -> str:
    return f"{stat.label}: {stat.value}" + (f" ({stat.note})" if stat.note else "")


def _blocks(part: Part) -> list[Block]:
    """The words, tables and code of a part; what its figures show stands in panels."""
    import wandb_workspaces.reports.v2 as wr

    if not (part.tables or part.code or part.facts):
        return []
    blocks: list[Block] = [wr.H2(part.title)] if part.title else []
    blocks += [wr.P(text) for text in part.text]
    blocks += [wr.MarkdownBlock(table_text(table)) for table in part.tables]
    blocks += [wr.P(text) for text in part.after]
    if part.code:
        blocks.append(wr.CodeBlock(part.code.rstrip(), language="yaml"))
    if part.facts:
        blocks.append(wr.UnorderedList([f"{name}: {value}" for name, value in part.facts]))
    return blocks


class Panels:
    """What W&B draws of a sweep's runs.

    Args:
        entity: whose project it is; empty asks no server for its number.
    """

    def __init__(self, sweep: SweepRecord, entity: str) -> None:
        self.sweep, self.entity = sweep, entity
        runs = [Run(trial.record.path) for trial in sweep.trials if trial.record]
        if not runs:
            raise DataError(f"{sweep.path}: no trial has begun: there is nothing to draw")
        self.ids = [told["id"] for run in runs if (told := run.about.get("wandb", {})).get("id")]
        self.keys = {key: path for key in varying(sweep) if (path := logged_as(key, runs))}

    def below(self, section: str) -> list[Block]:
        """The panels that belong to a section of the page."""
        import wandb_workspaces.reports.v2 as wr

        def grid(name: str, panels: Sequence[Any], grouped: bool) -> Block:
            return wr.PanelGrid(runsets=[self.runset(name, grouped)], panels=list(panels))

        if section == "comparison":
            return [wr.H2("The runs"), grid("trials", [self._comparer()], False)]
        if section == "mattered":
            # Of each run by itself: a group has no one value of its hyperparameters.
            return [wr.H2("Drawn by W&B"), grid("trials", [self._coordinates(), self._importance()], False)]
        if section == "learned":
            return [wr.H2("Curves, over seeds"), grid("points", self._curves(), True)]
        return []

    def runset(self, name: str, grouped: bool) -> Any:
        """The runs of this sweep, best first; grouped: of one point together, over its seeds.

        By their ids: many machines have a sweep of that name, and filters over the configuration name its keys in a
        way of their own.
        """
        import wandb_workspaces.reports.v2 as wr
        from wandb_workspaces import expr

        columns = [f"config:{_valued(path)}" for path in self.keys.values()]
        return wr.Runset(
            entity=self.entity, project=PROJECT if self.entity else "", name=name,
            filters=expr.And(expr.Metric("ID").isin(self.ids)),
            groupby=[f"config.{path}" for path in self.keys.values()] if grouped else [],
            order=[wr.OrderBy(wr.SummaryMetric("best"), ascending=self.sweep.mode == "min")],
            pinned_columns=["run:displayName", "summary:best", "summary:state", *columns],
        )  # fmt: skip

    def _comparer(self) -> Any:
        import wandb_workspaces.reports.v2 as wr

        return wr.RunComparer(diff_only="split", layout=wr.Layout(w=24, h=10))

    def _coordinates(self) -> Any:
        import wandb_workspaces.reports.v2 as wr

        wide = {key for key, (kind, _) in self.sweep.space.items() if kind in ("loguniform", "qloguniform")}
        axes = [
            wr.ParallelCoordinatesPlotColumn(wr.Config(path), display_name=key, log=key in wide or None)
            for key, path in self.keys.items()
        ]
        best = wr.ParallelCoordinatesPlotColumn(
            wr.SummaryMetric("best"),
            display_name=fmt.metric(self.sweep.metric),
            inverted=self.sweep.mode == "min",
        )
        return wr.ParallelCoordinatesPlot(columns=[*axes, best], layout=wr.Layout(w=24, h=9))

    def _importance(self) -> Any:
        import wandb_workspaces.reports.v2 as wr

        return wr.ParameterImportancePlot(with_respect_to="best", layout=wr.Layout(y=9, w=24, h=8))

    def _curves(self) -> list[Any]:
        import wandb_workspaces.reports.v2 as wr

        return [
            wr.LinePlot(
                title=fmt.metric(name), x="epoch", y=[name], log_y=name == "lr" or None,
                groupby_aggfunc="mean", groupby_rangefunc="stddev", max_runs_to_show=100,
                layout=wr.Layout(x=8 * (place % 3), y=6 * (place // 3), w=8, h=6),
            )
            for place, name in enumerate(self.curves())
        ]  # fmt: skip

    def curves(self) -> list[str]:
        """Metrics that the record holds: of another name W&B draws an empty panel, and says nothing."""
        logged = {key for trial in self.sweep.trials if trial.record for row in trial.record.rows[:1] for key in row}
        return [name for name in dict.fromkeys((self.sweep.metric, *CURVES)) if name in logged]


def logged_as(key: str, runs: Sequence[Run]) -> str:
    """Where in W&B's configuration a hyperparameter stands; empty where it stands in none of the runs.

    `model.cell: gru` is short for a section, whose name is what differs.
    """
    for run in runs:
        value: Any = wandb_config(run)
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            return f"{key}.name" if isinstance(value, dict) and "name" in value else key
    return ""


def _valued(path: str) -> str:
    first, _, rest = path.partition(".")
    return f"{first}.value.{rest}" if rest else f"{first}.value"


def main(folder: str, *final: str) -> None:
    import wandb_workspaces.reports.v2 as wr

    record = read(Path(folder))
    assert isinstance(record, SweepRecord)
    report = report_of(record, page_of(record), wr.Report(project=PROJECT).entity)  # type: ignore[call-arg]
    report.save(draft=not final)
    sys.stdout.write(report.url + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
