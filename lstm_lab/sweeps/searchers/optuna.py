"""The samplers of Optuna as a searcher."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from lstm_lab.config import canonical_json
from lstm_lab.config.registry import Named
from lstm_lab.sweeps.objectives import Criteria, Outcome
from lstm_lab.sweeps.searchers.base import Searcher
from lstm_lab.sweeps.space.domains import Overrides
from lstm_lab.sweeps.space.search_space import SearchSpace
from lstm_lab.sweeps.wandb_format import WandbSearch

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial


class Optuna(Searcher, name="optuna"):
    """A model of the search space that proposes the most promising configurations, by a sampler of Optuna."""

    supports_grid = False
    from_wandb = ("bayes",)
    supports_objectives = True
    takes_first = True

    class Config(Named):
        sampler: Literal["tpe", "gp", "cmaes", "nsga2", "random"] = "tpe"
        """Tree-structured Parzen estimator, Gaussian process, CMA evolution strategy, the genetic algorithm NSGA-II
        (Deb et al. 2002), or no model. tpe, gp and nsga2 take several objectives."""
        n_startup_trials: Annotated[int, Field(ge=1)] | None = None
        """Random configurations before the first proposal of the model; null: 10."""
        population_size: Annotated[int, Field(ge=2)] | None = None
        """Of nsga2, configurations of a generation, the first of which is random; null: 50."""

        @model_validator(mode="after")
        def _package_is_installed(self) -> Optuna.Config:
            package = {"gp": "scipy", "cmaes": "cmaes"}.get(self.sampler)
            if package and importlib.util.find_spec(package) is None:
                raise ValueError(
                    f"sampler {self.sampler} needs the package {package}: pip install {package}, or use tpe"
                )
            if self.sampler in ("random", "nsga2") and self.n_startup_trials is not None:
                raise ValueError(f"n_startup_trials has no effect with sampler {self.sampler}, which has no model; "
                                 "leave it out")  # fmt: skip
            if self.sampler != "nsga2" and self.population_size is not None:
                raise ValueError(f"population_size has no effect with sampler {self.sampler}; write sampler: nsga2, or "
                                 "leave it out")  # fmt: skip
            return self

    MAX_ATTEMPTS = 20
    """Proposals of the model that may violate the constraints before a random configuration replaces them."""

    def __init__(self, sampler: str, n_startup_trials: int | None, population_size: int | None = None) -> None:
        self.sampler, self.n_startup_trials = sampler, n_startup_trials or 10
        self.population_size = population_size or 50

    @property
    def learns_from_results(self) -> bool:
        return self.sampler != "random"

    def check_criteria(self, criteria: Criteria, num_configurations: int) -> None:
        if self.sampler == "cmaes" and criteria.objectives:
            raise ValueError("monitor: sampler cmaes learns from one metric alone; write sampler: tpe, gp or nsga2")
        if self.sampler == "cmaes" and criteria.limits:
            raise ValueError(f"constraints: '{criteria.limits[0].text}': sampler cmaes does not learn which "
                             "configurations keep it; write sampler: tpe, gp or nsga2")  # fmt: skip
        if self.sampler == "nsga2" and num_configurations <= self.population_size:
            raise ValueError(
                f"searcher.population_size: {self.population_size} is the first generation of sampler nsga2, which is "
                f"random, and only {num_configurations} configurations are tried: write a smaller one, or sampler: tpe"
            )

    def setup(self, search_space: SearchSpace, num_samples: int, seed: int, mode: str) -> None:
        import optuna

        super().setup(search_space, num_samples, seed, mode)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        directions = {"min": optuna.study.StudyDirection.MINIMIZE, "max": optuna.study.StudyDirection.MAXIMIZE}
        modes = [each.mode for each in self.criteria.objectives] or [mode]
        self.study = optuna.create_study(sampler=self._sampler(seed), directions=[directions[each] for each in modes])
        self._pending: dict[int, Trial] = {}
        """Number of a configuration -> Optuna's trial, until the result is told."""

    def _sampler(self, seed: int) -> BaseSampler:
        import optuna

        samplers: dict[str, Callable[[], BaseSampler]] = {
            # With constant_liar, configurations that still run are not proposed again.
            "tpe": lambda: optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=self.n_startup_trials, constant_liar=True
            ),
            "gp": lambda: optuna.samplers.GPSampler(seed=seed, n_startup_trials=self.n_startup_trials),
            "cmaes": lambda: optuna.samplers.CmaEsSampler(
                seed=seed, n_startup_trials=self.n_startup_trials, warn_independent_sampling=False
            ),
            "nsga2": lambda: optuna.samplers.NSGAIISampler(seed=seed, population_size=self.population_size),
            "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return samplers[self.sampler]()

    def ask(self, number: int) -> Overrides:
        if number < len(self.first):
            self.study.enqueue_trial(self._to_optuna(self.first[number])[0])
        for attempt in range(self.MAX_ATTEMPTS + 1):
            if attempt == self.MAX_ATTEMPTS:
                # A random configuration that satisfies the constraints also teaches the model where they are satisfied.
                overrides = self.search_space.sample((self.seed, number))
                self.study.enqueue_trial(self._to_optuna(overrides)[0])
            trial = self.study.ask()
            overrides = self._suggest(trial)
            if self.search_space.satisfies_constraints(overrides):
                self._pending[number] = trial
                return overrides
            self._fail(trial)
        raise self.search_space.sampling_error({})

    def replay(self, number: int, overrides: Overrides) -> None:
        # Asked again, which draws the same random numbers. Another version of Optuna may propose something else:
        # then the recorded configuration counts, and `tell` adds it.
        if canonical_json(self.ask(number)) != canonical_json(overrides):
            self._fail(self._pending.pop(number))

    def _suggest(self, trial: Trial) -> Overrides:
        space = self.search_space
        overrides: Overrides = {}
        for key in space.order:
            if space.is_active(key, overrides):
                overrides[key] = space.domains[key].suggest(key, trial)
        return space.keep_active({key: overrides[key] for key in space.domains if key in overrides})

    def _to_optuna(self, overrides: Overrides) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
        """The parameters of a configuration as Optuna encodes them, and their distributions."""
        parameters, distributions = {}, {}
        for key, value in overrides.items():
            distributions[key], encode = self.search_space.domains[key].optuna_distribution()
            parameters[key] = encode(value)
        return parameters, distributions

    def _fail(self, trial: Trial) -> None:
        import optuna

        self.study.tell(trial, state=optuna.trial.TrialState.FAIL)

    def tell(self, number: int, overrides: Overrides, value: float | None) -> None:
        self.tell_outcome(number, overrides, Outcome(value))

    def tell_outcome(self, number: int, overrides: Overrides, outcome: Outcome) -> None:
        import optuna

        trial = self._pending.pop(number, None)
        found = outcome.objectives or (outcome.value,)
        values = [value for value in found if value is not None]
        if len(values) < len(found) or None in outcome.violations:  # Optuna takes all of them or none.
            if trial is not None:
                self._fail(trial)
        elif trial is not None:
            for name, violation in self._violations(outcome).items():
                trial.set_constraint(name, violation)
            self.study.tell(trial, values)
        else:  # Proposed by an earlier sweep, or by another version.
            parameters, distributions = self._to_optuna(overrides)
            self.study.add_trial(
                optuna.trial.create_trial(
                    params=parameters, distributions=distributions, values=values, constraints=self._violations(outcome)
                )
            )

    def _violations(self, outcome: Outcome) -> dict[str, float]:
        """Constraint -> what Optuna is told of it: positive where it is broken."""
        pairs = zip(self.criteria.limits, outcome.violations, strict=True)
        return {limit.text: by for limit, by in pairs if by is not None}

    def to_wandb(self, search_space: SearchSpace) -> WandbSearch:
        if not self.learns_from_results:
            return WandbSearch("random")
        notes = () if self.sampler == "gp" else (f"sampler {self.sampler} is replaced by W&B's Gaussian process",)
        return WandbSearch("bayes", notes)
