"""Generated problems: as many sequences as wanted, each split from a random stream of its own."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated

import numpy as np
from pydantic import Field

from lstm_lab.config import Count
from lstm_lab.data.base import Dataset, InfoT
from lstm_lab.data.kinds.pre_split import PreSplit, RawSplit, RawSplits, SplitT, TargetsT


class SyntheticDataset(PreSplit[InfoT, TargetsT, SplitT]):
    """Base of the generated problems, which write `draw`.

    The random streams are independent: numpy spawns one for each split from the seed.
    """

    folds_by = frozenset()  # As many samples as wanted can be drawn for every split.

    class Config(Dataset.Config):
        train_size: Count = 10_000
        """Sequences in the training split."""
        eval_size: Count = 1000
        """Sequences in the validation split, and as many in the test split."""
        seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
        """Of the sequences: it stays the same while the experiment's seed varies."""

    def __init__(self, batch_size: int, train_size: int, eval_size: int, seed: int) -> None:
        super().__init__(batch_size)
        self.sizes, self.seed = (train_size, eval_size, eval_size), seed

    @abstractmethod
    def draw(self, n: int, rng: np.random.Generator) -> tuple[list[np.ndarray], TargetsT]:
        """n sequences and their targets, as `RawSplit` holds both."""

    def read(self) -> RawSplits[TargetsT]:
        streams = np.random.default_rng(self.seed).spawn(3)
        splits = []
        for number, (n, rng) in enumerate(zip(self.sizes, streams, strict=True)):
            sequences, targets = self.draw(n, rng)
            splits.append(RawSplit(sequences, [number] * n, targets))
        return RawSplits(*splits)
