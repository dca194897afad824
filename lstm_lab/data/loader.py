"""Batches of any data set in the order that seed and epoch give, and the Lightning data module over them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytorch_lightning as pl
import torch

from lstm_lab.data.base import Batch, Dataset, Split
from lstm_lab.data.preprocessing.augment import Augment

TAKEN_AT_ONCE = 2**20
"""Bytes of the batches that are taken at once, at most: they stay in the cache until they are used."""
MOST_AT_ONCE = 32
"""Batches."""


class _EpochSampler:
    """Tells the loader the number of the epoch: Lightning calls `sampler.set_epoch`."""

    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


class Loader:
    """Batches of one split, from memory and without worker processes: a step costs microseconds.

    The order is a function of (seed, epoch) alone and the position is part of every checkpoint, so a run that is
    interrupted in the middle of an epoch resumes with the next batch.

    Args:
        seed: shuffles; without one, batches come in the order of the split's plan.
        augment: random changes of training batches, drawn from `seed`.

    Raises:
        ValueError: `augment` without a seed.
    """

    def __init__(
        self, split: Split, batch_size: int, *, seed: int | None = None, augment: Augment | None = None
    ) -> None:
        self.split, self.batch_size, self.seed = split, batch_size, seed
        self.augment = augment if augment is not None and augment.active else None
        if self.augment is not None and seed is None:
            raise ValueError("augment draws from a seed: give the loader one, or leave augment out")
        self.plan = split.plan(batch_size)
        self.sampler = _EpochSampler()
        self.batch_sampler = None  # Lightning reads both attributes.
        self._start, self._position = 0, 0

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[Batch]:
        shuffle = None if self.seed is None else np.random.default_rng((self.seed, self.sampler.epoch))
        start, self._start = self._start, 0
        plan, at_once = self.plan.batches(shuffle), self._batches_at_once()
        for first in range(start, len(plan), at_once):
            indices = [torch.from_numpy(index) for index in plan[first : first + at_once]]
            for number, batch in enumerate(self.split.take_batches(indices), first):
                self._position = number + 1
                yield self._augmented(batch, number)

    def _batches_at_once(self) -> int:
        size = self.split.sample_bytes
        return 1 if size is None else min(max(TAKEN_AT_ONCE // max(size * self.batch_size, 1), 1), MOST_AT_ONCE)

    def _augmented(self, batch: Batch, number: int) -> Batch:
        """With random changes that are a function of seed, epoch and batch number alone, as the order is."""
        if self.augment is None or self.seed is None:
            return batch
        rng = np.random.default_rng((self.seed, self.sampler.epoch, number))
        return self.augment(batch, rng, self.split.num_measured)

    def state_dict(self) -> dict[str, int]:
        """How many batches of this epoch were returned; a whole epoch counts as none of the next."""
        return {"position": self._position % len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._start = state["position"]


class Block:
    """The next batches of an epoch, for a training step that takes several: as many as it likes, in their order."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[Batch]:
        return self._batches

    def to(self, device: torch.device) -> Block:
        """The same, each batch moved to a device when it is taken."""
        return self if device.type == "cpu" else Block(batch.to(device) for batch in self._batches)


class BlockLoader(Loader):
    """The batches of a `Loader`, in blocks: a block begins with the first batch that the one before it left."""

    def __iter__(self) -> Iterator[Block]:  # type: ignore[override]
        batches = super().__iter__()
        while True:  # A trainer counts batches, and ends the epoch after len(self) of them.
            yield Block(batches)


class SequenceDataModule(pl.LightningDataModule):
    """Train and validation loaders of a data set.

    Args:
        blocks: training batches come in a `BlockLoader`.
    """

    def __init__(
        self, dataset: Dataset, batch_size: int, seed: int, augment: Augment | None = None, *, blocks: bool = False
    ) -> None:
        super().__init__()
        self.dataset, self.batch_size, self.seed, self.augment, self.blocks = dataset, batch_size, seed, augment, blocks

    def train_dataloader(self) -> Loader:
        loader = BlockLoader if self.blocks else Loader
        return loader(self.dataset.train, self.batch_size, seed=self.seed, augment=self.augment)

    def val_dataloader(self) -> Loader:
        # Validation keeps no gradients, so it can take larger steps.
        return Loader(self.dataset.validation, 4 * self.batch_size)

    def transfer_batch_to_device(
        self, batch: Batch | Block, device: torch.device, dataloader_idx: int
    ) -> Batch | Block:
        return batch.to(device)
