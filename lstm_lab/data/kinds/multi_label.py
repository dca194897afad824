"""Samples with any number of labels each."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Protocol

import numpy as np
from torch import Tensor

from lstm_lab.data.base import Dataset, InfoT, Split

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin, TransformerMixin


class MultiLabelInfo(Protocol):
    """What a task needs to know of samples with several labels."""

    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def counts(self) -> tuple[int, ...]: ...
    @property
    def num_samples(self) -> int: ...


class MultiLabelSplit(Split):
    """A split of samples with any number of labels each."""

    targets: Tensor
    """(N, K) float32, 1 where a sample has a label."""

    @abstractmethod
    def features(self) -> np.ndarray | list[str]:
        """N inputs of the untrained baselines."""

    @abstractmethod
    def baselines(self) -> dict[str, tuple[TransformerMixin, ClassifierMixin]]:
        """By name: a transformer of `features()`, and an untrained classifier, of which each label has its own."""


class MultiLabelDataset(Dataset[InfoT]):
    """Base of all data with any number of labels for each sample."""
