"""Answers of a trained run for a file of new data. The run folder is enough: the training file may be gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from lstm_lab.config import ConfigError
from lstm_lab.data.series import SeriesFacts, recent
from lstm_lab.evaluate import load_weights
from lstm_lab.experiment import Experiment
from lstm_lab.run import Run
from lstm_lab.train import build_from


def predict(run: Run, path: str | Path) -> tuple[tuple[str, ...], list[list[float]]]:
    """The rows that follow the end of a file, in the units of the data.

    Args:
        run: trained on a file of the user's own (`data: csv`).
        path: a file with the same columns, at least `window` rows long; where columns are known ahead, with
            `horizon` rows more, in which only those are read.

    Returns:
        Names of the targets, and `horizon` rows of their values.

    Raises:
        DataError: the file cannot be read, or is too short.
        ConfigError: the run was not trained on a file.
    """
    experiment = Experiment.of(run.experiment, str(run.path / "experiment.yaml"))
    if "path" not in type(experiment.data).model_fields:
        raise ConfigError(
            f"{run.path}: was trained on '{experiment.data.name}', not on a file; predict takes runs on data: csv"
        )
    facts = SeriesFacts(**{key: _tuple(value) for key, value in run.about["data"]["facts"].items()})
    # Rows ahead may leave empty what is not known there.
    gaps = {"data.missing": "mask"} if facts.known else {}
    batch = recent(experiment.with_overrides({"data.path": str(path), **gaps}).data.build().read(), facts)
    learner = build_from(experiment, facts)
    load_weights(learner, run)
    with torch.inference_mode():
        output = learner(batch)
    task: Any = learner.task
    return task.columns, task.answers(output, batch)[0]


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
