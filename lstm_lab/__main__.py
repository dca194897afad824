"""`lstm-lab` and `python -m lstm_lab`: the verbs in the order that `--help` shows, and how a fault becomes a line."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading

import typer

from lstm_lab.config import Fault, Interrupted
from lstm_lab.startup import lazy_imports
from lstm_lab.verbs import about, data, runs, sweeps, views

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
    help="Tune recurrent networks: train, sweep, evaluate, report.",
)  # fmt: skip
app.command()(runs.train)
app.command()(runs.evaluate)
app.command()(runs.predict)
app.command()(sweeps.sweep)
app.command()(sweeps.resume)
app.command()(sweeps.watch)
app.command()(views.report)
app.command()(views.compare)
app.command()(views.sync)
app.command()(sweeps.convert)
app.command()(views.tui)
app.command("list")(about.list_)
app.command()(about.fields)
app.command()(about.schema)
app.command()(about.doctor)

data_app = typer.Typer(no_args_is_help=True, help="Look at data before training on them.")
app.add_typer(data_app, name="data")
data_app.command()(data.inspect)


def main() -> None:
    """Run a verb; a fault is one line on standard error, and its exit code."""
    try:
        code = app(standalone_mode=False)
    except Interrupted as fault:
        typer.echo(f"lstm-lab: {fault}", err=True)
        code = fault.exit_code
    except Fault as fault:
        typer.echo(f"lstm-lab: {' '.join(str(fault).split())}", err=True)
        code = fault.exit_code
    except KeyboardInterrupt:
        typer.echo("lstm-lab: interrupted", err=True)
        code = Interrupted.exit_code
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        # A usage error of the parser: its sentence, and where the words are explained.
        typer.echo(f"lstm-lab: {error.format_message()}; see lstm-lab --help", err=True)
        code = 2
    sys.exit(code or 0)


def command() -> None:
    """`main`, in a process that has nothing else to do."""
    lazy_imports.install()
    try:
        main()
    except SystemExit as end:
        if any(not thread.daemon and thread is not threading.main_thread() for thread in threading.enumerate()):
            raise
        atexit._run_exitfuncs()
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        # To take torch and Ray apart, object by object, takes up to two seconds; the kernel does it at once.
        os._exit(end.code if isinstance(end.code, int) else 1)


if __name__ == "__main__":
    command()
