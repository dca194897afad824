"""Verbs that list what can be configured and what this machine offers."""

from __future__ import annotations

from typing import Annotated

import typer

from lstm_lab.config import ConfigError
from lstm_lab.verbs.known_fields import known
from lstm_lab.verbs.options import Json, echo, echo_json


def list_(as_json: Json = False) -> None:
    """Cells, tasks, data sets, optimisers, schedules, searchers, schedulers."""
    kinds = known().kinds
    if as_json:
        echo_json(kinds)
        return
    for kind, members in kinds.items():
        echo(kind)
        for name, doc in members.items():
            echo(f"  {name:<18} {doc}")


def fields(
    section: Annotated[
        str | None,
        typer.Argument(
            help="experiment, sweep, a section of one (model, model.dropout, searcher), or a kind (data.csv, lstm)."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Fields with their type, default and meaning: of a section, or without one the sections that there are."""
    from dataclasses import asdict

    from lstm_lab.verbs import sections

    found = known()
    if as_json:
        echo_json([asdict(row) for row in sections.select(found, section or "experiment")])
    elif section is None:
        echo(sections.overview(found))
    else:
        from lstm_lab.display.console import plain_console

        plain_console().print(*sections.tables(found, section), sep="\n")


def schema(of: Annotated[str, typer.Argument(help="experiment or sweep.")] = "experiment") -> None:
    """JSON schema of a file, for editors that complete YAML."""
    if of not in ("experiment", "sweep"):
        raise ConfigError(f"{of}: must be experiment or sweep")
    from lstm_lab.sweeps.view.schema import file_schema

    echo_json(file_schema(of))


def doctor(as_json: Json = False) -> None:
    """What this machine offers, and what is missing. Exit code 4 where something would keep it from working."""
    from lstm_lab.doctor import examine

    found = examine()
    if as_json:
        echo_json(found)
        raise SystemExit(4 if found["problems"] else 0)
    for name, value in found["system"].items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {inner}" for key, inner in value.items())
        echo(f"{name:<14} {value}")
    for kind in ("note", "problem"):
        for line in found[f"{kind}s"]:
            echo(f"{kind}: {line}")
    if found["problems"]:
        raise SystemExit(4)
    echo("no problem found")
