"""Page -> HTML, Markdown or JSON, all with the same content."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import resources
from typing import Any

from lstm_lab.records.files import Row
from lstm_lab.records.files import to_json as to_json_text
from lstm_lab.report import fmt
from lstm_lab.report.parts.content import Page, Subsection
from lstm_lab.report.parts.figure_data import figure_data
from lstm_lab.report.parts.figures import Figure
from lstm_lab.report.parts.tables import FIGURE_SPACE, PUNCTUATION_SPACE, Cell, Table

MAX_POINTS = 2000
"""Points of a figure up to which Markdown lists them."""
PIPE = "\\|"
"""A vertical bar within a cell of Markdown."""
VERSION = 2
"""Of the JSON: raised when a field is renamed or changes its meaning."""
STRONG = 0.5
"""Marks from which on a word is bold where there are no colours."""


def to_html(page: Page) -> str:
    """The page as one file, with its style sheet, script and plotly.js inside."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    templates = resources.files(__package__)

    def read(name: str) -> str:
        return templates.joinpath(name).read_text(encoding="utf-8")

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
                              loader=FunctionLoader(read))  # fmt: skip
    environment.filters["script"] = in_script
    template = environment.get_template("page.html.jinja")
    has_figures = any(subsection.figures for section in page.sections for subsection in section.subsections)
    plotly = Markup(get_plotlyjs()) if has_figures else ""
    return template.render(page=page, style=Markup(read("style.css")), script=Markup(read("page.js")), plotly=plotly)


def in_script(content: str) -> Any:
    """JSON escaped so that it cannot end the script element it is in."""
    from markupsafe import Markup

    escaped = content.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    json.loads(escaped)
    return Markup(escaped)


def to_dict(page: Page) -> Row:
    """The page as plain values: numbers at full precision beside their text; of figures plotly's JSON, and what they
    draw as a table."""
    content: Row = {"version": VERSION, **asdict(page)}
    for section, drawn in zip(content["sections"], page.sections, strict=True):
        for subsection, inner in zip(section["subsections"], drawn.subsections, strict=True):
            for figure, whole in zip(subsection["figures"], inner.figures, strict=True):
                figure["content"] = json.loads(figure["content"])
                figure["data"] = asdict(figure_data(whole))
            for table in subsection["tables"]:
                table["highlighted"] = sorted(table["highlighted"])
            for name in ("text", "tables", "remarks", "figures", "items", "marked"):
                subsection[name] = list(subsection[name])
    return content


def to_json(page: Page) -> str:
    """The page as indented JSON."""
    return to_json_text(to_dict(page), indent=1, ensure_ascii=False) + "\n"


def to_markdown(page: Page) -> str:
    """Text and tables, numbers at full precision; of a figure its title, its content in words, and what it draws."""
    summary = page.summary
    lines = [f"# {_escaped(page.title)}", f"*{_escaped(page.subtitle)}*"]
    if page.notice:
        lines.append(f"> {_escaped(page.notice)}")
    lines += ["## Summary", f"**{_escaped(summary.headline)}**"]
    lines.append("\n".join(
        f"- {_escaped(stat.label)}: **{_escaped(stat.value)}**" + (f" ({_escaped(stat.note)})" if stat.note else "")
        for stat in summary.stats
    ))  # fmt: skip
    verdicts = [verdict.text for verdict in summary.verdicts]
    lines += [_escaped(text) for text in (*verdicts, *summary.comparisons, *summary.notes)]
    lines += [f"{_escaped(what)}:\n\n```\n{command}\n```" for what, command in page.commands]
    for section in page.sections:
        lines.append(f"## {_escaped(section.title)}")
        for subsection in section.subsections:
            lines += _subsection(subsection)
    return "\n\n".join(line for line in lines if line) + "\n"


def _subsection(content: Subsection) -> list[str]:
    lines = [f"### {_escaped(content.title)}"] if content.title else []
    lines += [_escaped(text) for text in content.text]
    if content.marked:
        words = [f"**{_escaped(word)}**" if abs(share) >= STRONG else _escaped(word) for word, share in content.marked]
        lines.append(" ".join(words))
    lines += [table_to_markdown(table) for table in content.tables]
    lines += [_escaped(text) for text in content.remarks]
    for figure in content.figures:
        lines += [f"*Figure, {_escaped(figure.title)}.* {_escaped(figure.alt)}", _figure_table(figure)]
    if content.code:
        fence = "```" if "```" not in content.code else "`````"
        lines.append(f"{fence}yaml\n{content.code.rstrip()}\n{fence}")
    if content.items:
        lines.append("\n".join(f"- {_escaped(name)}: {_escaped(value)}" for name, value in content.items))
    return lines


def _figure_table(figure: Figure) -> str:
    data = figure_data(figure)
    if len(data.rows) > MAX_POINTS:
        return f"{len(data.rows):,} points are drawn: `--to json` has them."
    numeric = [not any(isinstance(row[index], str) for row in data.rows) for index in range(len(data.columns))]
    return _grid(data.columns, numeric, [[_escaped(_exact(value)) for value in row] for row in data.rows])


def table_to_markdown(table: Table) -> str:
    """A table with its caption, highlighted rows in bold."""
    body = [
        [f"**{text}**" if index in table.highlighted and text else text for text in map(_cell, cells)]
        for index, cells in enumerate(table.rows)
    ]
    names, numeric = [column.name for column in table.columns], [column.numeric for column in table.columns]
    return f"{_escaped(table.caption)}:\n\n{_grid(names, numeric, body)}"


def _grid(names: Sequence[str], numeric: Sequence[bool], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown; cells are escaped already."""

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cell.replace('|', PIPE) for cell in cells)} |"

    alignment = ["---:" if is_number else "---" for is_number in numeric]
    return "\n".join([line([_escaped(name) for name in names]), line(alignment), *map(line, rows)])


def _cell(cell: Cell) -> str:
    """The number of a cell that shows a rounded one; else its text."""
    text = cell.text.rstrip(FIGURE_SPACE + PUNCTUATION_SPACE)
    is_rounded = isinstance(cell.value, float) and math.isfinite(cell.value) and _is_number(text)
    return _escaped(_exact(cell.value) if is_rounded else text)


def _exact(value: str | float | None) -> str:
    return fmt.MISSING if value is None else value if isinstance(value, str) else repr(value)


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "").replace("−", "-"))
    except ValueError:
        return False
    return True


def _escaped(text: str) -> str:
    """Text on one line in which no character is Markdown's markup."""
    for sign in "\\`*_<>[]":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())


FORMATS: dict[str, tuple[str, Callable[[Page], str]]] = {
    "html": ("report.html", to_html),
    "markdown": ("report.md", to_markdown),
    "json": ("report.json", to_json),
}
"""Format -> file name, and the function that renders a page."""
