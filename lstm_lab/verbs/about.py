"""Verbs that list what can be configured and what this machine offers."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lstm_lab.config import ConfigError
from lstm_lab.verbs.options import Json, echo, echo_json


def list_(as_json: Json = False) -> None:
    """Cells, tasks, data sets, optimisers, schedules, searchers, schedulers."""
    import inspect

    import lstm_lab.experiment
    import lstm_lab.sweeps.spec  # noqa: F401 - fills the registries
    from lstm_lab.registry import all_kinds

    kinds = {
        kind: {name: (inspect.getdoc(member) or "").split("\n")[0] for name, member in sorted(base.members.items())}
        for kind, base in all_kinds().items()
    }
    if as_json:
        echo_json(kinds)
        return
    for kind, members in kinds.items():
        echo(kind)
        for name, doc in members.items():
            echo(f"  {name:<18} {doc}")


def fields(
    of: Annotated[str, typer.Argument(help="experiment or sweep.")] = "experiment", as_json: Json = False
) -> None:
    """Every field with its type, default and meaning."""
    from dataclasses import asdict

    from lstm_lab.fields import fields as rows

    found = list(rows(_model(of)))
    if as_json:
        echo_json([asdict(row) for row in found])
        return
    for row in found:
        key = f"{row.path} ({row.of})" if row.of else row.path
        echo(f"{key:<36} {row.type:<44} {row.default:<18} {row.doc}")


def schema(of: Annotated[str, typer.Argument(help="experiment or sweep.")] = "experiment") -> None:
    """JSON schema of a file, for editors that complete YAML."""
    _model(of)
    from lstm_lab.sweeps.view.schema import file_schema

    echo_json(file_schema(of))


def doctor(as_json: Json = False) -> None:
    """What this machine offers, and what is missing."""
    from lstm_lab.doctor import examine

    found = examine()
    if as_json:
        echo_json(found)
        return
    for name, value in found["system"].items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {inner}" for key, inner in value.items())
        echo(f"{name:<14} {value}")
    for problem in found["problems"]:
        echo(f"problem: {problem}")
    if not found["problems"]:
        echo("no problem found")


def _model(of: str) -> Any:
    if of == "experiment":
        from lstm_lab.experiment import Experiment

        return Experiment
    if of == "sweep":
        from lstm_lab.sweeps.spec import Sweep

        return Sweep
    raise ConfigError(f"{of}: must be experiment or sweep")
