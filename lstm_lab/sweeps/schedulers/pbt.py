"""Population-based training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from lstm_lab.experiment import Experiment
from lstm_lab.records.files import Row
from lstm_lab.regularizers import Regularizer
from lstm_lab.sweeps.schedulers.base import SweepSettings
from lstm_lab.sweeps.schedulers.population import Observation, PopulationScheduler
from lstm_lab.sweeps.space.domains import Overrides
from lstm_lab.sweeps.space.search_space import MAX_ATTEMPTS, SearchSpace


class PBT(PopulationScheduler, name="pbt"):
    """Population-based training (Jaderberg et al. 2017): the worst trials copy and perturb the best.

    All configurations train at the same time. Only hyperparameters that change no shape can be tuned: those of the
    optimizer, dropout of the model, and the gradient clipping.
    """

    class Config(PopulationScheduler.Config):
        resample_probability: Annotated[float, Field(ge=0.0, le=1.0)] = 0.25
        """Probability that a hyperparameter is sampled again instead of perturbed."""

    def __init__(self, perturbation_interval: int, quantile_fraction: float, resample_probability: float) -> None:
        super().__init__(perturbation_interval, quantile_fraction)
        self.resample_probability = resample_probability

    def check(self, sweep: SweepSettings) -> None:
        if len(sweep.seeds) > 1:
            raise ValueError(
                f"seeds: {list(sweep.seeds)}: the trials of {self.name} are one population; write one seed"
            )
        if sweep.learns_from_results:
            raise ValueError(
                f"searcher: all trials of {self.name} start at once, with no results to learn from; write random"
            )
        for key, value in (
            ("confirm", sweep.confirm), ("patience_trials", sweep.patience_trials),
            ("cross_validation", sweep.cross_validation),
        ):  # fmt: skip
            if value is not None:
                raise ValueError(
                    f"{key}: has no meaning for {self.name}, where configurations change during training; leave it out"
                )
        max_epochs = sweep.base.trainer.max_epochs
        if self.perturbation_interval >= max_epochs:
            raise ValueError(
                f"scheduler.perturbation_interval: {self.perturbation_interval} must be below trainer.max_epochs, "
                f"which is {max_epochs}"
            )
        for key, domain in sweep.space.items():
            if domain.when:
                raise ValueError(
                    f"space.{key}: {self.name} changes all hyperparameters of all trials; leave `when` out"
                )
            if not is_mutable(sweep.base, key):
                raise ValueError(
                    f"space.{key}: {self.name} copies weights between trials, and this may change their shape or "
                    "meaning; it takes numbers of the optimizer and of regularizers, model.dropout.* and "
                    "trainer.gradient_clip_val"
                )
        if sweep.num_configurations < 2:
            raise ValueError(
                f"num_samples: {self.name} needs a population of at least 2, got {sweep.num_configurations}"
            )

    def explore(
        self,
        overrides: Overrides,
        search_space: SearchSpace,
        history: Sequence[Observation],
        epochs: int,
        rng: np.random.Generator,
    ) -> Overrides:
        """Each hyperparameter sampled again or perturbed; unchanged where the constraints rule out every attempt."""
        for _ in range(MAX_ATTEMPTS):
            new = {
                key: domain.sample(rng)
                if rng.random() < self.resample_probability
                else domain.perturb(overrides[key], rng)
                for key, domain in search_space.domains.items()
            }
            if search_space.satisfies_constraints(new):
                return {key: new[key] for key in overrides}
        return dict(overrides)


def optimizer_param_group(experiment: Experiment) -> Row:
    """The param_group of torch's optimizer for an experiment, without its parameters."""
    optimizer = experiment.optimizer.build().build_torch([torch.nn.Parameter(torch.zeros(1))])
    return {key: value for key, value in optimizer.param_groups[0].items() if key != "params"}


def is_mutable(experiment: Experiment, key: str) -> bool:
    """Whether a hyperparameter may change during training: no shape depends on it, and the next step uses it."""
    if key == "trainer.gradient_clip_val" or key.startswith("model.dropout."):
        return True
    section, _, name = key.partition(".")
    if section == "regularizers":
        return _is_number_of_regularizer(*name.partition(".")[::2])
    value = experiment.optimizer.options().get(name) if section == "optimizer" else None
    return isinstance(value, float) and optimizer_param_group(experiment).get(name) == value


def _is_number_of_regularizer(name: str, field: str) -> bool:
    """Whether a field of a regularizer is a number: rates, strengths and limits, which the next step uses."""
    if name not in Regularizer.members:
        return False
    schema = Regularizer.members[name].Config.model_json_schema()["properties"].get(field, {})
    return "number" in {schema.get("type"), *(each.get("type") for each in schema.get("anyOf", ()))}
