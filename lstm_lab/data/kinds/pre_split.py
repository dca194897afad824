"""Sequences of any length whose source gives three splits, none of which shares a group with another."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic

import numpy as np
from typing_extensions import TypeVar

from lstm_lab.config import DataError
from lstm_lab.data.base import Dataset, InfoT, Split
from lstm_lab.data.kinds.new_samples import NamedSequences, new_sequences
from lstm_lab.data.preprocessing.cross_validation import Fold
from lstm_lab.data.preprocessing.splits import no_test_split
from lstm_lab.data.readers.cache import digest
from lstm_lab.data.readers.in_memory import NewData

Targets = list[np.ndarray] | np.ndarray | None
TargetsT = TypeVar("TargetsT", bound=Targets, default=Any)
SplitT = TypeVar("SplitT", bound=Split, default=Split)


@dataclass(frozen=True)
class RawSplit(Generic[TargetsT]):
    """One split as a source reads it."""

    sequences: Sequence[np.ndarray]
    """N arrays (T, I), or (T,) of token numbers."""
    groups: Sequence[Hashable]
    """N: the person, protein or piece that a sequence belongs to. No group is in two splits."""
    targets: TargetsT
    """N arrays (T,) of class indices, or one array (N, K) of values; None where the sequence is its own target."""

    def __len__(self) -> int:
        return len(self.sequences)

    def without_groups(self, groups: set[Hashable]) -> RawSplit[TargetsT]:
        """The sequences of all other groups."""
        return self.at([i for i, group in enumerate(self.groups) if group not in groups])

    def at(self, index: Sequence[int]) -> RawSplit[TargetsT]:
        """Some of the sequences."""
        targets: Targets = self.targets
        if isinstance(targets, np.ndarray):
            targets = targets[index]
        elif targets is not None:
            targets = [targets[i] for i in index]
        return RawSplit([self.sequences[i] for i in index], [self.groups[i] for i in index], targets)  # type: ignore[arg-type]

    def __add__(self, other: RawSplit[TargetsT]) -> RawSplit[TargetsT]:
        targets: Targets = None
        if isinstance(self.targets, np.ndarray) and isinstance(other.targets, np.ndarray):
            targets = np.concatenate([self.targets, other.targets])
        elif isinstance(self.targets, list) and isinstance(other.targets, list):
            targets = self.targets + other.targets
        return RawSplit([*self.sequences, *other.sequences], [*self.groups, *other.groups], targets)  # type: ignore[arg-type]


@dataclass(frozen=True)
class RawSplits(Generic[TargetsT]):
    """The three splits of a data set."""

    train: RawSplit[TargetsT]
    validation: RawSplit[TargetsT]
    test: RawSplit[TargetsT]

    def named(self) -> dict[str, RawSplit[TargetsT]]:
        """Name for messages -> split."""
        return {"training": self.train, "validation": self.validation, "test": self.test}

    def without_copies(self) -> RawSplits[TargetsT]:
        """Without leaks: a group that is in several splits stays in the last of them alone."""
        test = set(self.test.groups)
        validation = self.validation.without_groups(test)
        return RawSplits(self.train.without_groups(test | set(validation.groups)), validation, self.test)

    def of_fold(self, fold: Fold, path: str) -> RawSplits[TargetsT]:
        """With the training and the validation split as a fold has them; no group is in both.

        Raises:
            DataError: there are too few groups.
        """
        both = self.train + self.validation
        mask = fold.is_validation(both.groups, None, path)
        train, validation = (both.at(np.flatnonzero(part).tolist()) for part in (~mask, mask))
        return RawSplits(train, validation, self.test)


class PreSplit(Dataset[InfoT], Generic[InfoT, TargetsT, SplitT]):
    """Base of sources that come in three splits. A source writes `read`, a kind of target writes `make_split`."""

    folds_by = frozenset({"samples"})

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size

    @abstractmethod
    def read(self) -> RawSplits[TargetsT]:
        """All three splits."""

    @abstractmethod
    def make_split(self, raw: RawSplit[TargetsT]) -> SplitT:
        """A split from which batches can be taken."""

    @cached_property
    def raw(self) -> RawSplits[TargetsT]:
        """All three splits, read once.

        Raises:
            DataError: a split is empty, or a group is in two of them.
        """
        raw = self.read()
        split_of: dict[Hashable, str] = {}
        for name, split in raw.named().items():
            if not len(split) and (split is not raw.test or self.has_test_split):
                raise DataError(f"{self.name}: the {name} split is empty: it needs at least one sequence")
            for group in dict.fromkeys(split.groups):
                if group in split_of:
                    what = repr(group) if len(repr(group)) < 40 else f"a group of the {name} split"
                    raise DataError(f"{self.name}: {what} is in both the {split_of[group]} and the {name} split: the "
                                    "targets would leak")  # fmt: skip
                split_of[group] = name
        if self.train_on_validation:
            return RawSplits(raw.train + raw.validation, raw.validation, raw.test)
        return raw if self.fold is None else raw.of_fold(self.fold, f"data '{self.name}'")

    def new_sequences(self, source: NewData) -> NamedSequences:
        """Sequences (T, I) of new samples."""
        return new_sequences(source, self.name)

    @cached_property
    def train(self) -> SplitT:
        return self.make_split(self.raw.train)

    @cached_property
    def validation(self) -> SplitT:
        return self.make_split(self.raw.validation)

    def test_split(self) -> SplitT:
        if not self.has_test_split:
            raise no_test_split(self.name)
        return self.make_split(self.raw.test)

    @cached_property
    def digest(self) -> str:
        content: list[object] = []
        for split in self.raw.named().values():
            if not len(split):
                continue
            content += [np.concatenate(split.sequences), [len(sequence) for sequence in split.sequences]]
            targets: Targets = split.targets
            if targets is not None:
                content.append(np.concatenate(targets) if isinstance(targets, list) else targets)
        return digest(*content)
