"""The verb that writes a trained model for use elsewhere."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lstm_lab.verbs import early
from lstm_lab.verbs.options import Json, echo, echo_json


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
    as_json: Json = False,
) -> None:  # fmt: skip
    """Write a trained model for use without lstm_lab, and compare it with the run on random batches."""
    early.require_record(folder)
    from lstm_lab.deploy.export import export as write
    from lstm_lab.workflow import best_run

    found = write(best_run(Path(folder)), to.value, out, length)
    if as_json:
        echo_json({"path": str(found.path), "difference": found.difference, "notes": list(found.notes)})
        return
    echo(str(found.path))
    for note in found.notes:
        echo(f"  {note}")
