"""Cross-validation: the training and validation samples of a data set split into folds. The test split is in none."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Hashable, Sequence
from importlib.metadata import version
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from lstm_lab.config import Config, Count, DataError
from lstm_lab.config.registry import Named, OneOf, Registered
from lstm_lab.data.readers.cache import CacheEntry, cached, digest

Folds = Literal["samples", "classes", "time"]
"""What data can be split by: single samples, samples of which each has one class, or points in time."""

SplitsCount = Annotated[int, Field(ge=2)]


class Samples(NamedTuple):
    """What a split into folds depends on."""

    groups: np.ndarray
    """(N,) int64: samples of one group stay in one fold."""
    labels: np.ndarray | None
    """(N,) class indices; None where samples have no single class."""
    path: str
    """Where they came from, for messages."""

    @property
    def are_grouped(self) -> bool:
        """Whether any two samples are of one group."""
        return len(np.unique(self.groups)) < len(self.groups)


class CrossValidation(Registered, kind="cross-validation"):
    """How samples are split into folds, each of which is the validation split once."""

    needs: ClassVar[Folds]
    """What the data must be split by."""

    class Config(Named):
        n_splits: SplitsCount = 5
        """Number of folds."""

        @property
        def num_folds(self) -> int:
            """Folds in all, those of every repetition."""
            return self.n_splits


class SampleFolds(CrossValidation):
    """Base of the splits into folds of samples, in which each sample is for validation once.

    Samples of one group, such as those of one person, and equal samples stay in one fold, whatever the kind.
    """

    needs: ClassVar[Folds] = "samples"

    class Config(CrossValidation.Config):
        n_repeats: Count = 1
        """Repetitions, each with other folds."""
        random_state: Annotated[int, Field(ge=0)] = 0
        """Of the folds; that of a repetition is one more than that of the one before."""

        @property
        def num_folds(self) -> int:
            return self.n_splits * self.n_repeats

    def __init__(self, n_splits: int, n_repeats: int, random_state: int) -> None:
        self.n_splits, self.n_repeats, self.random_state = n_splits, n_repeats, random_state

    def check(self, samples: Samples) -> None:
        """Refuse samples that cannot be split.

        Raises:
            DataError: with the way out.
        """
        groups = len(np.unique(samples.groups))
        if groups < self.n_splits:
            what = "groups of samples" if samples.are_grouped else "samples"
            raise DataError(f"{samples.path}: {groups} {what} are too few for {self.n_splits} folds: lower "
                            "cross_validation.n_splits")  # fmt: skip

    @abstractmethod
    def split(self, samples: Samples, random_state: int) -> Sequence[np.ndarray]:
        """The indices of the samples of each fold."""

    def validation_mask(self, number: int, samples: Samples) -> np.ndarray:
        """(N,) bool: which samples are for validation in a fold, counted from 0 over all repetitions.

        Raises:
            DataError: the samples cannot be split into so many folds.
        """
        self.check(samples)
        repeat, fold = divmod(number, self.n_splits)

        def split() -> CacheEntry:
            folds = np.zeros(len(samples.groups), np.int16)
            for index, rows in enumerate(self.split(samples, self.random_state + repeat)):
                folds[rows] = index
            return CacheEntry({"folds": folds}, {})

        # Importing scikit-learn takes a second, in every process of a sweep.
        labels = np.empty(0) if samples.labels is None else samples.labels
        parts = (self.name, self.n_splits, self.random_state + repeat, version("scikit-learn"))
        mask: np.ndarray = cached(f"folds-{digest(samples.groups, labels, *parts)}", split).arrays["folds"] == fold
        return mask


class KFold(SampleFolds, name="k_fold"):
    """Folds of about as many groups of samples each (KFold and GroupKFold of scikit-learn, shuffled)."""

    def split(self, samples: Samples, random_state: int) -> Sequence[np.ndarray]:
        from sklearn.model_selection import GroupKFold

        folds = GroupKFold(self.n_splits, shuffle=True, random_state=random_state)
        return [validation for _, validation in folds.split(samples.groups, groups=samples.groups)]


class GroupFolds(KFold, name="group_k_fold"):
    """The same, for data that have groups: it refuses data in which every sample stands alone."""

    def check(self, samples: Samples) -> None:
        super().check(samples)
        if not samples.are_grouped:
            raise DataError(f"{samples.path}: no two samples have a group in common: name the column of the groups as "
                            "data.group, or write cross_validation: k_fold")  # fmt: skip


class StratifiedFolds(SampleFolds, name="stratified_k_fold"):
    """Folds with about the same share of every class (StratifiedKFold and StratifiedGroupKFold of scikit-learn)."""

    needs: ClassVar[Folds] = "classes"

    def check(self, samples: Samples) -> None:
        super().check(samples)
        assert samples.labels is not None
        most = int(np.bincount(samples.labels).max())
        if most < self.n_splits:
            raise DataError(f"{samples.path}: no class has more than {most} samples, too few for {self.n_splits} "
                            "folds: lower cross_validation.n_splits, or write cross_validation: k_fold")  # fmt: skip

    def split(self, samples: Samples, random_state: int) -> Sequence[np.ndarray]:
        from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

        # Far faster where no two samples have to stay together.
        kind, groups = (StratifiedGroupKFold, samples.groups) if samples.are_grouped else (StratifiedKFold, None)
        folds = kind(self.n_splits, shuffle=True, random_state=random_state)
        with warnings.catch_warnings():
            # A class with fewer samples than folds is not in every fold; the notes of the data name those not learned.
            warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
            return [rows for _, rows in folds.split(samples.groups, samples.labels, groups)]


class RowSplit(NamedTuple):
    """Rows of a series for training and for validation: first row of each, and the row behind its last."""

    train: tuple[int, int]
    validation: tuple[int, int]


class TimeSeriesSplit(CrossValidation, name="time_series_split"):
    """Rolling origin: each fold is validated on rows that follow those it is trained on (TimeSeriesSplit of
    scikit-learn).

    The training rows begin with the series and expand from fold to fold; with `max_train_size` they slide.
    """

    needs: ClassVar[Folds] = "time"

    class Config(CrossValidation.Config):
        validation_size: Count | None = None
        """Rows of the validation split of each fold (test_size of scikit-learn); null: as many as there is room for,
        the rows in front of the test split divided by n_splits + 1."""
        max_train_size: Count | None = None
        """Training rows at most, the latest ones; null: all rows before the validation split."""
        gap: Annotated[int, Field(ge=0)] = 0
        """Rows between training and validation split that are in neither."""

    def __init__(self, n_splits: int, validation_size: int | None, max_train_size: int | None, gap: int) -> None:
        self.n_splits, self.validation_size, self.max_train_size, self.gap = (
            n_splits, validation_size, max_train_size, gap,
        )  # fmt: skip

    def rows(self, number: int, end: int) -> RowSplit:
        """The rows of a fold, the last of which is validated on the last rows.

        Args:
            end: row behind the last one that is not for the test split.
        """
        size = self.validation_size or end // (self.n_splits + 1)
        start = end - (self.n_splits - number) * size
        train_end = start - self.gap
        first = 0 if self.max_train_size is None else max(0, train_end - self.max_train_size)
        return RowSplit((first, train_end), (start, start + size))


class Fold(Config):
    """One fold of a cross-validation."""

    cross_validation: Annotated[Named, OneOf(CrossValidation, default="k_fold")]
    """How samples are split into folds."""
    number: Annotated[int, Field(ge=0)]
    """Of the fold that is the validation split, counted from 0; the others are for training."""

    @model_validator(mode="after")
    def _there_is_such_a_fold(self) -> Fold:
        folds = self.num_folds
        if self.number >= folds:
            raise ValueError(f"number={self.number}: there are {folds} folds, numbered from 0 to {folds - 1}")
        return self

    @property
    def num_folds(self) -> int:
        """Of the cross-validation, over all of its repetitions."""
        section = self.cross_validation
        assert isinstance(section, CrossValidation.Config)
        return section.num_folds

    @property
    def needs(self) -> Folds:
        """What the data must be split by."""
        owner = self.cross_validation.owner
        assert issubclass(owner, CrossValidation)
        return owner.needs

    def is_validation(self, groups: Sequence[Hashable], labels: np.ndarray | None, path: str) -> np.ndarray:
        """(N,) bool: which samples are for validation.

        Args:
            groups: (N,) samples of one group stay together.
            labels: (N,) class indices; None where samples have no single class.
            path: where the samples came from, for messages.

        Raises:
            DataError: the samples cannot be split into so many folds.
        """
        folds = self.cross_validation.build()
        assert isinstance(folds, SampleFolds)
        numbers: dict[Hashable, int] = {}
        codes = np.array([numbers.setdefault(group, len(numbers)) for group in groups], np.int64)
        return folds.validation_mask(self.number, Samples(codes, labels, path))

    def rows(self, end: int) -> RowSplit:
        """The rows of a series for training and validation.

        Args:
            end: row behind the last one that is not for the test split.
        """
        folds = self.cross_validation.build()
        assert isinstance(folds, TimeSeriesSplit)
        return folds.rows(self.number, end)


def cross_validations(fold_kinds: frozenset[str]) -> list[str]:
    """Names of the cross-validations that data can be split by."""
    return sorted(name for name, member in CrossValidation.members.items() if member.needs in fold_kinds)
