"""Predictions of a trained run for new data. The run folder is enough: the data it was trained on may be gone."""

from __future__ import annotations

from typing import Any

import torch

from lstm_lab.data import Dataset
from lstm_lab.data.base import Prediction, PredictionTable
from lstm_lab.data.readers.in_memory import NewData
from lstm_lab.evaluate import load_weights
from lstm_lab.experiment import recorded_experiment
from lstm_lab.run import Run
from lstm_lab.training import build_from


def predict(run: Run, new: NewData) -> PredictionTable:
    """Predict new data with the best epoch of a run.

    Args:
        run: trained on data that read new samples.
        new: a path, or what else the run's data take (a DataFrame, arrays, texts), with the same columns; targets are
            not needed. Of a series at least `window` rows; where columns are known ahead, `horizon` rows more, of which
            only those columns are read.

    Returns:
        A header, and rows of plain values: of a series the rows after its end, in the units of the data; of labelled
        samples the class of each.

    Raises:
        DataError: the data cannot be read, or are too short.
        ConfigError: the run was trained on data that read no new samples, or has no checkpoint yet.
    """
    experiment = recorded_experiment(run, needs_data=False)
    dataset: Dataset[Any] = experiment.data.build()
    info = dataset.restore_info(run.about["data"]["info"])
    batches = dataset.read_new(new, info)
    torch.set_num_threads(experiment.trainer.num_threads)
    learner = build_from(experiment, info)
    load_weights(learner, run)
    calibration = run.about.get("calibration")
    if calibration is not None:
        learner.task.load_calibration(calibration)
    predictions: list[Prediction] = []
    with torch.inference_mode():
        for batch in batches:
            predictions += learner.task.predictions(learner(batch).logits, batch)
    return dataset.prediction_table(predictions, info, learner.task.prediction_columns)
