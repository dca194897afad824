"""Replay: samples of earlier stages beside those of the stage."""

from __future__ import annotations

import numpy as np

from lstm_lab.config import Count
from lstm_lab.config.registry import Named
from lstm_lab.continual.base import Method, Stage
from lstm_lab.continual.joined import Joined, Part
from lstm_lab.data.base import Dataset


class Replay(Method, name="replay"):
    """A stage is trained on its own samples and on `memory` of each earlier one, drawn once (Ratcliff 1990; Chaudhry et
    al. 2019)."""

    class Config(Named):
        memory: Count = 100
        """Training samples of each earlier stage that are kept, M."""

    def __init__(self, memory: int) -> None:
        self.memory = memory

    def data(self, dataset: Dataset, before: list[Stage]) -> Dataset:
        if not before:
            return dataset
        kept = [Part(stage.dataset.train, self._drawn(number, len(stage.dataset.train)))
                for number, stage in enumerate(before)]  # fmt: skip
        return Joined(dataset, kept)

    def _drawn(self, number: int, samples: int) -> np.ndarray:
        """Rows of the training split of a stage."""
        return np.sort(np.random.default_rng(number).permutation(samples)[: self.memory])
