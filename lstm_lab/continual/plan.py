"""The file of a sequence: an experiment, its stages, and the methods that are compared."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from lstm_lab import config
from lstm_lab.config import Config, ConfigError
from lstm_lab.config.registry import ManyOf, Named, expand_choices
from lstm_lab.config.validation import validate
from lstm_lab.continual.base import Method
from lstm_lab.continual.methods.ewc import EWC
from lstm_lab.continual.methods.joint import Joint
from lstm_lab.continual.methods.naive import Naive
from lstm_lab.continual.methods.replay import Replay
from lstm_lab.experiment import Experiment, load_experiment


class Plan(Config):
    """A sequence of stages, learned one after the other by each method."""

    experiment: Annotated[str, Field(min_length=1)]
    """Experiment file, beside this file, or else from the current folder."""
    stages: Annotated[tuple[dict[str, object], ...], Field(strict=False, min_length=2)]
    """Overrides of the experiment for each stage, as {data.permute_seed: 1}."""
    methods: Annotated[tuple[Named, ...], ManyOf(Method)] = (
        Naive.Config(), Replay.Config(), EWC.Config(), Joint.Config(),
    )  # fmt: skip
    """How a stage is learned: of each method, the sequence is trained with every seed."""
    seeds: Annotated[tuple[int, ...], Field(strict=False, min_length=1)] = (0,)
    """Of the trainings."""
    metric: str | None = None
    """Metric of the matrix; null: the monitored one."""

    @model_validator(mode="after")
    def _only_the_stages_change(self) -> Plan:
        for number, stage in enumerate(self.stages, 1):
            wrong = next((key for key in stage if key == "seed" or key.split(".")[0] in ("transfer", "model")), None)
            if wrong is not None:
                way_out = (
                    "write seeds" if wrong == "seed" else "a stage has the model and the weights of the one before"
                )
                raise ValueError(f"stages: stage {number}: {wrong} cannot change: {way_out}")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds={list(self.seeds)}: name each once")
        return self

    def experiments(self, path: Path) -> list[Experiment]:
        """The experiment of each stage.

        Args:
            path: of the file.
        """
        places = [path.parent / self.experiment, Path(self.experiment)]
        base = load_experiment(next((place for place in places if place.is_file()), places[1]))
        if base.transfer.run is not None:
            raise ConfigError(f"{path}: experiment: transfer.run is set: the first stage starts from random weights; "
                              "leave it out")  # fmt: skip
        return [base.with_overrides(stage, f"{path}: stages: stage {number}").with_absolute_paths(typed=stage)
                for number, stage in enumerate(self.stages, 1)]  # fmt: skip


def load_plan(path: str | Path, overrides: Iterable[str] = ()) -> Plan:
    """A file, with overrides of its fields.

    Raises:
        ConfigError: one line with file, key, value and what to do.
    """
    pairs = config.parse_overrides(overrides)
    return validate(Plan, config.merge(expand_choices(Plan, config.load(path)), dict(pairs)), str(path), pairs)
