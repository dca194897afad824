"""The contract of a method: what the training of a stage has besides the weights of the stage before."""

from __future__ import annotations

from dataclasses import dataclass

from pytorch_lightning.callbacks import Callback

from lstm_lab.config.registry import Named, Registered
from lstm_lab.data.base import Dataset
from lstm_lab.records.run import Run
from lstm_lab.training.learner import Learner


@dataclass(frozen=True)
class Stage:
    """A stage that a model has been trained on."""

    run: Run
    dataset: Dataset


class Method(Registered, kind="continual method"):
    """Built from the fields of its Config, once for each sequence of stages.

    A stage starts from the weights of the one before. What else it has, a method says: other data to train on,
    callbacks, or something to remember once a stage is trained.
    """

    class Config(Named):
        """No choices."""

    starts_from_the_stage_before: bool = True
    """Whether a stage starts from the weights of the one before; else from random ones."""

    def data(self, dataset: Dataset, before: list[Stage]) -> Dataset:
        """The data that a stage is trained on.

        Args:
            dataset: of the stage.
            before: the stages that are trained already.
        """
        return dataset

    def callbacks(self) -> list[Callback]:
        """Of Lightning's Trainer, for the next stage."""
        return []

    def remember(self, stage: Stage, learner: Learner) -> None:
        """Called once a stage is trained, with its best weights."""
