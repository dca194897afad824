"""Several trained runs that predict together: the mean of their predictions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

import torch
from torch import Tensor

from lstm_lab.config import ConfigError, canonical_json
from lstm_lab.data import Dataset
from lstm_lab.data.base import Batch, NewSamples, Split
from lstm_lab.data.loader import Loader
from lstm_lab.data.readers.in_memory import NewData
from lstm_lab.evaluation.evaluate import load_weights, open_test_split, scores_of_outputs
from lstm_lab.evaluation.predict import PredictionTable, table_of
from lstm_lab.experiment import Accelerator, recorded_experiment
from lstm_lab.records import links
from lstm_lab.records.run import Run
from lstm_lab.tasks.base import Task
from lstm_lab.training.learner import Learner
from lstm_lab.training.train import build_from, check_same_data

MAX_ROUNDS = 50
"""Of `greedy_weights`: the sum of the weights at most."""


FEWER = "choose fewer configurations with --top, or leave it out"


class Selection(NamedTuple):
    """Weights that were chosen on the validation split."""

    weights: list[int]
    """Of each run; 0: it takes no part."""
    validation: dict[str, float]
    """Metric -> value of the mean prediction there."""
    calibration: object
    """Of the mean prediction, for scores of the test split and predictions; None without any."""


class Ensemble:
    """The mean prediction of several runs.

    Args:
        runs: with the same targets, the best one first.
        weights: natural numbers, how often each prediction counts; None: once.
        calibration: of the mean prediction; None without any.
        accelerator: None: that of the first run's experiment, or the CPU where there is no GPU.
        needs_data: whether the data that they were trained on must be there.

    Raises:
        ConfigError: a run has no checkpoint, or predicts in another form than the first.
        DataError: a folder is damaged.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        weights: Sequence[int] | None = None,
        calibration: object = None,
        accelerator: Accelerator | None = None,
        *,
        needs_data: bool = True,
    ) -> None:
        self.weights = [1] * len(runs) if weights is None else list(weights)
        self.runs, self.learners, datasets = list(runs), list[Learner](), dict[str, Dataset]()
        self.experiments = [recorded_experiment(run, needs_data=needs_data) for run in runs]
        first = self.experiments[0]
        torch.set_num_threads(first.trainer.num_threads)
        self.batch_size = first.data.batch_size
        self.datasets: list[Dataset] = []
        for run, experiment in zip(runs, self.experiments, strict=True):
            config = experiment.data.model_copy(update={"batch_size": self.batch_size, "augment": first.data.augment})
            dataset = datasets.setdefault(canonical_json(config.model_dump(mode="json")), config.build())
            self.datasets.append(dataset)
            learner: Learner = build_from(experiment, dataset.restore_info(run.data["info"]))
            load_weights(learner, run)
            self.learners.append(learner.to(first.trainer.device(accelerator)))
        self.task: Task = first.task.build(self.datasets[0].restore_info(runs[0].data["info"]))
        """Of the mean prediction: its calibration is not that of a run."""
        for run, learner in zip(runs, self.learners, strict=True):
            if learner.task.logits_form != self.task.logits_form:
                raise ConfigError(
                    f"{run.path}: predicts in another form than {runs[0].path} (task.output, classes or targets), so "
                    f"that a mean of both has no meaning: {FEWER}"
                )
        if calibration is not None:
            self.task.load_calibration(calibration)

    def mean(self, logits: Sequence[Tensor]) -> Tensor:
        """The logits (B, ...) of the mean prediction, from those of each run."""
        repeated = [each for each, weight in zip(logits, self.weights, strict=True) for _ in range(weight)]
        return self.task.calibrated(self.task.mean_logits(torch.stack(repeated)))

    def outputs(self, batches: Iterable[Sequence[Batch]]) -> Iterator[tuple[Tensor, Batch]]:
        """The mean prediction for each batch, of which every run has its own form."""
        for each in batches:
            logits = [learner.logits(batch) for learner, batch in zip(self.learners, each, strict=True)]
            yield self.mean(logits), each[0]

    def select(self) -> Selection:
        """Choose the weights on the validation split, and use them.

        Raises:
            DataError: data are not what a run was trained on.
            ConfigError: the validation splits have different targets.
        """
        self._check_data()
        batches = [*self._batches([dataset.validation for dataset in self.datasets])]
        with torch.inference_mode():
            logits = [[learner.logits(each[i]) for i, learner in enumerate(self.learners)] for each in batches]
            pairs = [each[0] for each in batches]
            self.weights = greedy_weights(self.task, logits, pairs)
            outputs = [(self.mean(each), batch) for each, batch in zip(logits, pairs, strict=True)]
            validation, _ = scores_of_outputs(self.task, outputs)
            return Selection(self.weights, validation, self.task.calibrate(outputs))

    def calibrate(self) -> None:
        """Calibrate the mean prediction on the validation split, where the task is to be."""
        with torch.inference_mode():
            found = self.task.calibrate(self.outputs(self._batches([dataset.validation for dataset in self.datasets])))
        if found is not None:
            self.task.load_calibration(found)

    def score_test(self) -> dict[str, float]:
        """Metric -> value of the mean prediction on the test split; whoever calls this records that it was opened."""
        self._check_data()
        with torch.inference_mode():
            batches = self._batches([open_test_split(dataset) for dataset in self.datasets])
            return scores_of_outputs(self.task, self.outputs(batches))[0]

    def read(self, new: NewData, future: NewData | None = None) -> list[tuple[NewSamples, list[Batch]]]:
        """New samples as each run reads them; runs on the same data share them."""
        reads: dict[int, tuple[NewSamples, list[Batch]]] = {}
        for run, dataset in zip(self.runs, self.datasets, strict=True):
            if id(dataset) not in reads:
                info = dataset.restore_info(run.data["info"])
                read = dataset.read_new(new, info) if future is None else dataset.read_with_future(new, future, info)
                reads[id(dataset)] = read, [*read.batches]
        return [reads[id(dataset)] for dataset in self.datasets]

    def predict(self, new: NewData, future: NewData | None = None) -> PredictionTable:
        """The mean prediction for new data, as `evaluation.predict.predict` returns that of a run.

        Raises:
            DataError, ConfigError: as there.
        """
        if self.task.decodes:
            raise ConfigError(f"task '{self.task.name}' predicts texts, which have no mean: predict with a single run")
        reads = self.read(new, future)
        first = reads[0][0]
        for run, (read, _) in zip(self.runs, reads, strict=True):
            if [*map(list, read.keys)] != [*map(list, first.keys)]:
                raise ConfigError(f"{run.path}: predicts other rows of the new data than {self.runs[0].path}: {FEWER}")
        with torch.inference_mode():
            return table_of(self.task, first, self.outputs(zip(*(batches for _, batches in reads), strict=True)))

    def _batches(self, splits: Sequence[Split]) -> Iterator[tuple[Batch, ...]]:
        """The batches of a split, as each run reads it."""
        loaders = {id(split): Loader(split, 4 * self.batch_size) for split in splits}
        places = [[*loaders].index(id(split)) for split in splits]
        for found in zip_longest(*loaders.values()):
            for run, place in zip(self.runs, places, strict=True):
                if not _same_targets(found[place], found[0]):
                    raise ConfigError(f"{run.path}: its samples have other targets than those of {self.runs[0].path} "
                                      f"(data.* differs), so that there is no mean: {FEWER}")  # fmt: skip
            yield tuple(found[place] for place in places)

    def _check_data(self) -> None:
        for run, dataset in zip(self.runs, self.datasets, strict=True):
            links.check_links(run.path)
            check_same_data(run, dataset)


def greedy_weights(task: Task, logits: Sequence[Sequence[Tensor]], batches: Sequence[Batch]) -> list[int]:
    """Weights of the mean prediction by greedy selection with replacement (Caruana et al. 2004).

    The prediction that lowers the loss most is added, again and again, until none does.

    Args:
        logits: of each batch, those of each run.
    """
    count = len(logits[0])
    weights, best = [0] * count, float("inf")
    sizes = [float(task.num_targets(batch)) for batch in batches]
    for _ in range(MAX_ROUNDS):
        losses = []
        for k in range(count):
            tried = [i for i, weight in enumerate(weights) for _ in range(weight + (i == k))]
            means = (task.mean_logits(torch.stack([each[i] for i in tried])) for each in logits)
            parts = (float(task.loss(z, batch)) * n for z, batch, n in zip(means, batches, sizes, strict=True))
            losses.append(sum(parts) / sum(sizes))
        k = min(range(count), key=lambda i: losses[i])
        if not losses[k] < best:
            break
        best = losses[k]
        weights[k] += 1
    # Without a finite loss nothing was chosen: the best run alone.
    return weights if any(weights) else [1, *weights[1:]]


def score_together(runs: Sequence[Run], accelerator: Accelerator | None = None) -> dict[str, float]:
    """Score the plain mean prediction of several runs on the test split, beside the evaluations that count it.

    Args:
        runs: of one experiment, trained with different seeds on the same data, and evaluated already.
        accelerator: as of `evaluate`.
    """
    ensemble = Ensemble(runs, accelerator=accelerator)
    ensemble.calibrate()
    return ensemble.score_test()


def _same_targets(batch: Batch | None, first: Batch | None) -> bool:
    """Whether two batches are of the same samples, by their targets and the scale of these."""
    if batch is None or first is None or batch is first:
        return batch is first
    pairs = ((batch.y, first.y), (batch.scale, first.scale))
    return all(
        a is b if a is None or b is None else a.shape == b.shape and torch.allclose(a, b, equal_nan=True)
        for a, b in pairs
    )
