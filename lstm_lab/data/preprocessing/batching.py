"""How an epoch is cut into batches."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np


class BatchPlan(Protocol):
    """Which samples go together. Every epoch has the same number of batches, so that schedules can count on it."""

    def __len__(self) -> int: ...

    def batches(self, shuffle: np.random.Generator | None) -> list[np.ndarray]:
        """Every sample's number exactly once; `shuffle` alone decides the order, none keeps the plan's own."""


class EqualBatches:
    """`batch_size` samples in each batch, the last one what is left."""

    def __init__(self, samples: int, batch_size: int) -> None:
        self.samples, self.batch_size = samples, batch_size

    def __len__(self) -> int:
        return math.ceil(self.samples / self.batch_size)

    def batches(self, shuffle: np.random.Generator | None) -> list[np.ndarray]:
        order = np.arange(self.samples) if shuffle is None else shuffle.permutation(self.samples)
        return [order[at : at + self.batch_size] for at in range(0, self.samples, self.batch_size)]


class LengthBuckets:
    """Batches of sequences of near-equal lengths, so that little of them is padding.

    Sorted by length and cut into buckets of `wide` batches; an epoch shuffles inside each bucket, among equal lengths
    across them, and then the batches.

    Args:
        lengths: (N,) steps of each sample.
        batch_size: samples in a batch at most.
        budget: steps in a batch at most, padding included; a sample longer than that stands alone.
    """

    wide = 8

    def __init__(self, lengths: np.ndarray, batch_size: int, budget: int | None = None) -> None:
        self.lengths = np.asarray(lengths)
        ordered = np.sort(self.lengths)
        self._cuts: list[tuple[int, int, int]] = []  # first sample of a bucket, behind its last, its batches
        for first in range(0, len(ordered), self.wide * batch_size):
            last = min(first + self.wide * batch_size, len(ordered))
            size = batch_size if budget is None else max(1, min(batch_size, budget // int(ordered[last - 1])))
            self._cuts.append((first, last, math.ceil((last - first) / size)))

    def __len__(self) -> int:
        return sum(batches for _, _, batches in self._cuts)

    def batches(self, shuffle: np.random.Generator | None) -> list[np.ndarray]:
        order = np.arange(len(self.lengths)) if shuffle is None else shuffle.permutation(len(self.lengths))
        order = order[np.argsort(self.lengths[order], kind="stable")]
        found: list[np.ndarray] = []
        for first, last, count in self._cuts:
            inside = order[first:last] if shuffle is None else shuffle.permutation(order[first:last])
            found += np.array_split(inside, count)
        return found if shuffle is None else [found[i] for i in shuffle.permutation(len(found))]

    def padding(self) -> float:
        """Share of an epoch's steps that is padding; of the first epoch with seed 0, others are near it."""
        batches = self.batches(np.random.default_rng((0, 0)))
        return 1 - int(self.lengths.sum()) / sum(len(index) * int(self.lengths[index].max()) for index in batches)
