"""Points from HyperOpt: the tree-structured Parzen estimator of Bergstra et al. (2011) by its own authors."""

from __future__ import annotations

import importlib.util
import logging
import math
from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from lstm_lab.registry import Named
from lstm_lab.sweeps.searchers.base import Searcher
from lstm_lab.sweeps.space.domains import Overrides
from lstm_lab.sweeps.space.search_space import SearchSpace


class HyperOpt(Searcher, name="hyperopt"):
    """Tree-structured Parzen estimator, as the package hyperopt has it; blind to the points that still run."""

    supports_grid = False

    class Config(Named):
        n_startup_trials: Annotated[int, Field(ge=1)] = 10
        """Random points before the model of the space decides."""
        gamma: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.25
        """How sharply good points are told from bad: gamma of the paper."""

        @model_validator(mode="after")
        def _package_is_there(self) -> HyperOpt.Config:
            if importlib.util.find_spec("hyperopt") is None:
                raise ValueError("needs the package hyperopt: pip install 'lstm-lab[hyperopt]', or take optuna")
            return self

    ASKED = 20
    """Proposals of the model that the constraints may refuse before a draw takes their place."""

    def __init__(self, n_startup_trials: int, gamma: float) -> None:
        self.n_startup_trials, self.gamma = n_startup_trials, gamma

    @classmethod
    def learns(cls, config: Any) -> bool:
        return True

    def setup(self, region: SearchSpace, num_samples: int, seed: int, mode: str) -> None:
        from hyperopt import Trials, base

        super().setup(region, num_samples, seed, mode)
        logging.getLogger("hyperopt").setLevel(logging.WARNING)
        self.distributions = {key: domain.optuna_distribution() for key, domain in region.domains.items()}
        space = {key: expression(key, distribution) for key, (distribution, _) in self.distributions.items()}
        self.domain, self.trials = base.Domain(lambda _: 0.0, space), Trials()

    def ask(self, number: int) -> Overrides:
        from hyperopt import tpe

        for attempt in range(self.ASKED):
            # Of the number and not of a running generator: a resumed search proposes what it would have proposed.
            seed = int(np.random.SeedSequence((self.seed, number, attempt)).generate_state(1)[0]) % 2**31
            (found,) = tpe.suggest(
                [len(self.trials.trials)], self.domain, self.trials, seed,
                n_startup_jobs=self.n_startup_trials, gamma=self.gamma, verbose=False,
            )  # fmt: skip
            point = self._point({key: values[0] for key, values in found["misc"]["vals"].items()})
            if self.search_space.satisfies_constraints(point):
                return point
        return self.search_space.sample({}, (self.seed, number))

    def _point(self, proposed: dict[str, Any]) -> Overrides:
        from optuna.trial import FixedTrial

        fixed = {key: inside(self.distributions[key][0], value) for key, value in proposed.items()}
        # A domain is asked as Optuna asks it: one way from a number to a value for every searcher.
        asked = FixedTrial({key: self._outside(key, value) for key, value in fixed.items()})
        return self.search_space.keep_active(
            {key: domain.suggest(key, asked) for key, domain in self.search_space.domains.items()}
        )

    def _outside(self, key: str, value: Any) -> Any:
        return self.distributions[key][0].to_external_repr(value)

    def tell(self, number: int, point: Overrides, value: float | None) -> None:
        from hyperopt import JOB_STATE_DONE, STATUS_FAIL, STATUS_OK

        tid = len(self.trials.trials)
        values = {}
        for key, (distribution, convert) in self.distributions.items():
            # A key whose condition is false has no value, and the model of it learns nothing from this point.
            values[key] = [distribution.to_internal_repr(convert(point[key]))] if key in point else []
        misc = {
            "tid": tid, "cmd": self.domain.cmd, "workdir": self.domain.workdir, "vals": values,
            "idxs": {key: [tid] if held else [] for key, held in values.items()},
        }  # fmt: skip
        loss = None if value is None else (-value if self.mode == "max" else value)
        result = {"status": STATUS_FAIL} if loss is None else {"status": STATUS_OK, "loss": loss}
        docs = self.trials.new_trial_docs([tid], [None], [result], [misc])
        docs[0]["state"] = JOB_STATE_DONE
        self.trials.insert_trial_docs(docs)
        self.trials.refresh()


def expression(key: str, distribution: Any) -> Any:
    """A distribution of Optuna as HyperOpt writes it."""
    from hyperopt import hp
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return hp.choice(key, list(range(len(distribution.choices))))
    low, high = distribution.low, distribution.high
    if isinstance(distribution, IntDistribution):
        # Half a step more at both ends: rounded, the first and the last are as likely as those between.
        return hp.quniform(key, low - 0.5, high + 0.5, 1)
    return hp.loguniform(key, math.log(low), math.log(high)) if distribution.log else hp.uniform(key, low, high)


def inside(distribution: Any, value: float) -> Any:
    """Rounding may lead a hair outside."""
    from optuna.distributions import CategoricalDistribution

    if isinstance(distribution, CategoricalDistribution):
        return int(value)
    return min(max(value, distribution.low), distribution.high)
