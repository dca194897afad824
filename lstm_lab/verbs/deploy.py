"""The verb that writes a trained model for use elsewhere."""

from __future__ import annotations

import csv
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstm_lab.config import DataError
from lstm_lab.records.files import to_json
from lstm_lab.verbs import early
from lstm_lab.verbs.options import Json, Name, Overrides, Wandb, WandbMode, echo, echo_json

if TYPE_CHECKING:
    from lstm_lab.deploy.stream import Step, Stream


class ExportForm(StrEnum):
    """What a model is exported to."""

    onnx = "onnx"
    torch = "torch"
    folder = "folder"


def export(
    folder: Annotated[str, typer.Argument(help="A run, or a sweep: then its best trial.")],
    to: Annotated[ExportForm, typer.Option(help="An ONNX file, a program of torch.export, or a folder with weights, "
                                                "facts, ONNX file and model card.")],
    out: Annotated[str | None, typer.Option(help="File or folder to write; without it, in the run's folder.")] = None,
    length: Annotated[
        int | None, typer.Option(help="Of --to torch, steps of the longest sequence, where the data do not fix it.")
    ] = None,
    state: Annotated[
        bool, typer.Option("--state", help="Of --to onnx, with the state as input and output, to read on from it.")
    ] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="Of --to onnx, with weights of 8 bits: predictions are near.")
    ] = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Write a trained model for use without lstm_lab, and compare it with the run on random batches."""
    early.require_record(folder)
    from lstm_lab.deploy.export import export as write
    from lstm_lab.workflow import best_run

    found = write(best_run(Path(folder)), to.value, out, length, state, int8)
    if as_json:
        echo_json({"path": str(found.path), "difference": found.difference, "notes": list(found.notes)})
        return
    echo(str(found.path))
    for note in found.notes:
        echo(f"  {note}")


def prune(
    folder: Annotated[str, typer.Argument(help="A run, or a sweep: then its best trial.")],
    overrides: Overrides = None,
    units: Annotated[
        float,
        typer.Option(
            help="Share of the units of each layer that remains, as 0.5; or their number, as 32.", show_default=False
        ),
    ] = 0.5,
    finetune: Annotated[int, typer.Option(help="Epochs for which the smaller model is trained further.")] = 5,
    name: Name = None,
    wandb: Wandb = WandbMode.auto,
) -> None:
    """Take away the hidden units whose weights are smallest, and train the smaller model further, as a new run."""
    early.require_record(folder)
    from lstm_lab.deploy.prune import pruned_experiment, record_before
    from lstm_lab.records.provenance import command_line
    from lstm_lab.report import fmt
    from lstm_lab.verbs.runs import train_run
    from lstm_lab.workflow import best_run, create_run

    source = best_run(Path(folder))
    experiment = pruned_experiment(source, units, finetune, overrides or ())
    run, dataset = create_run(experiment, name=name, stem=f"{source.path.name}_pruned", command=command_line())
    monitor = experiment.task.monitor
    of_source = (source.about.get("validation") or {}).get("scores", {}).get(monitor)
    before = record_before(run, experiment, dataset, source)[monitor]
    echo(
        f"{experiment.monitor} {fmt.number(of_source)} with all units, {fmt.number(before)} pruned, before fine-tuning"
    )
    train_run(experiment, run, wandb, dataset)


def stream(
    folder: Annotated[str, typer.Argument(help="A run, or a sweep: then its best trial.")],
    state: Annotated[
        Path | None,
        typer.Option(help="File (.npz) with the state: read at the start where it is there, written at the end."),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="With weights of 8 bits in the cells: answers are near.")
    ] = False,
) -> None:
    """Answer each line of standard input, a step of a sequence, with a line of JSON, the state carried on.

    A step is a JSON list, an object by channel, a row of a CSV (whose first may name the channels), or a token. An
    empty line begins another sequence. A line that is no step ends it with exit code 3.
    """
    early.require_record(folder)
    from lstm_lab.deploy.stream import Stream, load_state, save_state
    from lstm_lab.evaluation.predict import load
    from lstm_lab.workflow import best_run

    found = Stream(load(best_run(Path(folder)), "cpu"), int8)
    if state is not None and state.exists():
        found.restore(load_state(state))
    order: tuple[str, ...] = ()
    try:
        for number, line in enumerate(sys.stdin.buffer, 1):
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if not text:
                found.reset()
                continue
            try:
                if not order and (order := _header(text, found)):
                    continue
                answer = found.step(_step(text, order))
            except (DataError, csv.Error) as fault:
                raise DataError(f"line {number}: {fault}") from None
            sys.stdout.write(to_json(answer) + "\n")
            sys.stdout.flush()
    finally:
        if state is not None:
            save_state(state, found.state())


def _header(text: str, stream: Stream) -> tuple[str, ...]:
    """The names of a row that has those of all channels; empty for any other line."""
    names = tuple(cell.strip() for cell in next(csv.reader([text])))
    return names if stream.channels and sorted(names) == sorted(stream.channels) else ()


def _step(text: str, order: tuple[str, ...]) -> Step:
    """A line as a step.

    Args:
        order: names of the values of a row, by a header; empty: those of the model, in its order.
    """
    if text.lstrip()[:1] in ("[", "{", '"'):
        try:
            found: Step = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{text[:60]!r} is not JSON ({error})") from None
        return found
    cells = next(csv.reader([text]))
    try:
        row = [float(cell) if cell.strip() else float("nan") for cell in cells]
    except ValueError:
        return text  # A token, or no step.
    if not order:
        return int(text) if len(cells) == 1 and text.strip().isdecimal() else row
    if len(row) != len(order):
        raise DataError(f"has {len(row)} fields, but the header {len(order)}")
    return dict(zip(order, row, strict=True))
