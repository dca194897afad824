"""Stages trained one after the other, and the model scored on all of them after each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from lstm_lab.config import ConfigError
from lstm_lab.continual.base import Method, Stage
from lstm_lab.continual.plan import Plan
from lstm_lab.continual.scores import over_seeds, summarize
from lstm_lab.data.base import Dataset
from lstm_lab.evaluation.evaluate import load_weights, scores_of
from lstm_lab.experiment import Experiment
from lstm_lab.records import files
from lstm_lab.records.files import Row
from lstm_lab.records.run import Run
from lstm_lab.training.learner import Learner
from lstm_lab.training.train import build, train

RESULT = "continual.json"
"""File of the result, in the folder of the sequences."""


def run_plan(
    plan: Plan,
    experiments: Sequence[Experiment],
    datasets: Sequence[Dataset],
    folder: Path,
    on_stage: Callable[[str], None] | None = None,
) -> Row:
    """Train every sequence of a plan, and write the result.

    Args:
        experiments, datasets: of the stages, checked by `check_alike`.
        folder: empty; each sequence gets a folder of its runs in it.
        on_stage: called with a line about each stage that is trained.

    Returns:
        What the file has: matrices of each method and seed, and their summaries.
    """
    metric = plan.metric or experiments[0].task.monitor
    mode: str = experiments[0].task.owner.mode_of(metric)
    rows: dict[str, Row] = {}
    files.make_folder(folder)
    for config in plan.methods:
        found = []
        for seed in plan.seeds:
            where = folder / f"{config.name}-{seed}"
            sequence = Sequences(experiments, datasets, metric, seed, where)
            found.append(sequence.run(config.build(), config.name, on_stage))
        matrices = [{"seed": seed, "scores": R.tolist(), "random": b.tolist()}
                    for seed, (R, b) in zip(plan.seeds, found, strict=True)]  # fmt: skip
        rows[config.name] = {"sequences": matrices, **over_seeds([summarize(R, b, mode) for R, b in found])}
    result = {"metric": metric, "mode": mode, "split": "validation", "stages": [dict(stage) for stage in plan.stages],
              "methods": rows}  # fmt: skip
    files.write_atomic(folder / RESULT, files.to_json(result, indent=1))
    return result


def check_alike(plan: Plan, experiments: Sequence[Experiment], datasets: Sequence[Dataset]) -> None:
    """Raise ConfigError where the weights of a stage have other shapes, its task predicts other names, or no metric has
    the name."""
    learners = [build(each, dataset) for each, dataset in zip(experiments, datasets, strict=True)]
    first = _form(learners[0])
    for number, learner in enumerate(learners[1:], 2):
        if _form(learner) != first:
            raise ConfigError(f"stages: stage {number}: its model has other inputs, outputs or weights than that of "
                              "stage 1: choose stages with the same channels, classes and task")  # fmt: skip
    known = scores_of(learners[0].eval(), datasets[0].validation, 4 * experiments[0].data.batch_size)[0]
    if plan.metric is not None and plan.metric not in known:
        raise ConfigError(f"metric={plan.metric}: task '{learners[0].task.name}' has {', '.join(known)}")


def _form(learner: Learner) -> object:
    shapes = {name: tuple(weight.shape) for name, weight in learner.model.named_parameters()}
    return shapes, learner.task.name, learner.task.prediction_columns


class Sequences:
    """One sequence of stages.

    Args:
        folder: of its runs.
    """

    def __init__(
        self, experiments: Sequence[Experiment], datasets: Sequence[Dataset], metric: str, seed: int, folder: Path
    ) -> None:
        self.experiments, self.datasets, self.metric, self.seed, self.folder = (
            experiments, datasets, metric, seed, folder,
        )  # fmt: skip

    def run(self, method: Method, name: str, on_stage: Callable[[str], None] | None) -> tuple[np.ndarray, np.ndarray]:
        """Train all stages.

        Returns:
            Scores (T, T), of each stage after each, and those of random weights (T,).
        """
        before: list[Stage] = []
        scores = []
        random = self._scores(build(self._experiment(0, None), self.datasets[0]))
        for i, dataset in enumerate(self.datasets):
            source = before[-1].run.path if before and method.starts_from_the_stage_before else None
            experiment = self._experiment(i, source)
            run = Run.create(self.folder / f"stage-{i + 1}", experiment.dump(), job_type="train", tags=[name])
            train(experiment, run, dataset=method.data(dataset, before), callbacks=method.callbacks())
            learner = build(experiment, dataset)
            load_weights(learner, run)
            stage = Stage(run, dataset)
            method.remember(stage, learner)
            before.append(stage)
            scores.append(self._scores(learner))
            if on_stage is not None:
                on_stage(f"{name}, seed {self.seed}, stage {i + 1}: {self.metric} "
                         + "  ".join(f"{score:.4g}" for score in scores[-1]))  # fmt: skip
        return np.array(scores), np.array(random)

    def _experiment(self, number: int, source: Path | None) -> Experiment:
        changes: dict[str, object] = {"seed": self.seed}
        return self.experiments[number].with_overrides(
            changes if source is None else {**changes, "transfer.run": str(source.resolve())}
        )

    def _scores(self, learner: Learner) -> list[float]:
        """On the validation split of every stage."""
        learner.eval()
        torch.set_num_threads(self.experiments[0].trainer.num_threads)
        found = []
        for experiment, dataset in zip(self.experiments, self.datasets, strict=True):
            found.append(scores_of(learner, dataset.validation, 4 * experiment.data.batch_size)[0][self.metric])
        return found
