"""Where the points of a sweep come from. A searcher knows nothing of Ray: it is asked, and told what came of it.

Its memory is the sweep's own record, told to it again on resume, and never a pickle.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from lstm_lab.registry import Named, Registered
from lstm_lab.sweep.space import Domain, Point, grid, in_order


class Searcher(Registered, kind="searcher"):
    """Proposes points one after another."""

    takes_grid: bool = True
    """Whether it can be crossed with exhaustive domains."""

    def open(self, space: Mapping[str, Domain], samples: int, seed: int, mode: str) -> None:
        """Before the first `ask`: the space, draws for each grid combination, seed of the draws, min or max."""
        self.space, self.samples, self.seed, self.mode = dict(space), samples, seed, mode
        self.total = samples * len(grid(space))

    @abstractmethod
    def ask(self, number: int) -> Point:
        """Point `number` of `total`, counted from 0."""

    def tell(self, number: int, point: Point, value: float | None) -> None:
        """What a point came to, the mean over its seeds; None if all of them failed."""


class Random(Searcher, name="random"):
    """Independent draws. Every grid combination gets the same ones, so that arms are compared in pairs."""

    def ask(self, number: int) -> Point:
        combinations = grid(self.space)
        draw, combination = divmod(number, len(combinations))
        random = np.random.default_rng((self.seed, draw))
        drawn = {key: domain.draw(random) for key, domain in self.space.items() if not domain.exhaustive}
        return in_order({**drawn, **combinations[combination]})


class Optuna(Searcher, name="optuna"):
    """Tree-structured Parzen estimator (Bergstra et al. 2011), as Optuna keeps it."""

    takes_grid = False

    class Config(Named):
        startup: Annotated[int, Field(ge=1)] = 10
        """Random points before the model of the space decides."""

    def __init__(self, startup: int) -> None:
        self.startup = startup

    def open(self, space: Mapping[str, Domain], samples: int, seed: int, mode: str) -> None:
        import optuna

        super().open(space, samples, seed, mode)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # Constant liar: points still running are not proposed again by their neighbours.
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=self.startup, constant_liar=True)
        self.study = optuna.create_study(sampler=sampler, direction="maximize" if mode == "max" else "minimize")
        self._open: dict[int, Any] = {}

    def ask(self, number: int) -> Point:
        trial = self.study.ask()
        self._open[number] = trial
        return in_order({key: domain.ask(key, trial) for key, domain in self.space.items()})

    def tell(self, number: int, point: Point, value: float | None) -> None:
        import optuna

        trial = self._open.pop(number, None)
        if trial is not None:
            state = optuna.trial.TrialState.FAIL if value is None else None
            self.study.tell(trial, value, state=state)
        elif value is not None:  # asked by an earlier process
            parameters, distributions = {}, {}
            for key, domain in self.space.items():
                distributions[key], convert = domain.distribution()
                parameters[key] = convert(point[key])
            self.study.add_trial(optuna.trial.create_trial(params=parameters, distributions=distributions, value=value))
