"""All stages so far at once: what could be reached if nothing had to be forgotten."""

from __future__ import annotations

import numpy as np

from lstm_lab.continual.base import Method, Stage
from lstm_lab.continual.joined import Joined, Part
from lstm_lab.data.base import Dataset


class Joint(Method, name="joint"):
    """Random weights, and the samples of all stages so far: no continual learning, but its bound."""

    starts_from_the_stage_before = False

    def data(self, dataset: Dataset, before: list[Stage]) -> Dataset:
        parts = [Part(stage.dataset.train, np.arange(len(stage.dataset.train))) for stage in before]
        return Joined(dataset, parts) if parts else dataset
