"""Verbs that look into a trained network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstm_lab.verbs import early
from lstm_lab.verbs.options import Json, echo, echo_json


def explain(
    folder: Annotated[str, typer.Argument(help="A run, or a sweep: then its best trial.")],
    sample: Annotated[
        int | None, typer.Option(help="Number of the validation sample that is shown; default: one of median length.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a network does: how far it remembers, its gates, and which inputs its predictions rest on."""
    early.require_record(folder)
    from lstm_lab.display.console import plain_console
    from lstm_lab.explain.collect import explain as explained
    from lstm_lab.report import write_report
    from lstm_lab.verbs import terminal
    from lstm_lab.workflow import best_run

    run = best_run(Path(folder))
    found = explained(run, sample=sample)
    page = write_report(folder)
    if as_json:
        return echo_json(found.model_dump())
    out = plain_console()
    for table in terminal.explanation(found):
        out.print(table)
    return echo(f"{page}#network")


def diagnose(
    folder: Annotated[str, typer.Argument(help="A run, or a sweep: then its best trial too.")],
    quick: Annotated[bool, typer.Option("--quick", help="By the record alone, without short trainings.")] = False,
    as_json: Json = False,
) -> None:
    """Say what is wrong with a run or a sweep: causes with what was measured, and the overrides to go on with."""
    early.require_record(folder)
    from lstm_lab.diagnosis import diagnose as diagnosed
    from lstm_lab.diagnosis import diagnose_sweep
    from lstm_lab.report import write_report
    from lstm_lab.sweeps.store.record import is_sweep, read_sweep
    from lstm_lab.workflow import best_run

    run = best_run(Path(folder))
    findings = diagnose_sweep(read_sweep(Path(folder))) if is_sweep(Path(folder)) else []
    findings += diagnosed(run, probes=not quick)
    page = write_report(folder)
    if as_json:
        return echo_json([found.model_dump() for found in findings])
    for found in findings:
        echo(f"{found.rule}: {found.evidence}")
        for text in (" ".join(found.action), found.advice, f"cost: {found.cost}" if found.cost else ""):
            if text:
                echo(f"    {text}")
    if not findings:
        return echo(
            "nothing found" + (" in the record; without --quick, short trainings look further" if quick else "")
        )
    return echo(f"{page}#what-to-try-next")
