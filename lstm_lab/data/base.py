"""The contract of a data set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, runtime_checkable

import torch
from pydantic import field_validator, model_validator
from torch import Tensor
from typing_extensions import TypeVar

from lstm_lab.config import ConfigError, Count
from lstm_lab.config.registry import Named, Registered
from lstm_lab.config.validation import restore
from lstm_lab.data.preprocessing.augment import Augment
from lstm_lab.data.preprocessing.batching import BatchPlan, EqualBatches
from lstm_lab.data.preprocessing.cross_validation import Fold, Folds, cross_validations
from lstm_lab.data.readers.in_memory import NewData


class Batch(NamedTuple):
    """B samples, padded to the longest, T. A field that the data do not have is None."""

    x: Tensor
    """(B, T, I) float32, or (B, T) int64 tokens; 0 on padding."""
    lengths: Tensor
    """(B,) int64 valid steps, each at least 1; always on the CPU, where packing reads them."""
    y: Tensor
    """Targets: (B,) int64 class, (B, K) float32 or float64, (B, horizon, targets) float32, or for each step (B, T)
    int64 class, -1 where there is no target, or (B, T, K) float32."""
    scale: Tensor | None = None
    """(B, 3, K) float64: mean, standard deviation and mean absolute error of the seasonal naive forecast of each
    sample's own series over its training rows; None where one scale of `info` holds for all samples."""
    previous: Tensor | None = None
    """(B,) int64 token just before each chunk of a stream, 0 at its start; None for sequences that stand alone."""
    starts: Tensor | None = None
    """(B,) int64 position in the stream at which each chunk starts, on the CPU; None where no state is carried from
    batch to batch."""

    def select(self, index: slice | Tensor) -> Batch:
        """The samples at `index`, with every field."""
        return Batch(*(None if field is None else field[index] for field in self))  # type: ignore[arg-type]

    def shard(self, rank: int, count: int) -> Batch:
        """The samples of one of `count` workers: every sample belongs to exactly one of them."""
        return self.select(slice(rank, None, count))

    def to(self, device: torch.device) -> Batch:
        """The same on a device; `lengths` and `starts` stay on the CPU."""
        scale = None if self.scale is None else self.scale.to(device)
        previous = None if self.previous is None else self.previous.to(device)
        return self._replace(x=self.x.to(device), y=self.y.to(device), scale=scale, previous=previous)


class Split(ABC):
    """One split of a data set, in memory."""

    stateful: bool = False
    """Whether each batch continues the one before it, so that a state can be carried over."""
    num_measured: int | None = None
    """Number of measured channels, which come first; the others are known in advance or are masks of missing values.
    None: all."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples."""

    @property
    def has_targets(self) -> bool:
        """Whether any of the samples has a target."""
        return len(self) > 0

    @abstractmethod
    def take(self, index: Tensor) -> Batch:
        """The samples at `index` (B,) as one batch."""

    @property
    def sample_bytes(self) -> int | None:
        """Memory of one sample, where it is cheaper to take several batches at once; None where it is not."""
        return None

    def take_batches(self, indices: Sequence[Tensor]) -> Iterable[Batch]:
        """`take` of each index."""
        return map(self.take, indices)

    def plan(self, batch_size: int) -> BatchPlan:
        """How an epoch is cut into batches."""
        return EqualBatches(len(self), batch_size)

    def texts(self) -> Sequence[str]:
        """The text of each sample; empty where samples are not texts."""
        return ()


class DataInfo(Protocol):
    """What every model and task needs to know of the data; each kind of data adds to it. Instances are frozen."""

    @property
    def input_size(self) -> int:
        """Channels of each step, or the size of the vocabulary."""


@runtime_checkable
class NamedChannels(Protocol):
    """Info of data whose channels have names."""

    @property
    def channels(self) -> tuple[str, ...]:
        """The name of each input channel."""


@runtime_checkable
class Standardized(Protocol):
    """Info of data whose channels may be standardised."""

    @property
    def mean(self) -> tuple[float, ...]:
        """Of each channel over the training split; empty where channels are not standardised."""


InfoT = TypeVar("InfoT", bound=DataInfo, default=Any)

PredictionRow = list[Any]
"""Plain values of one row of a prediction, in the order of `Task.prediction_columns`."""


class NewSamples(NamedTuple):
    """Samples without targets, and what names the rows of their predictions."""

    batches: Iterator[Batch]
    columns: tuple[str, ...]
    """Names of the values in `keys`: an id, a time, a step."""
    keys: Sequence[Sequence[tuple[Any, ...]]]
    """Of each sample, the values that name each row of its prediction."""
    history: Sequence[tuple[Any, float]] = ()
    """Of series, times and values of the first target in the last rows of the first series."""


class Dataset(Registered, Generic[InfoT], kind="dataset"):
    """Where sequences come from.

    Data are read once, on first use. `train` and `validation` are open to every caller; the held-out test split is
    returned by `test_split`, which `evaluate` alone calls.
    """

    tokens: ClassVar[bool] = False
    """Whether steps are tokens, not channels: `info.tokens` then names them, and `info.input_size` counts them."""

    Info: ClassVar[type[Any]]
    """Class of `info`, a frozen dataclass of plain values."""

    augments: ClassVar[frozenset[str]] = frozenset()
    """Fields of `Augment` under which targets remain correct."""

    reads_new_files: ClassVar[bool] = False
    """Whether `read_new` takes a file and a DataFrame."""

    folds_by: ClassVar[frozenset[Folds]] = frozenset()
    """What a cross-validation can split the data by."""

    batch_size: int
    fold: Fold | None = None
    """Which samples are for training and for validation; None: the data set's own splits."""
    train_on_validation: bool = False
    """Whether the training split has the samples of the validation split too."""

    class Config(Named):
        owner: ClassVar[type[Dataset]]

        batch_size: Count = 32
        """Samples in one step."""
        augment: Augment = Augment()
        """Random changes to training batches."""
        fold: Fold | None = None
        """A fold of a cross-validation, whose samples are the validation split; null: the data set's own splits."""

        train_on_validation: bool = False
        """Whether samples of the validation split are trained on too, for a final model whose epochs are known; then no
        epoch is chosen by that split."""

        def options(self) -> dict[str, object]:
            """Without augmentation, which changes batches and not the data, and without what decides its splits."""
            others = ("augment", "fold", "train_on_validation")
            return {key: value for key, value in super().options().items() if key not in others}

        def build(self, *info: Any, **more: Any) -> Any:
            """A data set, split as the fold says."""
            dataset = self.make(*info, **more)
            dataset.fold, dataset.train_on_validation = self.fold, self.train_on_validation
            return dataset

        def make(self, *info: Any, **more: Any) -> Any:
            """A data set with its own splits."""
            return super().build(*info, **more)

        @property
        def dataset(self) -> type[Dataset]:
            """Class of what `build` returns; it may depend on the other fields."""
            return self.owner

        @field_validator("batch_size", mode="before")
        @classmethod
        def _full_is_a_field_of_the_trainer(cls, value: object) -> object:
            if value == "full":
                raise ValueError("a step from all samples is trainer.accumulate_grad_batches=full; give a number here")
            return value

        @model_validator(mode="after")
        def _augmentations_keep_targets_correct(self) -> Dataset.Config:
            allowed = self.dataset.augments
            wrong = next((name for name in self.augment.active if name not in allowed), None)
            if wrong is not None:
                way_out = f"use {', '.join(sorted(allowed))}" if allowed else "remove it"
                raise ValueError(f"augment.{wrong} does not go with data '{self.name}'; {way_out}")
            return self

        @model_validator(mode="after")
        def _fold_fits(self) -> Dataset.Config:
            if self.fold is not None:
                self.check_folds(self.fold)
            if self.train_on_validation and not self.dataset.folds_by:
                raise ValueError(f"train_on_validation: the splits of data '{self.name}' are fixed; leave it out")
            if self.train_on_validation and self.fold is not None:
                raise ValueError("train_on_validation does not go with fold: a fold is there to be validated on")
            return self

        def check_folds(self, fold: Fold) -> None:
            """Raise ValueError where the data cannot be split so."""
            if fold.needs not in self.dataset.folds_by:
                possible = " or ".join(cross_validations(self.dataset.folds_by))
                way_out = f"write {possible}" if possible else "its splits are fixed, leave it out"
                raise ValueError(
                    f"cross_validation: {fold.cross_validation.name} does not go with data '{self.name}'; {way_out}"
                )

    @property
    @abstractmethod
    def info(self) -> InfoT:
        """What a model and a task need to know of the data, as plain values: sizes, classes, scales."""

    @property
    @abstractmethod
    def train(self) -> Split:
        """The training split."""

    @property
    @abstractmethod
    def validation(self) -> Split:
        """The validation split."""

    @property
    def has_test_split(self) -> bool:
        """Whether a test split is held out."""
        return True

    @abstractmethod
    def test_split(self) -> Split:
        """The held-out test split. Only `evaluate` calls this.

        Raises:
            DataError: there is none.
        """

    @property
    @abstractmethod
    def digest(self) -> str:
        """Hash of all values and of the splits: equal digest, equal data."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before trusting a metric, a sentence each: leaks between splits, truncation."""
        return ()

    @classmethod
    def restore_info(cls, plain: Mapping[str, object]) -> InfoT:
        """`info` from its fields as a run's record has them.

        Raises:
            DataError: fields of other data sets, or of other types.
        """
        info: InfoT = restore(cls.Info, plain, "run.json: data.info")
        return info

    def read_new(self, source: NewData, info: InfoT) -> NewSamples:
        """New samples without targets, prepared by `info` alone: the data themselves are not read.

        Args:
            source: a path, a DataFrame, or arrays, whichever the data set supports.
            info: of the data that a model was trained on.

        Raises:
            DataError: the samples cannot be read, or do not fit the model.
            ConfigError: the data set does not support this kind of source.
        """
        raise ConfigError(f"data '{self.name}' takes no new samples; prediction is for runs on data: "
                          f"{', '.join(readers_of_new_files())}")  # fmt: skip

    def latest(self) -> NewSamples | None:
        """The input of a forecast for the rows that follow the data themselves; None where there is no such thing.

        Raises:
            Fault: it cannot be read, as where columns that are known in advance end with the data.
        """
        return None

    def read_with_future(self, source: NewData, future: NewData, info: InfoT) -> NewSamples:
        """The same, with the columns that are known in advance from a place of their own.

        Raises:
            ConfigError: the data have no such columns.
        """
        raise ConfigError(f"future: data '{self.name}' has no columns that are known in advance: leave it out")


def readers_of_new_files() -> list[str]:
    """Names of the data sets that read new samples from files."""
    return sorted(name for name, member in Dataset.members.items() if member.reads_new_files)
