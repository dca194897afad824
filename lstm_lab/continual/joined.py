"""The training split of a data set with samples of others."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from lstm_lab.config import ConfigError
from lstm_lab.data.base import Batch, Dataset, Split
from lstm_lab.data.preprocessing.splits import no_test_split
from lstm_lab.data.readers.cache import digest


class Part(NamedTuple):
    """Samples of a split."""

    split: Split
    rows: np.ndarray
    """(n,) their numbers in it."""


class JoinedSplit(Split):
    """Samples of several splits, one after the other."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = list(parts)
        self.num_measured = parts[0].split.num_measured
        self.part_of = torch.from_numpy(np.repeat(np.arange(len(parts)), [len(part.rows) for part in parts]))
        """(N,) which part each sample is in."""
        self.rows = torch.from_numpy(np.concatenate([part.rows for part in parts]).astype(np.int64))

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: Tensor) -> Batch:
        batches, places = [], []
        for number, part in enumerate(self.parts):
            place = torch.nonzero(self.part_of[index] == number).flatten()
            if len(place):
                places.append(place)
                batches.append(part.split.take(self.rows[index[place]]))
        order = torch.cat(places).argsort()
        steps = max(batch.x.shape[1] for batch in batches)
        x, y = ([_padded(values, steps) for values in parts] for parts in
                ([batch.x for batch in batches], [batch.y for batch in batches]))  # fmt: skip
        lengths = torch.cat([batch.lengths for batch in batches])
        return Batch(torch.cat(x)[order], lengths[order], torch.cat(y)[order])


def _padded(values: Tensor, steps: int) -> Tensor:
    """Inputs (n, T, I) or targets of each sequence (n,) with as many steps as the longest."""
    return pad(values, (0, 0, 0, steps - values.shape[1])) if values.dim() == 3 else values


class Joined(Dataset):
    """A data set with more samples to train on; its validation split and its scale are as they were.

    Args:
        dataset: of the stage.
        more: samples of other stages, with the same channels and classes.
    """

    def __init__(self, dataset: Dataset, more: Sequence[Part]) -> None:
        self.dataset, self.more, self.batch_size = dataset, more, dataset.batch_size
        self.name = dataset.name  # type: ignore[misc]
        first = dataset.train.take(torch.arange(1))
        per_step = first.y.dim() > 1 and not first.y.is_floating_point()
        if per_step or first.scale is not None or first.starts is not None or first.previous is not None:
            raise ConfigError(f"data '{dataset.name}': samples of several stages are joined where each has one target: "
                              "leave out the methods replay and joint")  # fmt: skip

    @property
    def info(self) -> Any:
        return self.dataset.info

    @cached_property
    def train(self) -> Split:
        own = self.dataset.train
        return JoinedSplit([Part(own, np.arange(len(own))), *self.more])

    @property
    def validation(self) -> Split:
        return self.dataset.validation

    @property
    def has_test_split(self) -> bool:
        return False

    def test_split(self) -> Split:
        raise no_test_split(self.name)

    @property
    def digest(self) -> str:
        return digest(self.dataset.digest, *(part.rows.tolist() for part in self.more))

    @property
    def notes(self) -> tuple[str, ...]:
        return (
            *self.dataset.notes,
            f"{sum(len(part.rows) for part in self.more)} samples of other stages are trained on",
        )
