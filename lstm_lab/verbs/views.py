"""Verbs that show records: pages, and W&B's views of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstm_lab.config import ConfigError
from lstm_lab.verbs import early
from lstm_lab.verbs.options import Form, Target, To, echo

OUTCOMES = {
    "uploaded": "uploaded", "unchanged": "already uploaded", "training": "still training", "failed": "failed",
    "skipped": "not uploaded",
}  # fmt: skip
"""Outcome of an upload -> what is printed."""


def report(
    folder: Annotated[str, typer.Argument(help="A run or a sweep.")],
    to: Annotated[Target, typer.Option(help="Format; wandb saves a W&B Report of a sweep.")] = Target.html,
    final: Annotated[bool, typer.Option("--final", help="Save the W&B Report as final instead of a draft.")] = False,
) -> None:
    """Write the report of a run or a sweep from its records."""
    if to is Target.wandb:
        from lstm_lab.report.wandb_report import publish

        return echo(publish(Path(folder), final))
    if final:
        raise ConfigError("--final: needs --to wandb; only W&B Reports can be drafts")
    from lstm_lab.report import write_report

    return echo(str(write_report(Path(folder), to.value)))


def serve_page(
    folder: Annotated[str, typer.Argument(help="A run or a sweep, running or not.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 is a free one.")] = 0,
) -> None:
    """Show a run or sweep in a browser on this machine, refreshed while it runs, with buttons to stop; until Ctrl-C."""
    early.require_record(folder)
    from lstm_lab.records.links import check_links
    from lstm_lab.report.server import LiveServer

    check_links(Path(folder))
    with LiveServer(Path(folder), port) as server:
        echo(f"{server.url}\nCtrl-C ends it.")
        server.serve_forever()


def compare(
    folders: Annotated[list[str] | None, typer.Argument(help="Runs and sweeps, as runs/vowels_cells-1.")] = None,
    from_wandb: Annotated[str | None, typer.Option(help="A folder with offline W&B runs of any code.")] = None,
    metric: Annotated[str | None, typer.Option(help="Metric to compare by; default: the monitored one.")] = None,
    mode: Annotated[str | None, typer.Option(help="min or max, if the records do not say which is better.")] = None,
    to: To = Form.html,
    out: Annotated[str | None, typer.Option(help="File to write; default: compare.html below runs/.")] = None,
) -> None:
    """Compare runs and sweeps on one page, with statistics."""
    from lstm_lab.records.files import runs_folder
    from lstm_lab.report import write_comparison

    if mode not in (None, "min", "max"):
        raise ConfigError(f"--mode {mode}: must be min or max")
    path = Path(out) if out else runs_folder() / f"compare.{'md' if to is Form.markdown else to.value}"
    echo(str(write_comparison(folders or (), path, from_wandb=from_wandb, metric=metric, mode=mode, to=to.value)))


def sync(
    folders: Annotated[list[str] | None, typer.Argument(help="Runs and sweeps; default: all below runs/.")] = None,
) -> None:
    """Upload to W&B the runs that are missing or incomplete there, from their records."""
    from collections import Counter

    from lstm_lab.tracking.upload import sync as upload

    count: Counter[str] = Counter()
    for sent in upload(folders or ()):
        count[sent.outcome] += 1
        if sent.outcome != "unchanged":
            reason = f": {sent.reason}" if sent.reason else ""
            echo(f"{sent.run.path}  {OUTCOMES[sent.outcome]}{reason}")
    outcomes = [f"{number} {OUTCOMES[outcome]}" for outcome, number in count.items()]
    echo(", ".join([f"{sum(count.values())} runs", *outcomes]))
    if count["failed"] or count["skipped"]:
        raise SystemExit(4)


def tui(
    folders: Annotated[list[str] | None, typer.Argument(help="Runs and sweeps; default: all below runs/.")] = None,
) -> None:
    """Browse runs in W&B's terminal viewer, which needs no account."""
    from lstm_lab.tracking.terminal import tui as browse

    raise SystemExit(browse(folders or ()))
