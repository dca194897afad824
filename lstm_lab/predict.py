"""Answers of a trained run for a file of new data. The run folder is enough: the data it was trained on may be gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from lstm_lab.data import Dataset
from lstm_lab.evaluate import load_weights
from lstm_lab.experiment import Experiment
from lstm_lab.run import Run
from lstm_lab.training import build_from


def predict(run: Run, new: Any) -> tuple[list[str], list[list[Any]]]:
    """What the best epoch of a run answers to a file: of a series, the rows that follow its end, in the units of the
    data; of texts, the label of each.

    Args:
        run: trained on data that take new samples from a file.
        new: a path, or what else the run's data take (a DataFrame, arrays), with the same columns; labels are not
            needed. Of a series, at least `window` rows; where columns are known ahead, `horizon` rows more, in which
            only those are read.

    Returns:
        A header, and rows of as many plain values.

    Raises:
        DataError: the file cannot be read, or is too short.
        ConfigError: the run was trained on data that take none, or has no checkpoint yet.
    """
    experiment = Experiment.of(run.experiment, str(run.path / "experiment.yaml"))
    dataset: Dataset = experiment.data.build()
    info = dataset.restore_info(run.about["data"]["info"])
    batches = dataset.read_new(str(new) if isinstance(new, Path) else new, info)
    torch.set_num_threads(experiment.trainer.num_threads)
    learner = build_from(experiment, info)
    load_weights(learner, run)
    calibration = run.about.get("calibration")
    if calibration is not None:
        learner.task.load_calibration(calibration)
    answers: list[Any] = []
    with torch.inference_mode():
        for batch in batches:
            answers += learner.task.predictions(learner(batch).logits, batch)
    return dataset.prediction_table(answers, info, learner.task.prediction_columns)
