"""What is checked before a run has a folder: the machine, and the run that it starts from."""

from __future__ import annotations

import os
import sys

import torch

from lstm_lab.config import ConfigError
from lstm_lab.data import Dataset
from lstm_lab.experiment import Experiment
from lstm_lab.training.distillation import read_teachers
from lstm_lab.training.train import build
from lstm_lab.training.transfer import start_from

BYTES_PER_PARAMETER = 8
"""A weight and its gradient, the least that training takes; most optimizers take as much again."""


def check_start(experiment: Experiment, dataset: Dataset) -> None:
    """Raise ConfigError where the machine lacks the device, or the memory that the weights alone need, or where the
    run that a training is to start from has none that fit, or where there is no such teacher."""
    if experiment.trainer.accelerator == "gpu" and not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        raise ConfigError("trainer.accelerator: gpu: torch finds no GPU on this machine: set it to auto or cpu")
    read_teachers(experiment, dataset)
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        with torch.device("meta"):  # Nothing is allocated.
            learner = build(experiment, dataset)
            size = sum(p.numel() for p in learner.parameters())
            start_from(experiment, learner.model, learner.task, dataset.info)
    except RuntimeError as error:
        if "overflow" not in str(error):
            raise
        size = sys.maxsize
    needed = size * BYTES_PER_PARAMETER
    if needed > total:
        raise ConfigError(f"model: {size:,} parameters need {needed / 2**30:,.0f} GiB while they are trained, and this "
                          f"machine has {total / 2**30:,.0f} GiB: make it smaller")  # fmt: skip
