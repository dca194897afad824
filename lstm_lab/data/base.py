"""The contract of a data set, and the Lightning data module over any of them."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, cast

import numpy as np
import pytorch_lightning as pl
import torch
from pydantic import model_validator
from torch import Tensor

from lstm_lab.config import ConfigError, Count
from lstm_lab.data.preprocessing.augment import Augment
from lstm_lab.data.preprocessing.batching import EqualBatches
from lstm_lab.registry import Named, Registered


class Batch(NamedTuple):
    """B samples, padded behind their own end to the longest, T."""

    x: Tensor
    """(B, T, I) float32, or (B, T) int64 tokens, 0 on padding"""
    lengths: Tensor
    """(B,) int64 valid steps, each at least 1; on the CPU, where packing reads it."""
    y: Tensor
    """(B,) int64 class, (B, K) float32, (B, horizon, targets) float32, or for each step (B, T) int64 class, -1 where
    not asked, or (B, T, K) float32"""


class Split(Protocol):
    """One split of a data set, in memory. It may have a `plan(batch_size)` of its own, a `BatchPlan`."""

    def __len__(self) -> int: ...

    def take(self, index: Tensor) -> Batch:
        """The samples at `index` (B,) as one batch."""


class Dataset(Registered, kind="dataset"):
    """Where sequences come from.

    Reading happens once, on first use. `train` and `validation` are open to everyone; the test part comes only out of
    `test_split`, which `evaluate` alone calls.
    """

    tokens: ClassVar[bool] = False
    """Whether sequences hold tokens, not channels: `info.tokens` then names them, `info.input_size` counts them."""

    Info: ClassVar[Any]
    """Class of `info`."""

    augments: ClassVar[frozenset[str]] = frozenset()
    """Fields of `Augment` that leave what is asked true."""

    class Config(Named):
        batch_size: Count = 32
        """Samples in one step."""
        augment: Augment = Augment()
        """What chance does to training batches."""

        def choices(self) -> dict[str, Any]:
            """Without what is done to batches: the data are the same."""
            return {key: value for key, value in super().choices().items() if key != "augment"}

        @model_validator(mode="after")
        def _augments_what_it_may(self) -> Dataset.Config:
            allowed: frozenset[str] = self.owner.augments  # type: ignore[attr-defined]
            wrong = next((name for name in self.augment.chosen if name not in allowed), None)
            if wrong is not None:
                way = f"it takes {', '.join(sorted(allowed))}" if allowed else "leave it out"
                raise ValueError(f"augment.{wrong} does not go with data '{self.name}'; {way}")
            return self

    @property
    @abstractmethod
    def info(self) -> Any:
        """What a model and a task must know of the data, as plain values: sizes, classes, scales."""

    @property
    @abstractmethod
    def train(self) -> Any: ...

    @property
    @abstractmethod
    def validation(self) -> Any: ...

    @abstractmethod
    def test_split(self) -> Any:
        """The sealed part. Only `evaluate` calls this."""

    @property
    @abstractmethod
    def digest(self) -> str:
        """Hash of every value read and of how it was split: equal digest, equal data."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know before trusting a number, a sentence each: leaks, what is cut off."""
        return ()

    @classmethod
    def restore_info(cls, plain: dict[str, Any]) -> Any:
        """`info` from their plain values, as a run keeps them."""
        return cls.Info(**{key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()})

    def read_new(self, path: str, info: Any) -> Iterator[Batch]:
        """New samples from a file, prepared as `info` say, without a look at the data themselves.

        Raises:
            ConfigError: these data take none.
        """
        takers = sorted(name for name, member in Dataset.members.items() if member.read_new is not Dataset.read_new)
        raise ConfigError(f"data '{self.name}' takes no new samples from a file; predict takes runs on data: "
                          f"{', '.join(takers)}")  # fmt: skip

    def prediction_table(
        self, answers: Sequence[Any], info: Any, columns: Sequence[str]
    ) -> tuple[list[str], list[list[Any]]]:
        """A header and rows of plain values: predictions for all batches of `read_new`; `columns` name their values."""
        raise NotImplementedError


def digest(*parts: Any) -> str:
    """First 16 hex digits of the sha256 over arrays and plain values."""
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            sha.update(str((part.dtype, part.shape)).encode())
            sha.update(np.ascontiguousarray(part).tobytes())
        else:
            sha.update(repr(part).encode())
    return sha.hexdigest()[:16]


class _Order:
    """Tells the loader which epoch it is: Lightning looks for `sampler.set_epoch`."""

    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


class Loader:
    """Batches of one split, as tensors and without workers: a step costs microseconds.

    The order is a function of (seed, epoch) alone and the position is part of every checkpoint, so a run that is
    interrupted in the middle of an epoch goes on with the very next batch.
    """

    def __init__(
        self, split: Split, batch_size: int, *, seed: int | None = None, augment: Augment | None = None
    ) -> None:
        """A `seed` shuffles; without one the order is that of the split, or of its plan. `augment` needs one."""
        self.split, self.batch_size, self.seed = split, batch_size, seed
        self.augment = augment if augment is not None and augment.chosen else None
        plan = getattr(split, "plan", None)
        self.plan = plan(batch_size) if plan else EqualBatches(len(split), batch_size)
        self.sampler = _Order()
        self.batch_sampler = None  # Lightning reads both
        self._start, self._position = 0, 0

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[Batch]:
        shuffle = None if self.seed is None else np.random.default_rng((self.seed, self.sampler.epoch))
        start, self._start = self._start, 0
        for number, index in enumerate(self.plan.batches(shuffle)):
            if number >= start:
                self._position = number + 1
                yield self._changed(self.split.take(torch.from_numpy(index)), number)

    def _changed(self, batch: Any, number: int) -> Any:
        """By a chance that is a function of seed, epoch and number alone, as the order is."""
        if self.augment is None:
            return batch
        rng = np.random.default_rng((cast(int, self.seed), self.sampler.epoch, number))
        return self.augment(batch, rng, getattr(self.split, "measured", None))

    def state_dict(self) -> dict[str, int]:
        """How many batches of this epoch were handed out; a whole epoch counts as none of the next."""
        return {"position": self._position % len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._start = state["position"]


class SequenceData(pl.LightningDataModule):
    """Train and validation loaders of a data set."""

    def __init__(self, dataset: Dataset, batch_size: int, seed: int, augment: Augment | None = None) -> None:
        super().__init__()
        self.dataset, self.batch_size, self.seed, self.augment = dataset, batch_size, seed, augment

    def train_dataloader(self) -> Loader:
        return Loader(self.dataset.train, self.batch_size, seed=self.seed, augment=self.augment)

    def val_dataloader(self) -> Loader:
        # Validation keeps no gradients, so it can take larger steps.
        return Loader(self.dataset.validation, 4 * self.batch_size)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return to_device(batch, device)


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Values to the device; lengths stay on the CPU."""
    return batch._replace(x=batch.x.to(device), y=batch.y.to(device))
