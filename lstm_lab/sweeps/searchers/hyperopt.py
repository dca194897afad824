"""Tree-structured Parzen estimator of the package hyperopt, by the authors of the method (Bergstra et al. 2011)."""

from __future__ import annotations

import importlib.util
import logging
import math
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from lstm_lab.config.registry import Named
from lstm_lab.sweeps.searchers.base import Searcher
from lstm_lab.sweeps.space.domains import Overrides
from lstm_lab.sweeps.space.search_space import SearchSpace
from lstm_lab.sweeps.wandb_format import WandbSearch

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


class HyperOpt(Searcher, name="hyperopt"):
    """Tree-structured Parzen estimator as the package hyperopt implements it, unaware of trials that still run."""

    supports_grid = False

    class Config(Named):
        n_startup_trials: Annotated[int, Field(ge=1)] = 10
        """Random configurations before the first proposal of the model."""
        gamma: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.25
        """Of n configurations, the best ceil(gamma * sqrt(n)) count as good."""

        @model_validator(mode="after")
        def _package_is_installed(self) -> HyperOpt.Config:
            if importlib.util.find_spec("hyperopt") is None:
                raise ValueError("needs the package hyperopt: pip install hyperopt, or use optuna")
            return self

    MAX_ATTEMPTS = 20
    """Proposals of the model that may violate the constraints before a random configuration replaces them."""

    def __init__(self, n_startup_trials: int, gamma: float) -> None:
        self.n_startup_trials, self.gamma = n_startup_trials, gamma

    @property
    def learns_from_results(self) -> bool:
        return True

    def setup(self, search_space: SearchSpace, num_samples: int, seed: int, mode: str) -> None:
        from hyperopt import Trials, base

        super().setup(search_space, num_samples, seed, mode)
        logging.getLogger("hyperopt").setLevel(logging.WARNING)
        self.distributions = {key: domain.optuna_distribution() for key, domain in search_space.domains.items()}
        space = {key: to_hyperopt(key, distribution) for key, (distribution, _) in self.distributions.items()}
        self.domain, self.trials = base.Domain(lambda _: 0.0, space), Trials()

    def ask(self, number: int) -> Overrides:
        from hyperopt import tpe

        for attempt in range(self.MAX_ATTEMPTS):
            # Seeded by the number, not by a running generator: a resumed search proposes the same configurations.
            seed = int(np.random.SeedSequence((self.seed, number, attempt)).generate_state(1)[0]) % 2**31
            (proposal,) = tpe.suggest(
                [len(self.trials.trials)], self.domain, self.trials, seed,
                n_startup_jobs=self.n_startup_trials, gamma=self.gamma, verbose=False,
            )  # fmt: skip
            overrides = self._overrides({key: values[0] for key, values in proposal["misc"]["vals"].items()})
            if self.search_space.satisfies_constraints(overrides):
                return overrides
        return self.search_space.sample((self.seed, number))

    def _overrides(self, proposed: dict[str, float]) -> Overrides:
        """The configuration of a proposal, decoded by the domains as Optuna's trials are."""
        from optuna.trial import FixedTrial

        trial = FixedTrial({
            key: distribution.to_external_repr(clip(distribution, proposed[key]))
            for key, (distribution, _) in self.distributions.items() if key in proposed
        })  # fmt: skip
        space = self.search_space
        return space.keep_active({key: domain.suggest(key, trial) for key, domain in space.domains.items()})

    def tell(self, number: int, overrides: Overrides, value: float | None) -> None:
        from hyperopt import JOB_STATE_DONE, STATUS_FAIL, STATUS_OK

        tid = len(self.trials.trials)
        # An inactive key has no value, and the model learns nothing about it from this configuration.
        values = {
            key: [distribution.to_internal_repr(encode(overrides[key]))] if key in overrides else []
            for key, (distribution, encode) in self.distributions.items()
        }
        misc = {
            "tid": tid, "cmd": self.domain.cmd, "workdir": self.domain.workdir, "vals": values,
            "idxs": {key: [tid] if given else [] for key, given in values.items()},
        }  # fmt: skip
        loss = None if value is None else (-value if self.mode == "max" else value)
        result = {"status": STATUS_FAIL} if loss is None else {"status": STATUS_OK, "loss": loss}
        docs = self.trials.new_trial_docs([tid], [None], [result], [misc])
        docs[0]["state"] = JOB_STATE_DONE
        self.trials.insert_trial_docs(docs)
        self.trials.refresh()

    def to_wandb(self, search_space: SearchSpace) -> WandbSearch:
        return WandbSearch("bayes", (f"searcher {self.name} is replaced by W&B's Gaussian process",))


def to_hyperopt(key: str, distribution: BaseDistribution) -> Any:
    """HyperOpt's expression for a distribution of Optuna."""
    from hyperopt import hp
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return hp.choice(key, list(range(len(distribution.choices))))
    if isinstance(distribution, IntDistribution):
        # Half a step more at both ends: after rounding, the ends are as likely as the values between.
        return hp.quniform(key, distribution.low - 0.5, distribution.high + 0.5, 1)
    assert isinstance(distribution, FloatDistribution)
    low, high = distribution.low, distribution.high
    return hp.loguniform(key, math.log(low), math.log(high)) if distribution.log else hp.uniform(key, low, high)


def clip(distribution: BaseDistribution, value: float) -> float:
    """A proposed value inside its distribution, where rounding led outside."""
    from optuna.distributions import FloatDistribution, IntDistribution

    if isinstance(distribution, FloatDistribution | IntDistribution):
        return min(max(value, distribution.low), distribution.high)
    return int(value)
