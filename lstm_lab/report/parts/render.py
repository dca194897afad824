"""Page -> HTML, Markdown or JSON, all with the same content."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from importlib import resources
from typing import Any

from lstm_lab.files import Row
from lstm_lab.files import to_json as to_json_text
from lstm_lab.report.parts.content import Page, Subsection
from lstm_lab.report.parts.tables import FIGURE_SPACE, PUNCTUATION_SPACE, Cell, Table

VERSION = 2
"""Of the JSON: raised when a field is renamed or changes its meaning."""


def to_html(page: Page) -> str:
    """The page as one file, with its style sheet, script and plotly.js inside."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    templates = resources.files(__package__)

    def file(name: str) -> Markup:
        return Markup(templates.joinpath(name).read_text(encoding="utf-8"))

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["script"] = in_script
    template = environment.from_string(templates.joinpath("page.html.jinja").read_text(encoding="utf-8"))
    has_figures = any(subsection.figures for section in page.sections for subsection in section.subsections)
    plotly = Markup(get_plotlyjs()) if has_figures else ""
    return template.render(page=page, style=file("style.css"), script=file("page.js"), plotly=plotly)


def in_script(content: str) -> Any:
    """JSON escaped so that it cannot end the script element it is in."""
    from markupsafe import Markup

    escaped = content.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    json.loads(escaped)
    return Markup(escaped)


def to_dict(page: Page) -> Row:
    """The page as plain values: numbers at full precision beside their text, figures as plotly's JSON."""
    content: Row = {"version": VERSION, **asdict(page)}
    for section in content["sections"]:
        for subsection in section["subsections"]:
            for figure in subsection["figures"]:
                figure["content"] = json.loads(figure["content"])
            for table in subsection["tables"]:
                table["highlighted"] = sorted(table["highlighted"])
            for name in ("text", "tables", "remarks", "figures", "items"):
                subsection[name] = list(subsection[name])
    return content


def to_json(page: Page) -> str:
    """The page as indented JSON."""
    return to_json_text(to_dict(page), indent=1, ensure_ascii=False) + "\n"


def to_markdown(page: Page) -> str:
    """Text and tables; of a figure its title and its content in words."""
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
    lines += [table_to_markdown(table) for table in content.tables]
    lines += [_escaped(text) for text in content.remarks]
    lines += [f"*Figure, {_escaped(figure.title)}.* {_escaped(figure.alt)}" for figure in content.figures]
    if content.code:
        fence = "```" if "```" not in content.code else "`````"
        lines.append(f"{fence}yaml\n{content.code.rstrip()}\n{fence}")
    if content.items:
        lines.append("\n".join(f"- {_escaped(name)}: {_escaped(value)}" for name, value in content.items))
    return lines


def table_to_markdown(table: Table) -> str:
    """A table with its caption, highlighted rows in bold."""

    def line(cells: list[str]) -> str:
        return f"| {' | '.join(cells)} |"

    head = [_escaped(column.name) for column in table.columns]
    alignment = ["---:" if column.numeric else "---" for column in table.columns]
    body = [
        line([f"**{text}**" if index in table.highlighted and text else text for text in map(_cell, cells)])
        for index, cells in enumerate(table.rows)
    ]
    return "\n".join([f"{_escaped(table.caption)}:", "", line(head), line(alignment), *body])


def _cell(cell: Cell) -> str:
    return _escaped(cell.text.rstrip(FIGURE_SPACE + PUNCTUATION_SPACE)).replace("|", "\\|")


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
