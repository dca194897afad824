"""How long the model of a trained run takes for one sample."""

from __future__ import annotations

import time
from statistics import median

import torch

from lstm_lab.data import Dataset
from lstm_lab.data.base import Batch, Split
from lstm_lab.evaluation.evaluate import load_weights
from lstm_lab.experiment import Experiment
from lstm_lab.records.files import Row
from lstm_lab.records.run import Run
from lstm_lab.training.train import build

WARM_UP, MIN_REPEATS, MAX_REPEATS = 5, 20, 200
"""Forward passes before those that are measured, and how many are."""
MAX_SECONDS = 1.0
"""After which no more than `MIN_REPEATS` are measured."""
MAX_SAMPLES = 1024
"""That the typical length is found among, at equal distances in the split."""


def measure_latency(run: Run, experiment: Experiment, dataset: Dataset) -> Row:
    """Time the forward pass of a run's best epoch for a batch of one, from a sample on the CPU to logits there.

    The sample is the one of median length of the validation split, as it is; the device and the number of threads are
    those of the training. Other processes of the machine make it longer.

    Returns:
        `ms`, the median over `repeats` passes; `steps` of the sample; `device`.
    """
    learner = build(experiment, dataset)
    load_weights(learner, run)
    device = experiment.trainer.device()
    learner.to(device)
    batch = typical_sample(dataset.validation)
    seconds: list[float] = []
    with torch.inference_mode():
        for _ in range(WARM_UP):
            learner.logits(batch)
        end = time.perf_counter() + MAX_SECONDS
        while len(seconds) < MIN_REPEATS or (len(seconds) < MAX_REPEATS and time.perf_counter() < end):
            start = time.perf_counter()
            learner.logits(batch)
            seconds.append(time.perf_counter() - start)
    ms = float(f"{1000 * median(seconds):.4g}")
    return {"ms": ms, "steps": int(batch.lengths[0]), "repeats": len(seconds), "device": device.type}


def typical_sample(split: Split) -> Batch:
    """The sample of median length, as a batch of one."""
    index = torch.linspace(0, len(split) - 1, min(len(split), MAX_SAMPLES), dtype=torch.float64).long()
    order = split.take(index).lengths.argsort(stable=True)
    return split.take(index[order[len(order) // 2]].reshape(1))
