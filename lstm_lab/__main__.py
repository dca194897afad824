"""`lstm-lab` and `python -m lstm_lab`: the verbs in the order of `--help`, and errors as one line and an exit code."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import traceback
import warnings
from typing import Annotated, NoReturn, Protocol, TextIO, runtime_checkable

import typer

from lstm_lab import __version__
from lstm_lab.config import Fault, Interrupted, Notice
from lstm_lab.display.printable import printable
from lstm_lab.startup import lazy_imports
from lstm_lab.sweeps.execution.scratch import remove_leftovers
from lstm_lab.system.disk import explain
from lstm_lab.verbs import about, before, control, data, deploy, learning, runs, sweeps, understanding, views
from lstm_lab.verbs.options import echo

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]},
    help="Tune recurrent networks: train, sweep, evaluate, report.",
)  # fmt: skip


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lstm-lab {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show the traceback of an error too; also behind the command."),
    ] = False,
) -> None:
    """Options of every command; `main` reads --debug."""


app.command()(runs.train)
app.command()(before.find_lr)
app.command()(before.find_batch_size)
app.command()(before.suggest)
app.command()(runs.evaluate)
app.command()(runs.predict)
app.command()(deploy.export)
app.command()(deploy.prune)
app.command()(deploy.stream)
app.command()(understanding.explain)
app.command()(understanding.diagnose)
app.command()(learning.few_shot)
app.command()(learning.continual)
app.command()(sweeps.sweep)
app.command()(sweeps.resume)
app.command()(sweeps.extend)
app.command()(sweeps.watch)
app.command()(sweeps.leaderboard)
app.command()(control.pause)
app.command()(control.stop)
app.command()(control.kill)
app.command()(views.report)
app.command()(views.serve_page)
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


@runtime_checkable
class UsageError(Protocol):
    """An error of typer's parser."""

    def format_message(self) -> str: ...


def main() -> None:
    """Run a verb. A fault becomes one line on standard error, and its exit code."""
    # Of sweeps whose driver was killed: they hold a token, and gigabytes of objects.
    remove_leftovers()
    words = sys.argv[1:]
    is_debugged = "--debug" in words
    try:
        code = app([word for word in words if word != "--debug"], standalone_mode=False)
        if code == Interrupted.exit_code:  # Typer has turned an interrupt into it, and printed nothing.
            echo("lstm-lab: interrupted", err=True)
    except Interrupted as fault:
        echo(f"lstm-lab: {fault}", err=True)
        code = fault.exit_code
    except Fault as fault:
        if is_debugged:
            fault.__suppress_context__ = False
            traceback.print_exception(fault)
        echo(f"lstm-lab: {' '.join(str(fault).split())}", err=True)
        code = fault.exit_code
    except KeyboardInterrupt:
        echo("lstm-lab: interrupted", err=True)
        code = Interrupted.exit_code
    except SystemExit as end:
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        code = 0  # Typer has found standard output closed: whoever read it has seen enough, as `head` does.
    except OSError as error:
        refused = explain(error)
        echo(f"lstm-lab: {refused}", err=True)
        code = refused.exit_code
    except Exception as error:
        if not isinstance(error, UsageError):
            raise
        said = error.format_message().replace(": Value error, ", ": ").removesuffix(".")
        echo(f"lstm-lab: {said}; see lstm-lab --help", err=True)
        code = 2
    sys.exit(code or 0)


def command() -> None:
    """`main`, in a process of its own: with lazy imports, and without tearing down torch and Ray at the end."""
    lazy_imports.install()
    warnings.showwarning = show_warning
    # Registered before the exit handlers of torch, Ray and W&B, so that it runs after them.
    atexit.register(exit_at_once)
    try:
        main()
    except SystemExit as end:
        _Exit.code = end.code if isinstance(end.code, int) else 1
        raise


def show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int,
    file: TextIO | None = None, line: str | None = None,
) -> None:  # fmt: skip
    """A notice in one line on standard error; any other warning as Python writes it."""
    if issubclass(category, Notice):
        echo(f"lstm-lab: {' '.join(str(message).split())}", err=True)
    else:
        _show_warning(printable(str(message)), category, filename, lineno, file, line)


_show_warning = warnings.showwarning


class _Exit:
    """The exit code of `command`; that of an exception until it is known."""

    code = 1


def exit_at_once() -> NoReturn:
    """End the process: to delete the objects of torch and Ray one by one takes up to two seconds."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(_Exit.code)


if __name__ == "__main__":
    command()
