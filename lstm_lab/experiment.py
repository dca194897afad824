"""An experiment: what to run, fully typed, frozen, and checked across its sections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from lstm_lab import config
from lstm_lab.config import Config, Count
from lstm_lab.data import Dataset
from lstm_lab.models import Model, SequenceModel
from lstm_lab.optimizers import Optimizer, Schedule
from lstm_lab.optimizers.adam import Adam
from lstm_lab.optimizers.schedules.constant import Constant
from lstm_lab.registry import Choice, Named, expand_choices
from lstm_lab.tasks import Task
from lstm_lab.validation import validate


class Trainer(Config):
    """How long, how steadily, and on what."""

    max_epochs: Count = 50
    """Epochs at most."""
    patience: Count | None = 10
    """Epochs without improvement of the deciding metric before training stops; null: never."""
    gradient_clip_val: Annotated[float, Field(gt=0.0)] | None = 1.0
    """Largest norm of the gradient; null: unclipped."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Where tensors live; `auto` takes a GPU if there is one."""
    precision: Literal["32", "bf16-mixed", "16-mixed"] = "32"
    """Arithmetic of the forward and backward pass."""
    num_threads: Count = 1
    """CPU threads: part of the experiment, because sums over more threads round differently."""


class Experiment(Config):
    """Data + model + task + optimiser + trainer + seed. Two equal experiments give equal metrics on one CPU."""

    data: Annotated[Dataset.Config, Choice(Dataset)]
    """Where sequences come from."""
    task: Annotated[Task.Config, Choice(Task)]
    """What is asked of them."""
    model: Annotated[Model.Config, Choice(Model, default="sequence")] = SequenceModel.Config()
    """From sequences to answers."""
    optimizer: Annotated[Named, Choice(Optimizer, default="adam")] = Adam.Config()
    """How the loss goes down."""
    schedule: Annotated[Named, Choice(Schedule, default="constant")] = Constant.Config()
    """What the learning rate does over the steps."""
    trainer: Trainer = Trainer()
    """How long and on what."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of initial weights, order of the batches and dropout."""

    @model_validator(mode="after")
    def _sections_fit(self) -> Experiment:
        if not issubclass(self.data.dataset, self.task.owner.accepts):
            fitting = sorted(
                name for name, member in Task.members.items() if issubclass(self.data.dataset, member.accepts)
            )
            raise ValueError(
                f"task '{self.task.name}' cannot be asked of data '{self.data.name}'; ask {' or '.join(fitting)}"
            )
        self.task.check(self.data)
        self.model.check(self.task, self.data)
        return self

    @property
    def monitor(self) -> str:
        """The deciding metric as it stands in the record: `val/accuracy`."""
        return f"val/{self.task.monitor}"

    @property
    def mode(self) -> Literal["min", "max"]:
        """Which end of the deciding metric is the better one."""
        return self.task.owner.mode_of(self.task.monitor)

    @property
    def tags(self) -> tuple[str, ...]:
        """Names to find its runs by: of the task, the data, the model, and the cell where there is one."""
        cell = getattr(self.model, "cell", None)
        return (self.task.name, self.data.name, self.model.name, *([cell.name] if cell else []))

    def dump(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers; `Experiment.of(e.dump()) == e`."""
        return self.model_dump(mode="json")

    @classmethod
    def of(cls, content: Mapping[str, Any], where: str = "experiment") -> Experiment:
        """From plain content.

        Raises:
            ConfigError: with `where` as the place of the fault.
        """
        return validate(cls, content, where)

    def with_overrides(self, overrides: Mapping[str, Any], where: str = "overrides") -> Experiment:
        """A new experiment: dotted keys replaced, and everything checked again."""
        merged = config.merge(self.dump(), overrides)
        return validate(Experiment, merged, where, overrides.items())


def load_experiment(path: str | Path, overrides: Iterable[str] = ()) -> Experiment:
    """`conf/x.yaml` and `["optimizer.lr=3e-4", ...]` -> a checked experiment.

    Raises:
        ConfigError: in one line, with file, key, value and a way out.
    """
    pairs = config.parse_overrides(overrides)
    content = config.merge(expand_choices(Experiment, config.load(path)), dict(pairs))
    return validate(Experiment, content, str(path), pairs)
