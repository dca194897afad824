"""Base of the problems that are made, not read: as many sequences as asked for, each part from a stream of its own."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated

import numpy as np
from pydantic import Field

from lstm_lab.config import Count
from lstm_lab.data.base import Dataset
from lstm_lab.data.kinds.pre_split import PreSplit, RawSplit, RawSplits


class SyntheticDataset(PreSplit):
    """A problem writes `draw`. The streams are disjoint: numpy spawns one for each part from the seed."""

    class Config(Dataset.Config):
        train_size: Count = 10_000
        """Sequences to train on."""
        eval_size: Count = 1000
        """Sequences that validate, and as many that test."""
        seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
        """Of the sequences: kept while the experiment's seed varies."""

    def __init__(self, batch_size: int, train_size: int, eval_size: int, seed: int) -> None:
        super().__init__(batch_size)
        self.sizes, self.seed = (train_size, eval_size, eval_size), seed

    @abstractmethod
    def draw(self, n: int, rng: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray] | np.ndarray | None]:
        """n sequences and what is asked of them, as `RawSplit` holds both."""

    def read(self) -> RawSplits:
        streams = np.random.default_rng(self.seed).spawn(3)
        parts = []
        for number, (n, rng) in enumerate(zip(self.sizes, streams, strict=True)):
            sequences, targets = self.draw(n, rng)
            parts.append(RawSplit(sequences, [number] * n, targets))
        return RawSplits(*parts)
