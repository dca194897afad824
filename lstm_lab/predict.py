"""Answers of a trained run for a file of new data. The run folder is enough: the training file may be gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.base import Batch
from lstm_lab.data.series import SeriesFacts
from lstm_lab.evaluate import load_weights
from lstm_lab.experiment import Experiment
from lstm_lab.run import Run
from lstm_lab.train import build_from


def predict(run: Run, path: str | Path) -> tuple[tuple[str, ...], list[list[float]]]:
    """The rows that follow the end of a file, in the units of the data.

    Args:
        run: trained on a file of the user's own (`data: csv`).
        path: a file with the same columns, at least `window` rows long.

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
    series = experiment.with_overrides({"data.path": str(path)}).data.build().read()
    if len(series.values) < facts.window:
        raise DataError(
            f"{path}: {len(series.values)} rows, but the model looks back on {facts.window}: bring more rows"
        )
    learner = build_from(experiment, facts)
    load_weights(learner, run)
    recent = (series.values[-facts.window :] - np.array(facts.mean)) / np.array(facts.deviation)
    with torch.inference_mode():
        x = torch.from_numpy(recent.astype(np.float32))[None]
        output = learner(Batch(x, torch.tensor([facts.window]), torch.empty(0)))
    return getattr(learner.task, "columns", facts.targets), learner.task.answers(output)[0]


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
