"""Where the points of a sweep come from. A searcher knows nothing of Ray: it is asked, and told what came of it.

Its memory is the sweep's own record, told to it again on resume, and never a pickle.
"""

from __future__ import annotations

import importlib.util
import warnings
from abc import abstractmethod
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from lstm_lab.registry import Named, Registered
from lstm_lab.sweeps.space.domains import Overrides
from lstm_lab.sweeps.space.search_space import SearchSpace


class Searcher(Registered, kind="searcher"):
    """Proposes points one after another."""

    supports_grid: bool = True
    """Whether it can be crossed with exhaustive domains."""

    @classmethod
    def learns(cls, config: Any) -> bool:
        """Whether what it is told changes what it proposes."""
        return False

    def setup(self, region: SearchSpace, num_samples: int, seed: int, mode: str) -> None:
        """Before the first `ask`: where it may go, draws for each grid combination, seed of the draws, min or max."""
        self.search_space, self.num_samples, self.seed, self.mode = region, num_samples, seed, mode
        self.grid_combinations = region.grid()
        self.num_configurations = num_samples * len(self.grid_combinations)

    @abstractmethod
    def ask(self, number: int) -> Overrides:
        """Overrides `number` of `total`, counted from 0."""

    def tell(self, number: int, point: Overrides, value: float | None) -> None:
        """What a point came to, the mean over its seeds; None if all of them failed."""


class Random(Searcher, name="random"):
    """Independent draws. Every grid combination gets the same ones, so that arms are compared in pairs."""

    def ask(self, number: int) -> Overrides:
        draw, combination = divmod(number, len(self.grid_combinations))
        return self.search_space.sample(self.grid_combinations[combination], (self.seed, draw))


class Optuna(Searcher, name="optuna"):
    """A model of the space that proposes where it expects most, as Optuna keeps it."""

    supports_grid = False

    class Config(Named):
        sampler: Literal["tpe", "gp", "cmaes", "random"] = "tpe"
        """Tree-structured Parzen estimator, Gaussian process, CMA evolution strategy, or no model."""
        n_startup_trials: Annotated[int, Field(ge=1)] | None = None
        """Random points before the model of the space decides; null: 10."""

        @model_validator(mode="after")
        def _sampler_is_there(self) -> Optuna.Config:
            needs = {"gp": "scipy", "cmaes": "cmaes"}.get(self.sampler)
            if needs and importlib.util.find_spec(needs) is None:
                raise ValueError(f"sampler {self.sampler} needs the package {needs}: pip install {needs}, or take tpe")
            if self.sampler == "random" and self.n_startup_trials is not None:
                raise ValueError(
                    "n_startup_trials has no meaning for sampler random: every point is random; leave it out"
                )
            return self

    ASKED = 20
    """Proposals of the model that the constraints may refuse before a draw takes its place."""

    def __init__(self, sampler: str, n_startup_trials: int | None) -> None:
        self.sampler, self.n_startup_trials = sampler, n_startup_trials or 10

    @classmethod
    def learns(cls, config: Any) -> bool:
        return config.sampler != "random"

    def setup(self, region: SearchSpace, num_samples: int, seed: int, mode: str) -> None:
        import optuna

        super().setup(region, num_samples, seed, mode)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        make: dict[str, Any] = {
            # Constant liar: points still running are not proposed again by their neighbours.
            "tpe": lambda: optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=self.n_startup_trials, constant_liar=True
            ),
            "gp": lambda: optuna.samplers.GPSampler(seed=seed, n_startup_trials=self.n_startup_trials),
            "cmaes": lambda: optuna.samplers.CmaEsSampler(
                seed=seed, n_startup_trials=self.n_startup_trials, warn_independent_sampling=False
            ),
            "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = make[self.sampler]()
        self.study = optuna.create_study(sampler=sampler, direction="maximize" if mode == "max" else "minimize")
        self._open: dict[int, Any] = {}

    def ask(self, number: int) -> Overrides:
        for attempt in range(self.ASKED + 1):
            if attempt == self.ASKED:
                # The model insists on what is not allowed: a draw inside the constraints shows it the way.
                point = self.search_space.sample({}, (self.seed, number))
                self.study.enqueue_trial(self._parameters(point)[0])
            trial = self.study.ask()
            point = self._propose(trial)
            if self.search_space.satisfies_constraints(point):
                self._open[number] = trial
                return point
            self._fail(trial)
        raise self.search_space.sampling_error({})

    def _propose(self, trial: Any) -> Overrides:
        point: Overrides = {}
        for key in self.search_space.order:
            if self.search_space.is_active(key, point):
                point[key] = self.search_space.domains[key].suggest(key, trial)
        return self.search_space.keep_active({key: point[key] for key in self.search_space.domains if key in point})

    def _parameters(self, point: Overrides) -> tuple[dict[str, Any], dict[str, Any]]:
        """A point as Optuna has it, and the distributions of its keys."""
        parameters, distributions = {}, {}
        for key, value in point.items():
            distributions[key], convert = self.search_space.domains[key].optuna_distribution()
            parameters[key] = convert(value)
        return parameters, distributions

    def _fail(self, trial: Any) -> None:
        import optuna

        self.study.tell(trial, state=optuna.trial.TrialState.FAIL)

    def tell(self, number: int, point: Overrides, value: float | None) -> None:
        import optuna

        trial = self._open.pop(number, None)
        if trial is not None and value is None:
            self._fail(trial)
        elif trial is not None:
            self.study.tell(trial, value)
        elif value is not None:  # asked by an earlier process
            parameters, distributions = self._parameters(point)
            self.study.add_trial(optuna.trial.create_trial(params=parameters, distributions=distributions, value=value))
