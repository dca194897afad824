"""What a training would do, without making a folder: shapes, size of the model, baselines, time of an epoch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict

import torch

from lstm_lab.data import Dataset
from lstm_lab.data.loader import Loader
from lstm_lab.experiment import Experiment
from lstm_lab.training.learner import Learner
from lstm_lab.training.train import build
from lstm_lab.training.transfer import report_lines, start_from

MEASURED_SECONDS = 3.0
"""For how long batches are timed."""
LONG = 60
"""Characters of a value of the data's info that are shown."""


def plan(experiment: Experiment, dataset: Dataset) -> Iterator[str]:
    """Lines: data, one batch, model, metric and baselines on the validation split, and the time that epochs take.

    Batches are timed on the CPU, forward and backward, for a few seconds; the optimiser takes no step.
    """
    torch.set_num_threads(experiment.trainer.num_threads)
    learner = build(experiment, dataset)
    train = Loader(dataset.train, experiment.data.batch_size, seed=experiment.seed, augment=experiment.data.augment)
    yield f"data        {dataset.name}: {len(dataset.train)} training and {len(dataset.validation)} validation samples"
    for name, value in asdict(dataset.info).items():
        if value not in (None, (), 0, ""):
            text = str(value)
            yield f"  {name:<20}{text if len(text) <= LONG else text[: LONG - 3] + '...'}"
    batch = next(iter(train))
    yield f"batch       x {tuple(batch.x.shape)}, y {tuple(batch.y.shape)}, {len(train)} in an epoch"
    parameters = sum(parameter.numel() for parameter in learner.model.parameters())
    yield f"model       {experiment.model.name}: {parameters:,} parameters"
    yield f"metric      {experiment.monitor}, {'least' if experiment.mode == 'min' else 'greatest'} is best"
    taken = start_from(experiment, learner.model, learner.task, dataset.info)
    if taken:
        first, *rest = report_lines(taken["transfer"])
        yield f"transfer    {first}"
        yield from rest
    metric = experiment.task.monitor
    for baseline, row in learner.task.baselines(dataset.train, dataset.validation).items():
        yield f"baseline    {baseline}" + (f": {metric} {row[metric]:.4g}" if metric in row else "")
    seconds, epochs = seconds_per_epoch(learner, train), experiment.trainer.max_epochs
    yield f"time        about {seconds:.2g} s an epoch on this CPU, {seconds * epochs / 60:.2g} min for {epochs} epochs"


def seconds_per_epoch(learner: Learner, train: Loader) -> float:
    """Seconds for the forward and backward passes of an epoch, from as many batches as `MEASURED_SECONDS` allow."""
    learner.train()
    seconds: list[float] = []
    for batch in train:
        start = time.perf_counter()
        learner.task.loss(learner(batch).logits, batch).backward()
        learner.zero_grad()
        seconds.append(time.perf_counter() - start)
        if sum(seconds) > MEASURED_SECONDS:
            break
    # The first batch also pays for what is set up once.
    steady = seconds[1:] or seconds
    return sum(steady) / len(steady) * len(train)
