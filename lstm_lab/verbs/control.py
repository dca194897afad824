"""The verbs for a run or sweep that another process executes: pause, stop, kill."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstm_lab.records.requests import Action
from lstm_lab.verbs.options import echo

Folder = Annotated[str, typer.Argument(help="A run or a sweep that another process executes.")]
Trial = Annotated[str | None, typer.Argument(help="A trial of the sweep, as t0003; without it, the whole sweep.")]


def pause(folder: Folder, trial: Trial = None) -> None:
    """Pause a run or sweep that runs elsewhere: its process ends, and resume continues it."""
    _ask(folder, "pause", trial)


def stop(folder: Folder, trial: Trial = None) -> None:
    """Stop a run, a sweep, or one trial: it ends after its epoch, and what there is counts."""
    _ask(folder, "stop", trial)


def kill(folder: Folder, trial: Trial = None) -> None:
    """End a run, a sweep, or one trial at once: what runs is marked as failed and does not count."""
    _ask(folder, "kill", trial)


def _ask(folder: str, action: Action, trial: str | None) -> None:
    from lstm_lab.sweeps.view.requests import ask

    echo(ask(Path(folder), action, trial))
