"""Configurations that did well on other data, then random ones."""

from __future__ import annotations

from lstm_lab.sweeps.searchers import from_atlas
from lstm_lab.sweeps.searchers.base import Searcher
from lstm_lab.sweeps.space.domains import Overrides
from lstm_lab.sweeps.space.search_space import SearchSpace
from lstm_lab.sweeps.wandb_format import WandbSearch


class Portfolio(Searcher, name="portfolio"):
    """The configurations of `lstm-lab suggest`, in their order, each moved into the space; then random ones.

    What the atlas does not vary is drawn at random, and every grid combination gets the same ones.
    """

    def check_space(self, space: SearchSpace) -> None:
        from_atlas.check_space(space, f"searcher: {self.name}")

    def setup(self, search_space: SearchSpace, num_samples: int, seed: int, mode: str) -> None:
        super().setup(search_space, num_samples, seed, mode)
        self.known = [from_atlas.portfolio(search_space, seed, fixed) for fixed in self.grid_combinations]

    def ask(self, number: int) -> Overrides:
        sample, combination = divmod(number, len(self.grid_combinations))
        if sample < len(self.known[combination]):
            return self.known[combination][sample]
        return self.search_space.sample((self.seed, sample), self.grid_combinations[combination])

    def to_wandb(self, search_space: SearchSpace) -> WandbSearch:
        return WandbSearch("random", (f"searcher {self.name} is replaced by W&B's random search",))
