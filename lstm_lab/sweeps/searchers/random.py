"""Random search."""

from __future__ import annotations

from lstm_lab.sweeps.searchers.base import Searcher
from lstm_lab.sweeps.space.domains import Overrides
from lstm_lab.sweeps.space.search_space import SearchSpace
from lstm_lab.sweeps.wandb_format import WandbSearch


class Random(Searcher, name="random"):
    """Independent samples. Every grid combination gets the same ones, so that they can be compared in pairs."""

    from_wandb = ("random", "grid")

    def ask(self, number: int) -> Overrides:
        sample, combination = divmod(number, len(self.grid_combinations))
        return self.search_space.sample((self.seed, sample), self.grid_combinations[combination])

    def to_wandb(self, search_space: SearchSpace) -> WandbSearch:
        grids = [domain.exhaustive for domain in search_space.domains.values()]
        if all(grids):
            return WandbSearch("grid")
        if any(grids):
            return WandbSearch("random", ("grids are sampled: W&B enumerates all keys of a sweep or none",))
        return WandbSearch("random")
