"""Page -> HTML, Markdown or JSON: three ways to say the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from importlib import resources
from typing import Any

from lstm_lab.report.parts.spec import Page, Part
from lstm_lab.report.parts.tables import FIGURE_SPACE, POINT_SPACE, Cell, Table

VERSION = 1
"""Of the JSON: raised when a field changes its meaning."""


def as_html(page: Page) -> str:
    """The whole page in one file, with its style, script and plotly.js inside."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    here = resources.files(__package__)

    def part(name: str) -> Markup:
        return Markup(here.joinpath(name).read_text(encoding="utf-8"))

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["script"] = in_script
    template = environment.from_string(here.joinpath("page.html.jinja").read_text(encoding="utf-8"))
    drawn = any(inner.figures for section in page.sections for inner in section.parts)
    plotly = Markup(get_plotlyjs()) if drawn else ""
    return template.render(page=page, style=part("style.css"), script=part("page.js"), plotly=plotly)


def in_script(content: str) -> Any:
    """JSON that cannot end the script element it stands in."""
    from markupsafe import Markup

    escaped = content.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    json.loads(escaped)
    return Markup(escaped)


def as_dict(page: Page) -> dict[str, Any]:
    """Plain values: numbers at full precision beside the text that shows them, figures as plotly's JSON."""
    content: dict[str, Any] = {"version": VERSION, **asdict(page)}
    for section in content["sections"]:
        for part in section["parts"]:
            for figure in part["figures"]:
                figure["content"] = json.loads(figure["content"])
            for table in part["tables"]:
                table["marked"] = sorted(table["marked"])
            for name in ("text", "tables", "after", "figures", "facts"):
                part[name] = list(part[name])
    return content


def as_json(page: Page) -> str:
    return json.dumps(as_dict(page), indent=1, ensure_ascii=False) + "\n"


def as_markdown(page: Page) -> str:
    """Text and tables; of a figure its caption and what it shows in words."""
    answer = page.answer
    lines = [f"# {_escaped(page.title)}", f"*{_escaped(page.about)}*"]
    if page.notice:
        lines.append(f"> {_escaped(page.notice)}")
    lines += ["## Answer", f"**{_escaped(answer.lede)}**"]
    lines.append("\n".join(
        f"- {_escaped(stat.label)}: **{_escaped(stat.value)}**" + (f" ({_escaped(stat.note)})" if stat.note else "")
        for stat in answer.stats
    ))  # fmt: skip
    lines += [_escaped(text) for text in (*(verdict.text for verdict in answer.verdicts), *answer.sure, *answer.notes)]
    lines += [f"{_escaped(what)}:\n\n```\n{command}\n```" for what, command in page.commands]
    for section in page.sections:
        lines.append(f"## {_escaped(section.title)}")
        for part in section.parts:
            lines += _part(part)
    return "\n\n".join(line for line in lines if line) + "\n"


def _part(part: Part) -> list[str]:
    lines = [f"### {_escaped(part.title)}"] if part.title else []
    lines += [_escaped(text) for text in part.text]
    lines += [table_text(table) for table in part.tables]
    lines += [_escaped(text) for text in part.after]
    lines += [f"*Figure, {_escaped(figure.title)}.* {_escaped(figure.alt)}" for figure in part.figures]
    if part.code:
        fence = "```" if "```" not in part.code else "`````"
        lines.append(f"{fence}yaml\n{part.code.rstrip()}\n{fence}")
    if part.facts:
        lines.append("\n".join(f"- {_escaped(name)}: {_escaped(value)}" for name, value in part.facts))
    return lines


def table_text(table: Table) -> str:
    """A table as Markdown has it."""

    def row(cells: list[str]) -> str:
        return f"| {' | '.join(cells)} |"

    heads = [_escaped(column.name) for column in table.columns]
    rule = ["---:" if column.numeric else "---" for column in table.columns]
    body = [
        row([f"**{text}**" if place in table.marked and text else text for text in map(_cell, cells)])
        for place, cells in enumerate(table.rows)
    ]
    return "\n".join([f"{_escaped(table.caption)}:", "", row(heads), row(rule), *body])


def _cell(cell: Cell) -> str:
    return _escaped(cell.text.rstrip(FIGURE_SPACE + POINT_SPACE)).replace("|", "\\|")


def _escaped(text: str) -> str:
    """Text that no reader of Markdown takes for markup, on one line."""
    for sign in "\\`*_<>[]":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())


FORMS: dict[str, tuple[str, Callable[[Page], str]]] = {
    "html": ("report.html", as_html),
    "markdown": ("report.md", as_markdown),
    "json": ("report.json", as_json),
}
"""Name -> file and how it is made."""
