"""Sections of a sweep file: resources of a trial, budget of the search, confirmation of its best configurations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import Field, model_validator

from lstm_lab.config import Config, Count

if TYPE_CHECKING:  # Records are read without torch.
    from lstm_lab.experiment import Experiment

Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False, min_length=1)]


class Repeat(NamedTuple):
    """What the trials of one configuration differ in."""

    seed: int
    fold: int | None = None
    """Number of the fold of a cross-validation; None: there is none."""

    def __str__(self) -> str:
        return str(self.seed) if self.fold is None else f"{self.seed}, fold {self.fold}"


def repeat_noun(num_seeds: int, *, has_folds: bool) -> str:
    """What the trials of a configuration are called: seed, fold, or trial where there are several of both."""
    if not has_folds:
        return "seed"
    return "fold" if num_seeds == 1 else "trial"


class Resources(Config):
    """What each trial is given."""

    cpus: Annotated[float, Field(gt=0.0)] = 1
    """CPU cores of each worker."""
    gpus: Annotated[float, Field(ge=0.0, le=1.0)] = 0
    """GPU of each worker; 0.25 runs four trials on one, each limited to a quarter of its memory."""
    workers: Count = 1
    """Processes that train one trial together, each on its share of every batch; on several nodes where one is full."""
    halve_batch: bool = False
    """Restart a trial that runs out of memory with half its batch size; otherwise it fails."""

    @model_validator(mode="after")
    def _workers_can_run(self) -> Resources:
        if self.workers > 1 and self.halve_batch:
            raise ValueError(
                f"halve_batch with {self.workers} workers: one that runs out of memory ends them all; set "
                "halve_batch: false, or workers: 1"
            )
        if self.workers > 1 and 0 < self.gpus < 1:
            raise ValueError(
                f"gpus: {self.gpus:g} with {self.workers} workers: workers of one trial cannot share a GPU; write "
                "gpus: 1, or workers: 1"
            )
        return self

    def check(self, experiment: Experiment) -> None:
        """Raise ValueError where an experiment cannot be trained so."""
        if self.workers > 1 and experiment.hyperparameter_schedule:
            raise ValueError(
                f"resources.workers: {self.workers} with experiment.hyperparameter_schedule: hyperparameters change "
                "in one process; write workers: 1"
            )


class Budget(Config):
    """Limits of the search; the first that is reached ends it. Confirmation is not counted."""

    trials: Count | None = None
    """Trials, rounded down to whole configurations: each is trained with all of its seeds."""
    epochs: Count | None = None
    """Epochs over all trials; running trials complete their epoch."""
    minutes: Annotated[float, Field(gt=0.0)] | None = None
    """Wall-clock time, summed over interruptions."""

    @model_validator(mode="after")
    def _has_a_limit(self) -> Budget:
        if self.trials is self.epochs is self.minutes is None:
            raise ValueError("give trials, epochs or minutes, or leave budget out")
        return self


class Confirm(Config):
    """More seeds for the best configurations of the search, trained to completion, before the winner is chosen."""

    top: Count = 3
    """How many configurations."""
    seeds: Seeds = (0, 1, 2)
    """Seeds of each; a trial of the search that was trained to completion with one of them counts."""
