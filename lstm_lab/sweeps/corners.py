"""What is built before a sweep starts, so that an error is found before Ray starts."""

from __future__ import annotations

import torch

from lstm_lab.data import Dataset
from lstm_lab.sweeps.spec import Sweep
from lstm_lab.training.transfer import start_from


def build_corners(sweep: Sweep, where: str) -> None:
    """Build the model of every corner on the meta device, without memory for its weights, for the data of the sweep,
    and take the weights of the run that it starts from."""
    datasets: dict[Dataset.Config, Dataset] = {}
    for experiment in sweep.corners(where):
        if experiment.data not in datasets:
            datasets[experiment.data] = experiment.data.build()
        info = datasets[experiment.data].info
        task = experiment.task.build(info)
        with torch.device("meta"):
            start_from(experiment, experiment.model.build(info, task), task, info)
