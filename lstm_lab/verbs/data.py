"""Data, looked at before anything is trained on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstm_lab.config import ConfigError
from lstm_lab.verbs.options import Json, echo_json
from lstm_lab.workflow import read_splits


def inspect(
    file: Annotated[str, typer.Argument(help="CSV, TSV, Parquet, JSONL, .ts or .txt file, or a folder of texts.")],
    choices: Annotated[
        list[str] | None, typer.Argument(help="Fields of data where the guess is wrong: targets=[load] label=mood")
    ] = None,
    write: Annotated[str | None, typer.Option(help="Experiment file to write, as conf/my_load.yaml.")] = None,
    as_json: Json = False,
) -> None:
    """What a file holds, what is wrong with it, and the experiment that trains on it."""
    from lstm_lab.config import DataError, parse_overrides
    from lstm_lab.data.inspection import inspect
    from lstm_lab.experiment import Experiment

    if write is not None and Path(write).exists():
        raise ConfigError(f"{write}: exists already; choose another name")
    look = inspect(file, dict(parse_overrides(choices or ())))
    experiment = Experiment.of(look.experiment, f"{file}: the experiment for it")
    fault = None
    try:
        read_splits(experiment.data.build())
    except DataError as error:
        fault = str(error)
    if as_json:
        echo_json({**look.dump(), "fault": fault})
    else:
        from lstm_lab.data.inspection.shown import shown

        shown(look, fault)
    if write is not None:
        if fault is not None:
            raise DataError(fault)
        Path(write).parent.mkdir(parents=True, exist_ok=True)
        Path(write).write_text(look.yaml(), encoding="utf-8")
        typer.echo(f"lstm-lab train {write}", err=as_json)
