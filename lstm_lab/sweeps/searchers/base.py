"""What every searcher can do: propose configurations (`ask`) and receive their results (`tell`).

A searcher does not use Ray, and nothing of it is pickled: on resume, what it was asked and told is replayed from the
record in the same order, so that it goes on as if it had not been interrupted.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from lstm_lab.config.registry import Registered
from lstm_lab.sweeps.objectives import SINGLE, Criteria, Outcome
from lstm_lab.sweeps.space.domains import Overrides
from lstm_lab.sweeps.space.search_space import SearchSpace
from lstm_lab.sweeps.wandb_format import NoWandbEquivalent, WandbSearch


class Searcher(Registered, kind="searcher"):
    """Proposes the configurations of a sweep, one after another."""

    supports_grid: ClassVar[bool] = True
    """Whether its configurations can be combined with exhaustive domains."""
    supports_objectives: ClassVar[bool] = False
    """Whether it learns from several objectives, and from constraints on metrics, by `tell_outcome`."""
    from_wandb: ClassVar[tuple[str, ...]] = ()
    """Methods of a W&B sweep that this searcher stands for."""

    takes_first: ClassVar[bool] = False
    """Whether it proposes `first` before its own."""

    first: Sequence[Overrides] = ()
    """Configurations that it proposes before its own, learning from their results too; set after `setup`."""
    criteria: Criteria = SINGLE
    """What configurations are compared by besides the monitored metric; set before `setup`."""

    @property
    def learns_from_results(self) -> bool:
        """Whether the results it is told change what it proposes."""
        return False

    def check(self, grids: Sequence[str], *, is_warm_started: bool) -> None:
        """Refuse a sweep that this searcher cannot run.

        Args:
            grids: keys of the space of which every value is tried.
            is_warm_started: whether it is told the results of earlier sweeps.

        Raises:
            ValueError: with the key, the value and the way out.
        """
        if grids and not self.supports_grid:
            raise ValueError(
                f"space.{grids[0]}: every value of a grid is tried, but searcher '{self.name}' chooses the values; "
                "write choice instead of grid, or searcher: random"
            )
        if is_warm_started and not self.learns_from_results:
            raise ValueError(f"warm_start: searcher '{self.name}' does not learn from results; write searcher: optuna")

    def check_space(self, space: SearchSpace) -> None:
        """Refuse a space that this searcher cannot propose anything of.

        Raises:
            ValueError: with the key, the value and the way out.
        """

    def check_criteria(self, criteria: Criteria, num_configurations: int) -> None:
        """Refuse objectives, constraints, or a number of configurations, that this searcher cannot learn from.

        Args:
            criteria: what is compared besides the monitored metric.
            num_configurations: that it is asked for at most.

        Raises:
            ValueError: with the key, the value and the way out.
        """
        if not self.learns_from_results or self.supports_objectives:
            return
        if criteria.objectives:
            raise ValueError(f"monitor: searcher '{self.name}' learns from one metric alone; write searcher: optuna, "
                             "or searcher: random")  # fmt: skip
        if criteria.limits:
            raise ValueError(f"constraints: '{criteria.limits[0].text}': searcher '{self.name}' does not learn which "
                             "configurations keep it; write searcher: optuna, or searcher: random")  # fmt: skip

    def setup(self, search_space: SearchSpace, num_samples: int, seed: int, mode: str) -> None:
        """Called once before the first `ask`.

        Args:
            num_samples: configurations for each combination of the grids.
            seed: of the random numbers.
            mode: "min" or "max", which values of the monitored metric are better.
        """
        self.search_space, self.num_samples, self.seed, self.mode = search_space, num_samples, seed, mode
        self.grid_combinations = search_space.grid()
        self.num_configurations = num_samples * len(self.grid_combinations)

    @abstractmethod
    def ask(self, number: int) -> Overrides:
        """The configuration of a number, counted from 0 and below `num_configurations`."""

    def replay(self, number: int, overrides: Overrides) -> None:
        """On resume, what an earlier process was given by `ask(number)`: called in the order of the calls then.

        Only a searcher whose `ask` changes its state, as one that draws from a running generator, has to do something.
        """

    def tell(self, number: int, overrides: Overrides, value: float | None) -> None:
        """The result of a configuration.

        Args:
            number: as in `ask`; negative for a configuration of an earlier sweep.
            value: the monitored metric, the mean over its seeds; None if all of its trials failed.
        """

    def tell_outcome(self, number: int, overrides: Overrides, outcome: Outcome) -> None:
        """The result of a configuration, with every objective; `tell` is given the monitored metric of it.

        Args:
            number, overrides: as of `tell`.
        """
        self.tell(number, overrides, outcome.value)

    def to_wandb(self, search_space: SearchSpace) -> WandbSearch:
        """The method of a W&B sweep that comes closest.

        Raises:
            NoWandbEquivalent: there is none.
        """
        raise NoWandbEquivalent(f"W&B has no searcher like '{self.name}'; write searcher: random or optuna")
