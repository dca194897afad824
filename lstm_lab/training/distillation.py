"""Teachers of a training: trained runs whose predictions are learned beside the targets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data import Dataset
from lstm_lab.data.base import Batch
from lstm_lab.experiment import Experiment
from lstm_lab.models import Model
from lstm_lab.models.base import Output, StatefulModel
from lstm_lab.models.state import StreamState, restore_state, state_tensors
from lstm_lab.records.files import Row
from lstm_lab.tasks import Task
from lstm_lab.training.learner import Learner
from lstm_lab.training.transfer import Source
from lstm_lab.training_step import StepHook

KEY = "distillation.teachers"


class Distillation(StepHook):
    """Adds the distance from the mean prediction of teachers to the loss; nothing of a teacher is trained.

    Args:
        teachers: in evaluation mode.
        task: of the model that learns.
        weight: of the distance.
        temperature: of probabilities.
    """

    def __init__(self, teachers: Sequence[Learner], task: Task, weight: float, temperature: float) -> None:
        self.teachers, self.task, self.weight = list(teachers), task, weight
        self.temperature = temperature if task.soft_targets == "probabilities" else 1.0

    @property
    def adds_to_loss(self) -> bool:
        return self.weight > 0

    def loss(self, model: Model, output: Output, batch: Batch) -> Tensor | None:
        if not self.weight:
            return None
        soft = self.predictions(batch, output.logits.device)
        return self.weight * self.task.distillation_loss(output.logits, soft, batch, self.temperature)

    @torch.no_grad()
    def predictions(self, batch: Batch, device: torch.device) -> Tensor:
        """Logits of the mean prediction of the teachers, each divided by the temperature before."""
        found = [teacher.to(device)(batch).logits / self.temperature for teacher in self.teachers]
        return found[0] if len(found) == 1 else self.task.mean_logits(torch.stack(found))

    def state_dict(self) -> dict[str, object]:
        streams = [teacher.stream for teacher in self.teachers]
        return {"streams": [None if each is None else (state_tensors(each.state), each.ends) for each in streams]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for teacher, stream in zip(self.teachers, state["streams"], strict=True):
            if stream is not None and isinstance(teacher.model, StatefulModel):
                teacher.stream = StreamState(restore_state(stream[0], teacher.model.initial_state(0)), stream[1])


def read_teachers(experiment: Experiment, dataset: Dataset) -> tuple[list[Learner], Row]:
    """The teachers of an experiment, with the weights of their best epochs.

    Returns:
        They, and what run.json records of them.

    Raises:
        ConfigError: there is no such run, none with a checkpoint, or one of another task or other data.
        DataError: its records are damaged.
    """
    teachers, rows = list[Learner](), list[Row]()
    task = experiment.task.build(dataset.info)
    for path in experiment.distillation.teachers:
        source = Source.read(path, KEY)
        _check(source, task, dataset)
        learner = _learner(source)
        teachers.append(learner)
        with source.run.best_checkpoint.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        rows.append({"run": str(source.run.path), "id": source.run.id, "epoch": source.epoch, "sha256": digest})
    return teachers, {"distillation": {"teachers": rows}} if rows else {}


def add_teachers(learner: Learner, experiment: Experiment, dataset: Dataset, known: Row | None = None) -> Row:
    """Let a learner learn from the teachers of its experiment.

    Args:
        known: what its run recorded when its training began.

    Returns:
        What run.json records of them; empty where there are none.

    Raises:
        ConfigError: a teacher is missing, fits not, or is another one than when training began.
    """
    teachers, record = read_teachers(experiment, dataset)
    if not teachers:
        return {}
    before = {row["run"]: row["sha256"] for row in (known or {}).get("teachers", ())}
    for row in record["distillation"]["teachers"]:
        if before.get(row["run"], row["sha256"]) != row["sha256"]:
            raise ConfigError(f"{KEY}: {row['run']}: has other weights than when this training began: train anew")
    chosen = experiment.distillation
    learner.step.add(Distillation(teachers, learner.task, chosen.weight, chosen.temperature))
    return record


def _check(source: Source, task: Task, dataset: Dataset) -> None:
    where = f"{KEY}: {source.run.path}"
    if source.task.name != task.name:
        raise ConfigError(f"{where}: its task is {source.task.name}, not {task.name}")
    if source.run.data["digest"] != dataset.digest or source.info != dataset.info:
        raise ConfigError(f"{where}: was trained on other data ({source.experiment.data.name}), or with another window "
                          f"or other splits: train a teacher with the section data of this experiment")  # fmt: skip
    if source.task.logits_form != task.logits_form:
        raise ConfigError(f"{where}: predicts in another form: give both the same section task")


def _learner(source: Source) -> Learner:
    experiment = source.experiment.at(source.epoch)
    with torch.random.fork_rng(devices=[]):  # Weights that are drawn here change nothing of the training.
        model: Model = experiment.model.build(source.info, source.task)
    try:
        model.load_state_dict(source.weights)
    except RuntimeError:
        raise DataError(
            f"{source.run.best_checkpoint}: holds the weights of another model than its experiment.yaml"
        ) from None
    learner = Learner(model, source.task, experiment.optimizer.build(), experiment.schedule.build())
    learner.requires_grad_(False)
    return learner.eval()
