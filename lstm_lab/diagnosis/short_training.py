"""Short trainings with changed settings from the same weights on the same batches: which setting learns faster."""

from __future__ import annotations

import math
from itertools import islice

import pytorch_lightning as pl
import torch

from lstm_lab.config import parse_overrides
from lstm_lab.data.base import Dataset
from lstm_lab.experiment import Experiment
from lstm_lab.explain.sampling import evenly
from lstm_lab.preflight.bare_loop import BareLoop
from lstm_lab.records.run import Run

STEPS, PROBED = 60, 256
"""Optimizer steps of a short training, and training samples that the loss is measured on, at most."""


class ShortTrainings:
    """Trainings of at most 60 steps from the weights that a run began with, each measured once.

    Args:
        lr: learning rate of the experiment.
        run: whose first weights they are.
    """

    def __init__(self, experiment: Experiment, dataset: Dataset, lr: float, run: Run) -> None:
        self.experiment, self.dataset, self.run = experiment, dataset, run
        self.lr = lr
        self.known: dict[tuple[str, ...], float] = {}

    def loss_before(self) -> float:
        """Loss of the first weights."""
        return self._trained((), 0)

    def loss_with(self, *overrides: str) -> float:
        """Loss after the short training, with overrides such as "optimizer.lr=0.01"; infinite where it diverges."""
        return self._trained(overrides, STEPS)

    def loss_at_rate(self, factor: float) -> float:
        """The same with the learning rate times a factor."""
        return self.loss_with(f"optimizer.lr={self.lr * factor!r}")

    def _trained(self, overrides: tuple[str, ...], steps: int) -> float:
        key = (*overrides, str(steps))
        if key not in self.known:
            self.known[key] = self._measure(overrides, steps)
        return self.known[key]

    def _measure(self, overrides: tuple[str, ...], steps: int) -> float:
        changed = self.experiment.with_overrides(dict(parse_overrides(overrides)))
        pl.seed_everything(changed.seed, verbose=False)
        loop = BareLoop(changed, self.dataset, self.run)
        for batch in islice(loop.batches(), steps):
            if not math.isfinite(loop.step(batch)):
                return math.inf
        learner = loop.learner
        learner.eval()
        learner.stream = None
        probe = self.dataset.train.take(torch.tensor(evenly(len(self.dataset.train), PROBED)))
        with torch.inference_mode():
            value = float(learner.task.loss(learner.logits(probe), probe))
        return value if math.isfinite(value) else math.inf
