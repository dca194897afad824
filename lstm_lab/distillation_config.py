"""The section `distillation` of an experiment: runs whose predictions it learns from."""

from __future__ import annotations

import os
from typing import Annotated, ClassVar, Protocol

from pydantic import AfterValidator, Field, model_validator

from lstm_lab.config import Config
from lstm_lab.tasks.soft_targets import SoftTargets

TEMPERATURE = 2.0


class _TaskType(Protocol):
    soft_targets: ClassVar[SoftTargets | None]


class _TaskConfig(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def owner(self) -> type[_TaskType]: ...


Folder = Annotated[str, Field(min_length=1), AfterValidator(os.path.abspath)]
"""A relative path is one from the current folder."""


class Distillation(Config):
    """A training that learns from the predictions of other runs beside the targets (Hinton et al. 2015)."""

    teachers: Annotated[tuple[Folder, ...], Field(strict=False)] = ()
    """Folders of the runs, trained on the same data for the same task; of several, the mean prediction is learned."""
    weight: Annotated[float, Field(ge=0.0)] = 1.0
    """Of the distance from the teachers' predictions, which is added to the loss; 0: targets alone."""
    temperature: Annotated[float, Field(gt=0.0)] = TEMPERATURE
    """That divides the logits of model and teachers where these are probabilities, so that small ones count more."""

    @model_validator(mode="after")
    def _check_fields_have_an_effect(self) -> Distillation:
        if not self.teachers and (self.weight != 1.0 or self.temperature != TEMPERATURE):
            key = "weight" if self.weight != 1.0 else "temperature"
            raise ValueError(f"{key}={vars(self)[key]:g} would do nothing: teachers names no run")
        if len(set(self.teachers)) < len(self.teachers):
            raise ValueError("teachers names a run twice; name each once")
        return self

    def check(self, task: _TaskConfig) -> None:
        """Raise ValueError where the task has nothing that one model can teach another."""
        if not self.teachers:
            return
        kind = task.owner.soft_targets
        if kind is None:
            raise ValueError(
                f"distillation.teachers: task '{task.name}' has no predictions to learn from; leave it out"
            )
        if kind == "values" and self.temperature != TEMPERATURE:
            raise ValueError(f"distillation.temperature={self.temperature:g} would do nothing: task '{task.name}' "
                             "predicts values, not probabilities; leave it out")  # fmt: skip
