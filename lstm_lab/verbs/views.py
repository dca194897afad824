"""What the record shows: pages, and W&B's view of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstm_lab.config import ConfigError
from lstm_lab.verbs.options import Form, Target, To


def report(
    folder: Annotated[str, typer.Argument(help="A run or a sweep.")],
    to: Annotated[Target, typer.Option(help="What to write; wandb saves a W&B Report of a sweep.")] = Target.html,
    final: Annotated[bool, typer.Option("--final", help="A W&B Report that is no draft.")] = False,
) -> None:
    """Write the page of a run or a sweep from what lies on the disk."""
    if to is Target.wandb:
        from lstm_lab.report.wandb_report import publish

        return typer.echo(publish(Path(folder), final))
    if final:
        raise ConfigError("--final: goes with --to wandb alone: a page is no draft")
    from lstm_lab.report import write_report

    return typer.echo(write_report(Path(folder), to.value))


def compare(
    folders: Annotated[list[str] | None, typer.Argument(help="Runs and sweeps, as runs/vowels_cells-1.")] = None,
    from_wandb: Annotated[str | None, typer.Option(help="A folder with offline W&B runs, of whatever code.")] = None,
    metric: Annotated[str | None, typer.Option(help="Compare by it; without it, by the deciding one.")] = None,
    mode: Annotated[str | None, typer.Option(help="min or max, where the record does not say which is better.")] = None,
    to: To = Form.html,
    out: Annotated[str | None, typer.Option(help="File to write; compare.html below runs/ without it.")] = None,
) -> None:
    """Several runs or sweeps in one page, with statistics."""
    from lstm_lab.files import make_folder, runs_folder
    from lstm_lab.report import write_comparison

    if mode not in (None, "min", "max"):
        raise ConfigError(f"--mode {mode}: must be min or max")
    path = Path(out) if out else runs_folder() / f"compare.{'md' if to is Form.markdown else to.value}"
    make_folder(path.parent)
    typer.echo(write_comparison(folders or (), path, from_wandb=from_wandb, metric=metric, mode=mode, to=to.value))


def sync(
    folders: Annotated[list[str] | None, typer.Argument(help="Runs and sweeps; all below runs/ without any.")] = None,
) -> None:
    """Upload runs to W&B from their record, each whole and once."""
    from collections import Counter

    from lstm_lab.tracking.upload import sync as send

    said = {"sent": "uploaded", "there": "there already", "training": "still training", "failed": "failed",
            "left": "left"}  # fmt: skip
    count: Counter[str] = Counter()
    for sent in send(folders or ()):
        count[sent.outcome] += 1
        if sent.outcome != "there":
            typer.echo(f"{sent.run.path}  {said[sent.outcome]}{': ' if sent.reason else ''}{sent.reason}")
    typer.echo(", ".join([f"{sum(count.values())} runs", *(f"{n} {said[outcome]}" for outcome, n in count.items())]))
    if count["failed"] or count["left"]:
        raise SystemExit(4)


def tui(
    folders: Annotated[list[str] | None, typer.Argument(help="Runs and sweeps; all below runs/ without any.")] = None,
) -> None:
    """Look through runs in W&B's own terminal view, which needs no account."""
    from lstm_lab.tracking.terminal import tui as show

    raise SystemExit(show(folders or ()))
