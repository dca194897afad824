"""An experiment: what to train and how, typed, frozen, and checked across its sections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from lstm_lab import config
from lstm_lab.cells import Cell
from lstm_lab.config import Config, Count
from lstm_lab.data import Dataset
from lstm_lab.models import Model, SequenceModel
from lstm_lab.optimizers import Optimizer, Schedule
from lstm_lab.optimizers.adam import Adam
from lstm_lab.optimizers.schedules.constant import Constant
from lstm_lab.registry import Named, OneOf, expand_choices
from lstm_lab.tasks import Task
from lstm_lab.validation import validate


class Trainer(Config):
    """Settings of the training loop."""

    max_epochs: Count = 50
    """Epochs at most."""
    patience: Count | None = 10
    """Epochs without improvement of the monitored metric before training stops early; null: never."""
    gradient_clip_val: Annotated[float, Field(gt=0.0)] | None = 1.0
    """Maximum norm of the gradient; null: not clipped."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Device; `auto` is a GPU if there is one."""
    precision: Literal["32", "bf16-mixed", "16-mixed"] = "32"
    """Floating-point precision of the forward and backward pass."""
    num_threads: Count = 1
    """CPU threads: part of the experiment, because sums over more threads are rounded differently."""


class Experiment(Config):
    """Data + model + task + optimiser + trainer + seed. Two equal experiments give equal metrics on one CPU."""

    data: Annotated[Dataset.Config, OneOf(Dataset)]
    """The data set."""
    task: Annotated[Task.Config, OneOf(Task)]
    """What is predicted: head, loss and metrics."""
    model: Annotated[Model.Config, OneOf(Model, default="sequence")] = SequenceModel.Config()
    """The network."""
    optimizer: Annotated[Named, OneOf(Optimizer, default="adam")] = Adam.Config()
    """The optimiser."""
    schedule: Annotated[Named, OneOf(Schedule, default="constant")] = Constant.Config()
    """The learning rate over the steps."""
    trainer: Trainer = Trainer()
    """Settings of the training loop."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of initial weights, order of batches and dropout."""

    @model_validator(mode="after")
    def _sections_fit(self) -> Experiment:
        if not issubclass(self.data.dataset, self.task.owner.accepts):
            dataset = self.data.dataset
            fitting = sorted(name for name, member in Task.members.items() if issubclass(dataset, member.accepts))
            raise ValueError(
                f"task '{self.task.name}' does not go with data '{self.data.name}'; choose {' or '.join(fitting)}"
            )
        self.task.check(self.data)
        self.model.check(self.task, self.data)
        return self

    @property
    def monitor(self) -> str:
        """Column of the monitored metric in the record: `val/accuracy`."""
        return f"val/{self.task.monitor}"

    @property
    def mode(self) -> Literal["min", "max"]:
        """Whether less or more of the monitored metric is better."""
        return self.task.owner.mode_of(self.task.monitor)

    @property
    def tags(self) -> tuple[str, ...]:
        """W&B tags of its runs: the names of task, data, model, and the cell where there is one."""
        cells = (section.name for section in self.model.options().values() if isinstance(section, Cell.Config))
        return (self.task.name, self.data.name, self.model.name, *cells)

    def dump(self) -> dict[str, object]:
        """Plain dicts, lists and numbers; `Experiment.of(e.dump()) == e`."""
        return self.model_dump(mode="json")

    @classmethod
    def of(cls, content: Mapping[str, object], where: str = "experiment") -> Experiment:
        """From plain content.

        Args:
            where: what the content came from, for messages.

        Raises:
            ConfigError: content that is not an experiment.
        """
        return validate(cls, content, where)

    def with_overrides(self, overrides: Mapping[str, object], where: str = "overrides") -> Experiment:
        """A new experiment with dotted keys replaced, and everything checked again.

        Raises:
            ConfigError: a key or a value that is wrong, or sections that do not go together.
        """
        merged = config.merge(self.dump(), overrides)
        return validate(Experiment, merged, where, overrides.items())


def load_experiment(path: str | Path, overrides: Iterable[str] = ()) -> Experiment:
    """`conf/x.yaml` and `["optimizer.lr=3e-4", ...]` -> a checked experiment.

    Raises:
        ConfigError: one line with file, key, value and what to do.
    """
    pairs = config.parse_overrides(overrides)
    content = config.merge(expand_choices(Experiment, config.load(path)), dict(pairs))
    return validate(Experiment, content, str(path), pairs)
