"""An experiment: what to train and how, typed, frozen, and checked across its sections."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from lstm_lab import config
from lstm_lab.cells import Cell
from lstm_lab.config import Config, ConfigError, DataError, paths
from lstm_lab.config.registry import ManyOf, OneOf, expand_choices
from lstm_lab.config.validation import validate
from lstm_lab.data import Dataset
from lstm_lab.distillation_config import Distillation
from lstm_lab.hyperparameter_schedule import HyperparameterSchedule, check_schedule
from lstm_lab.models import Model, SequenceModel
from lstm_lab.optimizers import Averaging, Optimizer, Schedule
from lstm_lab.optimizers.adam import Adam
from lstm_lab.optimizers.averaging.none import NoAveraging
from lstm_lab.optimizers.schedules.constant import Constant
from lstm_lab.records import files
from lstm_lab.records.run import Run
from lstm_lab.regularizers import Regularizer
from lstm_lab.tasks import Task
from lstm_lab.trainer_config import Accelerator as Accelerator
from lstm_lab.trainer_config import Trainer as Trainer
from lstm_lab.transfer_config import Transfer

RARE = ("hyperparameter_schedule", "written_paths")
"""Fields that are left out of a record where they are empty."""


class WrittenPath(Config):
    """A relative path of an experiment, and what it meant where the experiment was started."""

    written: str
    """The relative path."""
    file: str
    """Absolute path of the file or folder."""


class Experiment(Config):
    """Data + model + task + optimiser + trainer + seed. Two equal experiments give equal metrics on one CPU."""

    data: Annotated[Dataset.Config, OneOf(Dataset)]
    """The data set."""
    task: Annotated[Task.Config, OneOf(Task)]
    """What is predicted: head, loss and metrics."""
    model: Annotated[Model.Config, OneOf(Model, default="sequence")] = SequenceModel.Config()
    """The network."""
    optimizer: Annotated[Optimizer.Config, OneOf(Optimizer, default="adam")] = Adam.Config()
    """The optimiser."""
    schedule: Annotated[Schedule.Config, OneOf(Schedule, default="constant")] = Constant.Config()
    """The learning rate over the steps."""
    averaging: Annotated[Averaging.Config, OneOf(Averaging, default="none")] = NoAveraging.Config()
    """An average of the weights, which is validated and evaluated in their place."""
    regularizers: Annotated[tuple[Regularizer.Config, ...], ManyOf(Regularizer)] = ()
    """What acts against overfitting, besides the model's own dropout and the optimizer's weight decay."""
    transfer: Transfer = Transfer()
    """The run whose weights it starts from, and which layers keep them."""
    distillation: Distillation = Distillation()
    """The runs whose predictions it learns from."""
    trainer: Trainer = Trainer()
    """Settings of the training loop."""
    hyperparameter_schedule: HyperparameterSchedule = ()
    """Hyperparameters that change during training, and at which epochs; best.yaml of a population has that of its
    winner."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of initial weights, order of batches and dropout."""
    written_paths: Annotated[tuple[WrittenPath, ...], Field(strict=False)] = ()
    """What its absolute paths were written as, where that was a relative path; entered when its file is read."""

    @model_validator(mode="after")
    def _sections_fit(self) -> Experiment:
        if not issubclass(self.data.dataset, self.task.owner.accepts):
            dataset = self.data.dataset
            fitting = sorted(name for name, member in Task.members.items() if issubclass(dataset, member.accepts))
            way_out = f"choose {' or '.join(fitting)}" + self.task.owner.data_hint
            raise ValueError(f"task '{self.task.name}' does not go with data '{self.data.name}'; {way_out}")
        self._check_decoding()
        self.task.check(self.data)
        self.distillation.check(self.task)
        self.model.check(self.task, self.data)
        self.trainer.check_steps(self.model.recurrent_steps(self.task, self.data))
        self.optimizer.check_fits(self.schedule, self.averaging)
        self.schedule.check_patience(self.trainer.patience)
        self.schedule.check_select(self.trainer.select)
        for regularizer in self.regularizers:
            regularizer.check_fits(self.model, self.data)
        self._check_validation_is_unused()
        check_schedule(self.hyperparameter_schedule, self.optimizer, self.regularizers)
        for change in self.hyperparameter_schedule:
            try:
                self.at(change.epoch)
            except ConfigError as error:
                raise ValueError(str(error)) from None
        return self

    def _check_validation_is_unused(self) -> None:
        """Raise ValueError where something is chosen by samples of the validation split that are trained on."""
        if not self.data.train_on_validation:
            return
        trainer, where = self.trainer, "data.train_on_validation"
        if trainer.select != "last" or trainer.patience is not None:
            raise ValueError(f"{where}: the validation split is trained on, so that no epoch can be chosen by it: "
                             "write trainer.select: last, trainer.patience: null")  # fmt: skip
        for key, section in (("schedule", self.schedule), ("averaging", self.averaging)):
            if section.owner.observes:
                raise ValueError(f"{where}: {key} '{section.name}' observes the validation split, which is trained on: "
                                 f"choose another {key}")  # fmt: skip

    def refit(self, epochs: int) -> Experiment:
        """The experiment on training and validation split together, for so many epochs of the same schedule.

        Raises:
            ConfigError: its data cannot be trained on so, or something of it is chosen by the validation split.
        """
        refitted = self.with_overrides({
            "data.train_on_validation": True, "trainer.max_epochs": epochs,
            "trainer.schedule_epochs": self.trainer.schedule_epochs or self.trainer.max_epochs,
            "trainer.patience": None, "trainer.min_delta": 0.0, "trainer.select": "last",
        }, "refit")  # fmt: skip
        return refitted.with_known_paths(self.known_paths)

    def _check_decoding(self) -> None:
        """Raise ValueError where one of task and model is about sequences that are written, and the other is not."""
        task, model = self.task, self.model
        if task.owner.decodes and not model.owner.decodes:
            writers = sorted(name for name, member in Model.members.items() if member.decodes)
            raise ValueError(f"task '{task.name}' predicts texts, which model '{model.name}' does not write; set "
                             f"model: {' or '.join(writers)}")  # fmt: skip
        if model.owner.decodes and not task.owner.decodes:
            writing = sorted(name for name, member in Task.members.items() if member.decodes)
            raise ValueError(f"model '{model.name}' writes texts, which task '{task.name}' does not predict; set model:"
                             f" sequence, or task: {' or '.join(writing)}")  # fmt: skip

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
        content = self.model_dump(mode="json")
        return {key: value for key, value in content.items() if value or key not in RARE}

    def at(self, epoch: int) -> Experiment:
        """The experiment with the hyperparameters that hold at an epoch, counted from 0, and without a schedule.

        Raises:
            ConfigError: a value of the schedule is wrong.
        """
        if not self.hyperparameter_schedule:
            return self
        overrides: dict[str, object] = {"hyperparameter_schedule": []}
        for change in self.hyperparameter_schedule:
            if change.epoch <= epoch:
                overrides |= change.overrides
        return validate(Experiment, config.merge(self.dump(), overrides), f"hyperparameter_schedule, epoch {epoch}")

    def next_change(self, epoch: int) -> int | None:
        """The epoch after this one at which hyperparameters change during training; None: there is no further one."""
        epochs = (change.epoch for change in self.hyperparameter_schedule)
        return next((each for each in epochs if epoch < each < self.trainer.max_epochs), None)

    @property
    def known_paths(self) -> dict[str, str]:
        """Absolute path -> the relative one that was written."""
        return {each.file: each.written for each in self.written_paths}

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

    def with_absolute_paths(
        self,
        folders: Sequence[Path] | None = None,
        *,
        typed: Iterable[str] = (),
        must_exist: bool = True,
        trained: bool = False,
    ) -> Experiment:
        """The experiment with every relative path looked up, so that it means the same file from any folder.

        An absolute path that was written as a relative one, and no longer exists, is looked up again.

        Args:
            folders: where relative paths are looked up, in this order; None: as `paths.search_folders()`.
            typed: dotted keys that were written on the command line, where a path is one of the current folder first.
            must_exist: whether a path that is not found is an error; else it stays as it is.
            trained: whether there is a checkpoint, so that what a model only starts from need not exist.

        Raises:
            DataError: there is no such file or folder.
        """
        folders = paths.search_folders() if folders is None else folders
        typed = tuple(typed)
        found: dict[str, tuple[str, str]] = {}
        known = self.known_paths
        for key, value, field in paths.path_fields(self):
            written = known.get(value, value)
            if os.path.isabs(value) and (written == value or os.path.exists(value)):
                continue
            on_command_line = any(f"{key}.".startswith(f"{each}.") for each in typed)
            places = tuple(dict.fromkeys((Path.cwd(), *folders))) if on_command_line else tuple(folders)
            path = paths.find_path(key, written, places)
            if path is not None:
                found[key] = str(path), written
            elif field.required and must_exist and (field.after_training or not trained):
                raise paths.missing_path(key, value, written, places)
        return self._with_paths(found)

    def with_known_paths(self, known_paths: Mapping[str, str]) -> Experiment:
        """The experiment with the absolute paths that another one has for the same relative ones."""
        known = {written: absolute for absolute, written in known_paths.items()}
        found, own = {}, self.known_paths
        for key, value, _ in paths.path_fields(self):
            written = own.get(value, value)
            is_lost = not os.path.isabs(value) or not os.path.exists(value)
            if is_lost and known.get(written, value) != value:
                found[key] = known[written], written
        return self._with_paths(found)

    def with_found_paths(self) -> Experiment:
        """The experiment of a record, with every file that it knows where it is now.

        Raises:
            DataError: a file of it is gone.
        """
        located, folders = self.with_absolute_paths(), paths.search_folders()
        known = located.known_paths
        for absolute, written in located.known_paths.items():
            if not any(os.path.exists(path) for path, name in known.items() if name == written):
                found = paths.find_path("data", written, folders)
                if found is None:
                    raise paths.missing_path("data", absolute, written, folders)
                known[str(found)] = written
        return located.with_written_paths(known)

    def with_written_paths(self, known_paths: Mapping[str, str]) -> Experiment:
        """The experiment with this record of its paths, absolute path -> relative one."""
        written = tuple(WrittenPath(file=absolute, written=relative) for absolute, relative in known_paths.items())
        return self.model_copy(update={"written_paths": written})

    def _with_paths(self, found: Mapping[str, tuple[str, str]]) -> Experiment:
        """With paths replaced: dotted key -> absolute path, and how it was written."""
        if not found:
            return self
        content = config.merge(self.dump(), {key: path for key, (path, _) in found.items()})
        located = validate(Experiment, content, "paths")
        return located.with_written_paths({**self.known_paths, **dict(found.values())})


def load_experiment(path: str | Path, overrides: Iterable[str] = ()) -> Experiment:
    """`conf/x.yaml` and `["optimizer.lr=3e-4", ...]` -> a checked experiment, its paths absolute.

    A relative path is looked up beside the file, in the current folder, then below LSTM_LAB_DATA.

    Raises:
        ConfigError: one line with file, key, value and what to do.
        DataError: a path in it does not exist.
    """
    pairs = config.parse_overrides(overrides)
    content = config.merge(expand_choices(Experiment, config.load(path)), dict(pairs))
    found = validate(Experiment, content, str(path), pairs)
    return found.with_absolute_paths(paths.search_folders(Path(path).parent), typed=dict(pairs))


def recorded_experiment(run: Run, *, needs_data: bool = True) -> Experiment:
    """The experiment of a run, with its files where they are now.

    Args:
        needs_data: whether its files must exist.

    Raises:
        ConfigError: its experiment.yaml was edited into something invalid.
        DataError: a file of it is gone.
    """
    experiment = Experiment.of(run.experiment, str(run.path / files.EXPERIMENT))
    try:
        return experiment.with_absolute_paths(must_exist=needs_data, trained=run.best_checkpoint.is_file())
    except DataError as error:
        raise DataError(f"{run.path}: {error}") from None
