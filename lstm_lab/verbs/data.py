"""`lstm-lab data inspect`: what a file contains, before anything is trained on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstm_lab.config import ConfigError
from lstm_lab.verbs.options import Json, check_target, echo, echo_json
from lstm_lab.workflow import read_splits


def inspect(
    file: Annotated[str, typer.Argument(help="CSV, TSV, Parquet, JSON, .npz, .npy, .ts or .txt file, or a folder.")],
    choices: Annotated[
        list[str] | None, typer.Argument(help="Fields of data to set by hand: targets=[load] label=mood")
    ] = None,
    write: Annotated[str | None, typer.Option(help="Experiment file to write, such as conf/my_load.yaml.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file that --write names.")] = False,
    as_json: Json = False,
) -> None:
    """Show what a file contains and what is wrong with it, and write an experiment that trains on it."""
    from lstm_lab.config import DataError, merge, parse_overrides
    from lstm_lab.config.paths import paths_beside
    from lstm_lab.data.inspection import inspect
    from lstm_lab.experiment import Experiment

    check_target(write, force)
    inspection = inspect(file, dict(parse_overrides(choices or ())))
    experiment = Experiment.of(inspection.experiment, f"{file}: its experiment")
    if write is not None:
        inspection.experiment = merge(inspection.experiment, paths_beside(experiment, Path(write).parent))
    error, dataset = None, experiment.data.build()
    try:
        read_splits(dataset)
        inspection.warnings += [note for note in dataset.notes if note not in inspection.warnings]
    except DataError as found:
        error = str(found)
    if as_json:
        echo_json({**inspection.dump(), "error": error})
    else:
        from lstm_lab.data.inspection.terminal import print_inspection

        print_inspection(inspection, error)
    if write is not None:
        if error is not None:
            raise DataError(error)
        try:
            Path(write).parent.mkdir(parents=True, exist_ok=True)
            Path(write).write_text(inspection.yaml(), encoding="utf-8")
        except OSError as failed:
            raise ConfigError(f"--write {write}: cannot be written: {failed.strerror}; choose another name") from None
        echo(f"lstm-lab train {write}", err=as_json)
