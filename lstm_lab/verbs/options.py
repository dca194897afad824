"""Options that several verbs share, and their output as JSON."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated

import typer

from lstm_lab.config import ConfigError
from lstm_lab.display.printable import printable
from lstm_lab.records.files import to_json


class WandbMode(StrEnum):
    """Where W&B runs go."""

    auto = "auto"
    online = "online"
    offline = "offline"
    disabled = "disabled"


class Device(StrEnum):
    """Kind of device."""

    auto = "auto"
    cpu = "cpu"
    gpu = "gpu"


class Form(StrEnum):
    """Forms of a page."""

    html = "html"
    markdown = "markdown"
    json = "json"


class Target(StrEnum):
    """Forms of a page, and a W&B Report."""

    html = "html"
    markdown = "markdown"
    json = "json"
    wandb = "wandb"


def complete_override(incomplete: str) -> list[str]:
    """Words that a shell offers for an override: keys with `=`, and behind `=` the names to choose from."""
    from lstm_lab.verbs.known_fields import known

    rows = known().experiment
    key, equals, start = incomplete.partition("=")
    if not equals:
        return sorted({f"{row.path}=" for row in rows if row.path.startswith(key)})
    types = {row.type for row in rows if row.path == key}
    names = {name for each in types for name in each.rpartition(": ")[2].split(" | ")}
    return sorted(f"{key}={name}" for name in names if name.startswith(start))


Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="key=value, as in optimizer.lr=3e-4 model.cell=gru", autocompletion=complete_override),
]
Name = Annotated[str | None, typer.Option(help="Folder below runs/; a free one is found without it.")]
Wandb = Annotated[WandbMode, typer.Option(help="Where W&B runs go; auto is online with an account, else offline.")]
To = Annotated[Form, typer.Option(help="Format of the page.")]
Address = Annotated[
    str | None,
    typer.Option(help="Ray cluster: host:port, or auto (RAY_ADDRESS, else the one on this machine)."),
]
Storage = Annotated[
    str | None, typer.Option(help="URI that trials write to, as s3://bucket/runs, if the nodes share no disk.")
]
Accelerator = Annotated[
    Device | None,
    typer.Option(help="Device; without it, that of the run's experiment, or the CPU where there is no GPU."),
]
Samples = Annotated[
    int | None,
    typer.Option(help="Predictions with dropout, of which the mean is taken (Monte-Carlo dropout): 50 is usual. "
                      "Without it, one without dropout."),
]  # fmt: skip
Ensemble = Annotated[
    bool, typer.Option("--ensemble", help="Of a sweep, the mean prediction of its best configurations; as --top 5.")
]
Top = Annotated[
    int | None,
    typer.Option(help="Of a sweep, the mean prediction of so many of its best configurations, all their seeds, with "
                      "weights chosen on the validation split."),
]  # fmt: skip
Json = Annotated[bool, typer.Option("--json", help="Plain JSON on standard output.")]


def check_target(write: str | None, force: bool) -> None:
    """Raise ConfigError where the file that --write names exists and may not be overwritten, or --force has none."""
    if force and write is None:
        raise ConfigError("--force has no effect without --write FILE")
    if write is not None and os.path.lexists(write) and not (force and os.path.isfile(write)):
        raise ConfigError(f"{write}: exists already: choose another name, or overwrite it by --force")


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print text as it is, with control characters written as escapes.

    Args:
        err: to standard error.
        nl: with a line end after it.
    """
    typer.echo(printable(text), err=err, nl=nl)


def echo_json(content: object) -> None:
    """Print JSON on standard output."""
    echo(to_json(content, indent=1))
