"""Monte-Carlo dropout: several predictions of one model, each with other values dropped (Gal & Ghahramani 2016)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean

import numpy as np
import torch
from torch import Tensor

from lstm_lab.config import ConfigError
from lstm_lab.data.base import Batch, PredictionRow
from lstm_lab.models.sites import StepKey, keyed_parts
from lstm_lab.models.state import StreamState
from lstm_lab.tasks.base import Task
from lstm_lab.training.learner import Learner

ENDS = (0.05, 0.95)
"""Quantiles of the samples that are shown: of 90 % of them."""


class DropoutSampler:
    """Outputs of a trained learner with dropout: everywhere it acts in training, in the recurrence too.

    Sample k of a sequence has the same masks in batches of any size. Noise that is no dropout stays off.

    Args:
        learner: in evaluation mode; its dropout is switched on.
        samples: S, at least 2.
        seed: of the masks.

    Raises:
        ConfigError: fewer than 2 samples, or a model without dropout.
    """

    def __init__(self, learner: Learner, samples: int, seed: int) -> None:
        if samples < 2:
            raise ConfigError(f"samples={samples}: at least 2 are needed; 50 is usual")
        if learner.task.decodes:
            raise ConfigError(
                f"samples: task '{learner.task.name}' predicts texts, of which there is no mean: leave it out"
            )
        self.parts = [(name, part) for name, part in keyed_parts(learner.model) if part.draws_masks]
        if not self.parts:
            raise ConfigError(
                "samples: the model was trained without dropout, so that all would be equal; leave it out, or train "
                "with model.dropout or a dropout of regularizers"
            )
        for _, part in self.parts:
            part.train()
        self.learner, self.count, self.seed = learner, samples, seed
        self.coverage = Coverage()
        self._first = 0
        self._streams: list[StreamState | None] = [None] * samples

    def sample(self, batch: Batch) -> Tensor:
        """(S, B, ...) logits of the next batch of a split, on the CPU."""
        found = []
        for number in range(self.count):
            for name, part in self.parts:
                part.begin_batch(StepKey(self.seed, number, self._first, 1, len(batch.x)), name)
            self.learner.stream = self._streams[number]
            found.append(self.learner.logits(batch))
            self._streams[number] = self.learner.stream
        self._first += len(batch.x)
        return torch.stack(found)

    def logits(self, batch: Batch) -> Tensor:
        """(B, ...) logits of the mean prediction for the next batch of a split, whose coverage is counted."""
        samples = self.sample(batch)
        self.coverage.update(self.learner.task, samples, batch)
        return self.learner.task.mean_logits(samples)

    def details(self) -> dict[str, object]:
        """Plain values for the record of an evaluation."""
        share = self.coverage.share
        return {"dropout_samples": self.count, **({} if share is None else {"dropout_coverage_90": share})}


def mean_details(details: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """`DropoutSampler.details` of several evaluations with one number of samples: the mean coverage; empty without."""
    shares = [share for each in details if isinstance(share := each.get("dropout_coverage_90"), float)]
    count = details[0].get("dropout_samples")
    return {
        **({} if count is None else {"dropout_samples": count}),
        **({"dropout_coverage_90": mean(shares)} if shares else {}),
    }


def sampled_columns(task: Task) -> list[str]:
    """Names of the values that `sampled_predictions` adds to those of a task."""
    numbers = [name for name in task.prediction_columns if name not in task.text_columns]
    intervals = [f"{name} dropout {end:.0%}" for name in numbers for end in ENDS]
    return [*intervals, *(["entropy"] if task.predicts_classes else [])]


def sampled_predictions(task: Task, samples: Tensor, batch: Batch) -> list[list[PredictionRow]]:
    """The mean prediction for each sequence of a batch, how far the samples are apart, and the entropy of the mean.

    Args:
        samples: (S, B, ...) logits.

    Returns:
        As `Task.predictions`, each row with the values of `sampled_columns` at its end.
    """
    drawn = np.stack([_numbers(task, task.predictions(sample, batch)) for sample in samples])  # (S, rows, columns)
    ends = iter(np.moveaxis(np.quantile(drawn, ENDS, axis=0), 0, -1).reshape(drawn.shape[1], -1).tolist())
    mean = task.predictions(task.mean_logits(samples), batch)
    entropies = iter(_entropy(_numbers(task, mean)).tolist())
    return [
        [[*row, *next(ends), *([next(entropies)] if task.predicts_classes else [])] for row in rows] for rows in mean
    ]


def _entropy(probabilities: np.ndarray) -> np.ndarray:
    """Of each row, in nats."""
    p = np.clip(probabilities, np.finfo(np.float64).tiny, 1.0)
    found: np.ndarray = -(p * np.log(p)).sum(1)
    return found


class Coverage:
    """The share of targets within the middle 90 % of their samples, counted batch by batch."""

    def __init__(self) -> None:
        self.inside = self.count = 0

    def update(self, task: Task, samples: Tensor, batch: Batch) -> None:
        """Add (S, B, ...) logits and the targets of their batch, where a task predicts numbers."""
        found = task.sampled_values(samples, batch)
        if found is not None:
            values, targets = found
            low, high = values.double().quantile(torch.tensor(ENDS, dtype=torch.float64), 0)
            self.inside += int(((low <= targets) & (targets <= high)).sum())
            self.count += targets.numel()

    @property
    def share(self) -> float | None:
        """None where no target was counted."""
        return self.inside / self.count if self.count else None


def _numbers(task: Task, predictions: Sequence[Sequence[PredictionRow]]) -> np.ndarray:
    """(rows, columns) the numbers of predictions."""
    keep = [i for i, name in enumerate(task.prediction_columns) if name not in task.text_columns]
    return np.array([[row[i] for i in keep] for rows in predictions for row in rows], np.float64)
