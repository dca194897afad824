"""Evaluation of a trained run. The held-out test split is read here and nowhere else, and each time is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Protocol

import torch

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data import Dataset
from lstm_lab.data.base import Batch, Split
from lstm_lab.data.loader import Loader
from lstm_lab.data.preprocessing.splits import no_test_split
from lstm_lab.evaluation.monte_carlo import DropoutSampler
from lstm_lab.evaluation.predictor import LearnerPredictor
from lstm_lab.experiment import Accelerator, Experiment, recorded_experiment
from lstm_lab.records import links
from lstm_lab.records.run import Run
from lstm_lab.records.scores import Scores, better_elsewhere, compared_metric
from lstm_lab.tasks.base import Outputs, Task
from lstm_lab.training.checkpointing import epochs_in, read_checkpoint
from lstm_lab.training.learner import Learner
from lstm_lab.training.train import build, check_same_data


def load_weights(learner: Learner, run: Run) -> int:
    """Load the weights of the epoch of a run that counts into a learner. Nothing is unpickled.

    Returns:
        That epoch.

    Raises:
        ConfigError: the run has no checkpoint yet.
        DataError: the checkpoint is incomplete, or holds the weights of another model.
    """
    if not run.best_checkpoint.is_file():
        raise ConfigError(f"{run.path}: has no best.ckpt yet: train at least one epoch")
    content = read_checkpoint(run.best_checkpoint)
    try:
        learner.load_state_dict(content["state_dict"])
    except RuntimeError:
        raise DataError(
            f"{run.best_checkpoint}: holds the weights of another model than {run.path}/experiment.yaml"
        ) from None
    learner.eval()
    return epochs_in(content) - 1


def best_experiment(run: Run, *, needs_data: bool = True) -> Experiment:
    """The experiment of a run, with the hyperparameters of its best epoch where they change during training.

    Args:
        needs_data: whether its files must exist.
    """
    experiment = recorded_experiment(run, needs_data=needs_data)
    if experiment.hyperparameter_schedule and run.best_checkpoint.is_file():
        return experiment.at(epochs_in(read_checkpoint(run.best_checkpoint)) - 1)
    return experiment


class MeanPrediction(Protocol):
    """Predictions that are means: over dropout, or over models."""

    def logits(self, batch: Batch) -> torch.Tensor:
        """(B, ...) logits of the mean prediction for the next batch of a split."""

    def details(self) -> dict[str, object]:
        """Plain values for the record of an evaluation."""


def scores_of(
    learner: Learner, split: Split, batch_size: int, sampler: MeanPrediction | None = None
) -> tuple[dict[str, float], dict[str, object]]:
    """Loss and every metric of a learner over a whole split, and the details that its metrics add.

    Args:
        sampler: whose mean predictions are scored; None: those of the learner, without dropout.
    """
    logits_of = learner.logits if sampler is None else sampler.logits
    with torch.inference_mode():
        outputs = ((logits_of(batch), batch) for batch in Loader(split, batch_size))
        whole, details = scores_of_outputs(learner.task, outputs)
    sampled, notes = {} if sampler is None else sampler.details(), details.pop("notes", None)
    return whole, {**details, **sampled, **({"notes": notes} if notes else {})}


def scores_of_outputs(task: Task, outputs: Outputs) -> tuple[dict[str, float], dict[str, object]]:
    """Loss and every metric of logits, and the details that the metrics add.

    Args:
        outputs: of a whole split.
    """
    metrics, total, count = task.metrics(), 0.0, 0.0
    for logits, batch in outputs:
        n = float(task.num_targets(batch))  # Of a forecast with unknown values, a fraction of a sample.
        total += float(task.loss(logits, batch)) * n
        count += n
        metrics.update(logits, batch)
    whole = {"loss": total / count, **{name: float(value) for name, value in metrics.compute().items()}}
    notes = metrics.notes()
    return whole, {**metrics.details(), **({"notes": notes} if notes else {})}


def add_decoded_scores(
    scores: dict[str, float], details: dict[str, object], learner: Learner, split: Split, batch_size: int
) -> None:
    """Add the metrics of what the learner writes for a split, and their details, where its task has any."""
    batches = map(split.take, torch.arange(len(split)).split(batch_size))
    with torch.inference_mode():
        found, more = learner.task.decoded_scores(LearnerPredictor(learner), split, batches)
    scores.update(found)
    details.update(more)


def calibrate(learner: Learner, run: Run, dataset: Dataset, batch_size: int, split: str) -> None:
    """Calibrate the task on the validation split, record the calibration, and use it for scores of the test split."""

    def outputs() -> Iterator[tuple[torch.Tensor, Batch]]:
        for batch in Loader(dataset.validation, batch_size):
            yield learner.logits(batch), batch

    with torch.inference_mode():
        calibration = learner.task.calibrate(outputs())
    if calibration is not None:
        run.describe(calibration=calibration)
        if split == "test":  # On the split that it was fitted to, its scores would be too good.
            learner.task.load_calibration(calibration)


def open_test_split(dataset: Dataset) -> Split:
    """The held-out test split; whoever asks for it has recorded so.

    Raises:
        DataError: there is none.
    """
    return dataset.test_split()


def evaluate(
    run: Run,
    split: Literal["validation", "test"] = "test",
    dataset: Dataset | None = None,
    accelerator: Accelerator | None = None,
    samples: int | None = None,
) -> Scores:
    """Score the best epoch of a run, with the baselines beside it.

    An evaluation on the test split is counted in the run's tests.jsonl before the split is read, so that one that fails
    is counted too; its scores are added when they are known.

    Args:
        dataset: already read, when the caller has it.
        accelerator: None: that of the run's experiment, or the CPU where there is no GPU.
        samples: predictions with dropout, whose mean is scored (Monte-Carlo dropout); None: one without dropout.

    Raises:
        DataError: the data is not what the run was trained on.
        ConfigError: the run has no checkpoint yet.
    """
    links.check_links(run.path)
    experiment = best_experiment(run, needs_data=dataset is None)
    torch.set_num_threads(experiment.trainer.num_threads)
    dataset = dataset or experiment.data.build()
    check_same_data(run, dataset)
    learner = build(experiment, dataset)
    epoch = load_weights(learner, run)
    learner.to(experiment.trainer.device(accelerator))
    if not experiment.data.train_on_validation:  # On what was trained on, a calibration would promise too much.
        calibrate(learner, run, dataset, 4 * experiment.data.batch_size, split)
    sampler = None if samples is None else DropoutSampler(learner, samples, experiment.seed)
    number = len(run.test_evaluations())
    if split == "test":
        if not dataset.has_test_split:
            raise no_test_split(dataset.name)
        number = run.start_test_evaluation(epoch)
    scored = open_test_split(dataset) if split == "test" else dataset.validation
    if not scored.has_targets:
        raise DataError(f"{run.path}: the {split} split has no target to score: provide labels or values there")
    model, details = scores_of(learner, scored, 4 * experiment.data.batch_size, sampler)
    if sampler is None:
        add_decoded_scores(model, details, learner, scored, 4 * experiment.data.batch_size)
    task, baselines = learner.task, learner.task.baselines(dataset.train, scored)
    metric = compared_metric(task.monitor, model, baselines.values())
    if notes := better_elsewhere(metric, model, baselines, task.maximised):
        known = details.get("notes")
        details["notes"] = [*(known if isinstance(known, list) else ()), *notes]
    scores = Scores(
        split=split,
        monitor=task.monitor,
        mode=task.mode,
        model=model,
        baselines=baselines,
        test_evaluations=number,
        details=details,
        maximised=task.maximised,
    )
    if split == "test":
        run.complete_test_evaluation(number, scores.dump())
    return scores
