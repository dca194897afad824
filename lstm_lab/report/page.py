"""Record -> page: what is said, and in which order."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from lstm_lab.report import provenance, tables, words
from lstm_lab.report.answer import Answer, answer_of_run, answer_of_sweep
from lstm_lab.report.compare import comparisons
from lstm_lab.report.coordinates import coordinates
from lstm_lab.report.figures import Figure, curves, run_curves
from lstm_lab.report.read import Record, SweepRecord
from lstm_lab.report.tables import Table


@dataclass(frozen=True)
class Section:
    """One heading and what stands below it."""

    id: str
    title: str
    text: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    code: str = ""
    facts: list[tuple[str, str]] = field(default_factory=list)

    def __bool__(self) -> bool:
        """A heading with nothing below it is left out."""
        return bool(self.tables or self.figures or self.code or self.facts)


@dataclass(frozen=True)
class Page:
    """All that the template shows."""

    title: str
    about: str
    """The line above the title."""
    notice: str
    """What a reader must know first: that it has not ended, or has failed."""
    answer: Answer
    commands: list[tuple[str, str]]
    """What it does, and how it is typed."""
    sections: list[Section]


def page_of(record: Record | SweepRecord) -> str:
    """The whole page as HTML, with its style, script and plotly.js inside."""
    return render(sweep_page(record) if isinstance(record, SweepRecord) else run_page(record))


def render(page: Page) -> str:
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    here = resources.files(__package__)

    def part(name: str) -> Markup:
        return Markup(here.joinpath(name).read_text(encoding="utf-8"))

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["script"] = in_script
    template = environment.from_string(here.joinpath("page.html.jinja").read_text(encoding="utf-8"))
    plotly = Markup(get_plotlyjs()) if any(section.figures for section in page.sections) else ""
    return template.render(page=page, style=part("style.css"), script=part("page.js"), plotly=plotly)


def in_script(content: str) -> Any:
    """JSON that cannot end the script element it stands in."""
    from markupsafe import Markup

    escaped = content.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    json.loads(escaped)
    return Markup(escaped)


def sweep_page(sweep: SweepRecord) -> Page:
    figure = coordinates(sweep)
    compared = comparisons(sweep)
    ranking = (
        "Points are ranked by the mean over seeds of each trial's best epoch. A point that was cut short with any of "
        "its seeds ranks behind those trained through: it was not given the same chance."
    )
    drawn = curves(sweep)
    sections = [
        Section("leaderboard", "Leaderboard", [ranking], [tables.leaderboard(sweep)] if sweep.points else []),
        Section("comparison", "Comparison", [c.verdict for c in compared], [c.table for c in compared]),
        Section("baselines", "Baselines", [], baselines(sweep)),
        Section("curves", "Learning curves", [], [], drawn),
        Section("coordinates", "Parallel coordinates", [], [], [figure] if figure else []),
        Section("failures", "Failures", [], [tables.failures(sweep)] if sweep.count("failed") else []),
        Section("best", "Best configuration", code=sweep.best or ""),
        Section("provenance", "Provenance", facts=provenance.of_sweep(sweep)),
    ]
    return Page(
        title=sweep.question,
        about=_about("Sweep", sweep.path, sweep.about.get("created")),
        notice=_unfinished(sweep),
        answer=answer_of_sweep(sweep),
        commands=_sweep_commands(sweep),
        sections=[section for section in sections if section],
    )


def _unfinished(sweep: SweepRecord) -> str:
    if sweep.summary is not None:
        return ""
    ended = sum(sweep.count(state) for state in ("finished", "stopped", "failed"))
    return (
        f"This sweep is unfinished: {ended} of {words.plural(len(sweep.trials), 'trial')} asked for so far have ended. "
        "What follows is read from their records and may change."
    )


def _sweep_commands(sweep: SweepRecord) -> list[tuple[str, str]]:
    folder = provenance.shown(sweep.path)
    if sweep.summary is None:
        return [("Go on with the sweep", f"lstm-lab resume {shlex.quote(folder)}")]
    if sweep.best is None:
        return []
    commands = [("Train the winner again", f"lstm-lab train {shlex.quote(f'{folder}/best.yaml')}")]
    if sweep.winner and sweep.winner.record and not sweep.winner.record.openings:
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


def run_page(record: Record) -> Page:
    folder = provenance.shown(record.path)
    config = record.path / "experiment.yaml"
    text = config.read_text(encoding="utf-8") if config.is_file() else ""
    validation = record.about.get("validation")
    scored = [
        tables.scores(
            f"test part, opened {words.when(row['opened'])}" if row.get("opened") else "validation part",
            f"model, epoch {row.get('epoch', words.NONE)}",
            row["scores"],
            row.get("baselines") or {},
            row.get("skill") or {},
            tables.compared(row["scores"], row.get("baselines") or {}, record.decides or ""),
        )
        for row in ([validation] if validation else []) + record.openings[-1:]
    ]
    sections = [
        Section("baselines", "Scores beside baselines", [], scored),
        Section("curves", "Learning curves", [], [], run_curves(record)),
        Section("best", "Configuration", code=text),
        Section("provenance", "Provenance", facts=provenance.of_run(record)),
    ]
    commands = [("Train it again", f"lstm-lab train {shlex.quote(f'{folder}/experiment.yaml')}")]
    if record.state in ("interrupted", "failed"):
        commands.insert(0, ("Go on with the run", f"lstm-lab train --resume {shlex.quote(folder)}"))
    elif record.state == "finished" and not record.openings:
        commands.append(("Open the sealed test part", f"lstm-lab evaluate {shlex.quote(folder)}"))
    return Page(
        title=record.about.get("name") or record.name,
        about=_about("Run", record.path, record.about.get("created")),
        notice=_not_finished(record),
        answer=answer_of_run(record),
        commands=commands,
        sections=[section for section in sections if section],
    )


def _not_finished(record: Record) -> str:
    reason = f": {record.reason}" if record.reason else "."
    epochs = words.plural(len(record.rows), "epoch")
    said = {
        "failed": f"This run failed after {epochs}{reason}",
        "interrupted": f"This run was interrupted after {epochs} and can go on.",
        "running": f"This run is still training: {epochs} so far.",
        "stopped": f"This run was stopped early after {epochs}{reason}",
    }
    return said.get(record.state, "")


def _about(kind: str, path: Path, created: Any) -> str:
    return " · ".join([kind, path.resolve().name, *([words.when(created)] if created else [])])
