"""Training steps without a Trainer, a record or a schedule: for commands that look at a training before it starts."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from lstm_lab.data import Dataset
from lstm_lab.data.base import Batch
from lstm_lab.data.loader import Loader
from lstm_lab.experiment import Experiment
from lstm_lab.models.sites import StepKey
from lstm_lab.records.run import Run
from lstm_lab.training.first_weights import build_first


class BareLoop:
    """The steps of an experiment: its model, optimizer, clipping, regularizers and order of batches; no schedule.

    Args:
        run: that was trained so, from whose first weights it begins again; None: it is yet to be trained.
    """

    def __init__(self, experiment: Experiment, dataset: Dataset, run: Run | None = None) -> None:
        torch.set_num_threads(experiment.trainer.num_threads)
        self.learner = build_first(experiment, dataset, run).to(experiment.trainer.device())
        self.learner.step.to(self.learner.device)
        self.learner.train()
        self.optimizer = self.learner.optimizer.for_model(self.learner.model)
        self.clipping, self.seed, self.steps = experiment.trainer.clipping(), experiment.seed, 0
        self.loader = Loader(
            dataset.train, experiment.data.batch_size, seed=experiment.seed, augment=experiment.data.augment
        )

    def batches(self) -> Iterator[Batch]:
        """Those of one epoch after another, without end."""
        while True:
            yield from self.loader

    def step(self, batch: Batch, lr: float | None = None) -> float:
        """Train on a batch; its loss before the step.

        Args:
            lr: instead of the optimizer's.
        """
        batch, step = batch.to(self.learner.device), self.learner.step
        for group in self.optimizer.param_groups:
            group["lr"] = group["lr"] if lr is None else lr
        step.begin(StepKey(self.seed, self.steps))
        loss, _ = step.loss(self.learner(batch), batch)
        self.optimizer.zero_grad()
        loss.backward()
        step.clip(self.clipping, self.optimizer)
        self.optimizer.step()
        step.end()
        self.steps += 1
        return float(loss.detach())
