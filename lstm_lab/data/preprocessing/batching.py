"""How the samples of an epoch are grouped into batches."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np


class BatchPlan(Protocol):
    """Which samples form a batch. Every epoch has the same number of batches, so that schedules can count on it."""

    def __len__(self) -> int:
        """Number of batches in an epoch."""

    def batches(self, shuffle: np.random.Generator | None) -> list[np.ndarray]:
        """Sample indices of each batch, every sample exactly once.

        Args:
            shuffle: source of the random order; None keeps the plan's own order.
        """


class EqualBatches:
    """`batch_size` samples in each batch; the last one may be smaller."""

    def __init__(self, num_samples: int, batch_size: int) -> None:
        self.num_samples, self.batch_size = num_samples, batch_size

    def __len__(self) -> int:
        return math.ceil(self.num_samples / self.batch_size)

    def batches(self, shuffle: np.random.Generator | None) -> list[np.ndarray]:
        order = np.arange(self.num_samples) if shuffle is None else shuffle.permutation(self.num_samples)
        return [order[start : start + self.batch_size] for start in range(0, self.num_samples, self.batch_size)]


class LengthBuckets:
    """Batches of sequences of similar length, so that few of their steps are padding.

    Samples are sorted by length and cut into buckets of `bucket_batches` batches. An epoch shuffles within each bucket,
    among equal lengths across buckets, and then the order of the batches.

    Args:
        lengths: (N,) steps of each sample.
        batch_size: samples in a batch at most.
        max_tokens: steps in a batch at most, padding included; a longer sample is a batch of its own. None: no limit.
    """

    bucket_batches = 8

    def __init__(self, lengths: np.ndarray, batch_size: int, max_tokens: int | None = None) -> None:
        self.lengths = np.asarray(lengths)
        ordered = np.sort(self.lengths)
        self._buckets: list[tuple[int, int, int]] = []  # first sample, one past the last, number of batches
        for first in range(0, len(ordered), self.bucket_batches * batch_size):
            end = min(first + self.bucket_batches * batch_size, len(ordered))
            size = batch_size if max_tokens is None else max(1, min(batch_size, max_tokens // int(ordered[end - 1])))
            self._buckets.append((first, end, math.ceil((end - first) / size)))

    def __len__(self) -> int:
        return sum(count for _, _, count in self._buckets)

    def batches(self, shuffle: np.random.Generator | None) -> list[np.ndarray]:
        order = np.arange(len(self.lengths)) if shuffle is None else shuffle.permutation(len(self.lengths))
        order = order[np.argsort(self.lengths[order], kind="stable")]
        batches: list[np.ndarray] = []
        for first, end, count in self._buckets:
            bucket = order[first:end] if shuffle is None else shuffle.permutation(order[first:end])
            batches += np.array_split(bucket, count)
        return batches if shuffle is None else [batches[i] for i in shuffle.permutation(len(batches))]

    def padding(self) -> float:
        """Fraction of an epoch's steps that is padding, for the first epoch with seed 0; other epochs are close."""
        batches = self.batches(np.random.default_rng((0, 0)))
        padded = sum(len(index) * int(self.lengths[index].max()) for index in batches)
        return 1 - int(self.lengths.sum()) / padded


class StreamLanes:
    """A stream of chunks cut into `batch_size` contiguous lanes; each batch is the next chunk of every lane.

    The order is the same in every epoch, so that a recurrent state can be carried from batch to batch. Lanes differ by
    one chunk at most, longer ones first: the last batch may lack the shorter lanes.
    """

    def __init__(self, num_chunks: int, batch_size: int) -> None:
        self.lanes: list[np.ndarray] = np.array_split(np.arange(num_chunks), min(batch_size, num_chunks))

    def __len__(self) -> int:
        return len(self.lanes[0])

    def batches(self, shuffle: np.random.Generator | None) -> list[np.ndarray]:
        return [np.array([lane[k] for lane in self.lanes if k < len(lane)]) for k in range(len(self))]
