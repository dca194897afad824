"""What rules look at: the record of a run, and what is measured only when a rule asks for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch

from lstm_lab.data.base import Batch, Dataset, Split
from lstm_lab.diagnosis.short_training import ShortTrainings
from lstm_lab.evaluation.evaluate import load_weights
from lstm_lab.experiment import Experiment, recorded_experiment
from lstm_lab.explain.collect import explain
from lstm_lab.explain.sampling import evenly
from lstm_lab.records.explanation import Explanation, read_explanation
from lstm_lab.records.files import Row
from lstm_lab.records.run import Run
from lstm_lab.records.run_record import RunRecord, finite, read_run
from lstm_lab.training.learner import Learner
from lstm_lab.training.train import build, check_same_data

SAMPLED = 1024
"""Samples of a split that statistics are taken from, at most."""


class InputStatistics(NamedTuple):
    """Of each input channel over valid steps of a split, as the model reads it: (I,) each."""

    mean: np.ndarray
    std: np.ndarray


class Evidence:
    """Everything that is known of a run. What has to be measured is measured once, when it is first asked for."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @cached_property
    def record(self) -> RunRecord:
        """The run as its folder describes it."""
        return read_run(self.run.path)

    @cached_property
    def experiment(self) -> Experiment:
        """What was trained."""
        return recorded_experiment(self.run)

    @cached_property
    def dataset(self) -> Dataset:
        """The data that it was trained on."""
        dataset: Dataset = self.experiment.data.build()
        check_same_data(self.run, dataset)
        return dataset

    @property
    def rows(self) -> list[Row]:
        """The metric record, one row per epoch."""
        return self.record.rows

    def section(self, name: str) -> Row:
        """A section of the experiment, as plain values."""
        content = self.experiment.dump()[name]
        return dict(content) if isinstance(content, Mapping) else {}

    @property
    def lr(self) -> float:
        """The learning rate."""
        return float(self.section("optimizer")["lr"])

    def curve(self, metric: str) -> list[float]:
        """A metric by epoch, without the epochs where it is not a number."""
        return [row[metric] for row in self.rows if finite(row.get(metric))]

    @property
    def best_epoch(self) -> int | None:
        """Number of the best epoch."""
        return self.record.best["epoch"] if self.record.best else None

    @property
    def scores(self) -> dict[str, float]:
        """Of the best epoch on the validation split; empty where it was not scored."""
        return dict((self.record.about.get("validation") or {}).get("scores") or {})

    @property
    def skills(self) -> dict[str, float]:
        """Baseline -> skill of the model against it on the validation split, where it is defined."""
        known = (self.record.about.get("validation") or {}).get("skill") or {}
        return {name: value for name, value in known.items() if finite(value)}

    @property
    def class_counts(self) -> list[int]:
        """Training samples of each class; empty for other tasks."""
        info = (self.record.about.get("data") or {}).get("info") or {}
        return [int(count) for count in info.get("counts") or ()]

    @property
    def prior_entropy(self) -> float | None:
        """Cross-entropy of predicting the classes' shares, in nats; None for other tasks, and other losses."""
        if self.section("task").get("reduction", "mean") != "mean":
            return None
        total = sum(self.class_counts)
        shares = [count / total for count in self.class_counts if count] if total else []
        return -sum(share * math.log(share) for share in shares) if len(shares) > 1 else None

    @property
    def steps_per_epoch(self) -> float:
        """Optimizer steps of an epoch."""
        return self.rows[-1]["step"] / len(self.rows) if self.rows else 0.0

    @cached_property
    def learner(self) -> Learner:
        """With the weights of the best epoch, in evaluation mode."""
        learner = build(self.experiment, self.dataset).eval()
        load_weights(learner, self.run)
        return learner

    @cached_property
    def explanation(self) -> Explanation:
        """What its network does, computed where it was not yet."""
        known = read_explanation(self.run.path)
        return known if known is not None and known.epoch == self.best_epoch else explain(self.run)

    @cached_property
    def short_trainings(self) -> ShortTrainings:
        """Short trainings from the weights before the first step."""
        return ShortTrainings(self.experiment, self.dataset, self.lr, self.run)

    def sample(self, split: Split) -> Batch:
        """Samples spread evenly over a split."""
        return split.take(torch.tensor(evenly(len(split), SAMPLED)))

    @cached_property
    def train_inputs(self) -> InputStatistics:
        """Of the training split."""
        return self._statistics(self.dataset.train)

    @cached_property
    def validation_inputs(self) -> InputStatistics:
        """Of the validation split."""
        return self._statistics(self.dataset.validation)

    def _statistics(self, split: Split) -> InputStatistics:
        x, lengths = self.learner.task.model_inputs(self.sample(split))
        values = x[torch.arange(x.shape[1]) < lengths.unsqueeze(1)].double()
        return InputStatistics(values.mean(0).numpy(), values.std(0).numpy())

    @property
    def reads_numbers(self) -> bool:
        """Whether its inputs are channels, not tokens."""
        return not self.dataset.tokens
