"""The sealed test part, opened here and nowhere else, and counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from lstm_lab.checkpointing import epochs_in, read_checkpoint
from lstm_lab.config import ConfigError, DataError
from lstm_lab.data import Dataset
from lstm_lab.data.base import Loader
from lstm_lab.experiment import Experiment
from lstm_lab.learner import Learner
from lstm_lab.run import Run, append_jsonl, now
from lstm_lab.tasks.base import skill
from lstm_lab.train import build


@dataclass(frozen=True)
class Scores:
    """A model beside the baselines, on one part of the data."""

    part: Literal["validation", "test"]
    monitor: str
    """The deciding metric, without a prefix."""
    mode: str
    model: dict[str, float]
    """Metric -> value, `loss` among them."""
    baselines: dict[str, dict[str, float]]
    openings: int
    """How often the test part had been opened by this run, this time included."""

    @property
    def compared(self) -> str:
        """The metric that model and baselines share: the deciding one, or the first where that is the loss."""
        return self.monitor if self.monitor != "loss" else next(name for name in self.model if name != "loss")

    @property
    def skill(self) -> dict[str, float | None]:
        """Share of each baseline's error that the model removes; below 0 the baseline wins."""
        metric, mode = self.compared, "max" if self.compared in self._maximised else "min"
        return {name: skill(self.model[metric], row[metric], mode) for name, row in self.baselines.items()}

    details: dict[str, Any] = field(default_factory=dict)
    """What the model's metrics say beside their numbers: `steps`, the scores at each step ahead of a task that looks
    ahead; `confusion`, classes and counts of a task that asks for classes."""

    _maximised: frozenset[str] = frozenset()

    @property
    def winner(self) -> str | None:
        """The baseline that does better than the model, the best of them; None where the model leads."""
        behind = {name: value for name, value in self.skill.items() if value is not None and value < 0}
        return min(behind, key=lambda name: behind[name]) if behind else None

    def dump(self) -> dict[str, Any]:
        return {
            "part": self.part,
            "metric": self.compared,
            "scores": self.model,
            "baselines": self.baselines,
            "skill": self.skill,
            "winner": self.winner or "model",
            "openings": self.openings,
            **self.details,
        }


def load_weights(learner: Learner, run: Run) -> int:
    """Weights of the best epoch into a learner; returns that epoch. Nothing is unpickled."""
    if not run.best.is_file():
        raise ConfigError(f"{run.path}: has no best.ckpt yet: train at least one epoch")
    content = read_checkpoint(run.best)
    try:
        learner.load_state_dict(content["state_dict"])
    except RuntimeError:
        raise DataError(f"{run.best}: holds the weights of another model than {run.path}/experiment.yaml") from None
    learner.eval()
    return epochs_in(content) - 1


def scores_of(learner: Learner, split: Any, batch_size: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Loss and every metric of a learner over a whole split; and what its metrics say beside them."""
    metrics, total, count = learner.task.metrics(), 0.0, 0
    with torch.inference_mode():
        for batch in Loader(split, batch_size):
            output = learner(batch)
            asked = int(learner.task.num_targets(batch))
            total += float(learner.task.loss(output, batch)) * asked
            count += asked
            metrics.update(output, batch)
    details = getattr(metrics, "details", None)
    whole = {"loss": total / count, **{name: float(value) for name, value in metrics.compute().items()}}
    return whole, details() if callable(details) else {}


def calibrate(learner: Learner, run: Run, dataset: Dataset, batch_size: int, part: str) -> None:
    """What the task learns of the validation part goes into the run's record, and into its scores of the test part."""

    def answered() -> Iterator[tuple[torch.Tensor, Any]]:
        for batch in Loader(dataset.validation, batch_size):
            yield learner(batch), batch

    with torch.inference_mode():
        calibration = learner.task.calibrate(answered())
    if calibration is not None:
        run.describe(calibration=calibration)
        if part == "test":  # On the part that it was learnt of, it would praise itself.
            learner.task.load_calibration(calibration)


def evaluate(run: Run, part: Literal["validation", "test"] = "test", dataset: Dataset | None = None) -> Scores:
    """Score the best epoch of a run, with the baselines beside it.

    Opening the test part is written into the run's tests.jsonl before its scores are returned.

    Raises:
        DataError: the data is not what the run was trained on.
        ConfigError: the run has no checkpoint yet.
    """
    experiment = Experiment.of(run.experiment, str(run.path / "experiment.yaml"))
    torch.set_num_threads(experiment.trainer.num_threads)
    dataset = dataset or experiment.data.build()
    trained_on = run.about["data"]["digest"]
    if dataset.digest != trained_on:
        raise DataError(
            f"{run.path}: was trained on data {trained_on}, but '{experiment.data.name}' is now {dataset.digest}: "
            "bring back the old data or train again"
        )
    learner = build(experiment, dataset)
    epoch = load_weights(learner, run)
    calibrate(learner, run, dataset, 4 * experiment.data.batch_size, part)
    split = dataset.test_split() if part == "test" else dataset.validation
    model, details = scores_of(learner, split, 4 * experiment.data.batch_size)
    scores = Scores(
        part=part,
        monitor=learner.task.monitor,
        mode=learner.task.mode,
        model=model,
        baselines=learner.task.baselines(dataset.train, split),
        openings=len(run.openings()) + (part == "test"),
        details=details,
        _maximised=learner.task.maximised,
    )
    if part == "test":
        append_jsonl(run.path / "tests.jsonl", {"opened": now(), "epoch": epoch, **scores.dump()})
    return scores
