"""Files of sequences of a user: how they are read, and which sequence belongs to which split."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, TypedDict

import numpy as np

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.kinds.new_samples import NamedSequences
from lstm_lab.data.preprocessing.missing import Missing, filled
from lstm_lab.data.preprocessing.splits import (
    SplitFractions,
    assign_splits,
    check_given_splits,
    check_groups,
    check_named_fractions,
)
from lstm_lab.data.readers.in_memory import NewData, as_sequences, is_frame
from lstm_lab.data.readers.sequence_file import SequenceFile

Target = Literal["class", "value", "tag", "labels"]
"""What is known of a sequence: a class, values, a class for each step, or any number of labels."""


class SequenceReader(Protocol):
    """How the files of a source are read."""

    def read(self, path: str, split: str | None = None, labelled: bool = True) -> SequenceFile:
        """All sequences of a file or a folder.

        Args:
            split: to which all of them belong, whatever the data say; None: as the data say.
            labelled: whether targets, splits and groups are read; if not, they need not be there.

        Raises:
            DataError: it cannot be read, or has no sequences.
        """

    def read_frame(self, frame: Any) -> SequenceFile:
        """All sequences of a DataFrame, without targets.

        Raises:
            DataError: no such columns.
            ConfigError: the source reads no DataFrames.
        """


class UserOptions(TypedDict):
    """Arguments of a `UserFiles`."""

    source: str
    path: str
    given: dict[str, str]
    fractions: SplitFractions
    missing: Missing
    batch_size: int
    reader: SequenceReader


class UserFiles:
    """What the kinds of targets have in common: the files, and which sequence belongs to which split.

    Args:
        source: name of the data set.
        given: split -> the file of it, of those that have their own.
        fractions: of the sequences, for a validation and a test split that the data do not name.
        file: content of the file at `path`; None: it is read when it is needed.
    """

    def __init__(
        self, *, source: str, path: str, given: dict[str, str], fractions: SplitFractions, missing: Missing,
        batch_size: int, reader: SequenceReader, file: SequenceFile | None = None,
    ) -> None:  # fmt: skip
        self.name = source  # One kind of targets serves every source.
        self.path, self.given, self.fractions, self.missing = path, given, fractions, missing
        self.masked, self.batch_size, self.reader, self._file = missing == "mask", batch_size, reader, file

    @property
    def has_test_split(self) -> bool:
        return self.fractions[1] > 0

    def check_alike(self, file: SequenceFile, main: SequenceFile) -> None:
        """Raise DataError where the sequences of a split have other steps than those at `path`."""
        found, wanted = (part.sequences[0].shape[1:] for part in (file, main))
        if found != wanted:
            raise DataError(f"{file.path}: has {found[0]} channels, but {main.path} has {wanted[0]}")

    def _filled(self, file: SequenceFile) -> SequenceFile:
        return replace(file, sequences=filled(file.sequences, self.missing, str(file.path)))

    @cached_property
    def files(self) -> tuple[SequenceFile, ...]:
        """The file at `path`, and those of the given splits."""
        main = self._file or self.reader.read(self.path)
        if main.splits is not None:
            check_named_fractions(set(main.splits.tolist()), self.fractions, self.path)
            check_given_splits(self.given, main.splits, self.path)
        files = [main, *(self.reader.read(path, split) for split, path in self.given.items())]
        for file in files[1:]:
            self.check_alike(file, main)
        return tuple(map(self._filled, files))

    @cached_property
    def sequences(self) -> list[np.ndarray]:
        """N arrays (T, F) of all files."""
        return [sequence for file in self.files for sequence in file.sequences]

    @cached_property
    def named_splits(self) -> np.ndarray | None:
        """(N,) names of SPLITS; None where neither the data nor files of their own name any."""
        main = self.files[0]
        if not self.given:
            return main.splits
        first = np.full(len(main.sequences), "train") if main.splits is None else main.splits
        rest = [np.full(len(file.sequences), split) for split, file in zip(self.given, self.files[1:], strict=True)]
        names: np.ndarray = np.concatenate([first.astype("U10"), *rest])
        return names

    @cached_property
    def groups(self) -> list[Hashable]:
        """(N,) sequences of one group stay in one split: those that the data name, else equal sequences."""
        if self.files[0].groups is None:
            return [sequence.tobytes() for sequence in self.sequences]
        groups = [group for file in self.files if file.groups is not None for group in file.groups.tolist()]
        if self.named_splits is not None:
            check_groups(np.array(groups), self.named_splits, self.path)
        return groups

    def assigned(self, labels: np.ndarray) -> np.ndarray:
        """(N,) index into SPLITS of each sequence, given its class index."""
        return assign_splits(labels, self.groups, self.named_splits, self.fractions, self.path, "sequences")

    def new_sequences(self, source: NewData) -> NamedSequences:
        if isinstance(source, str | Path):
            file = self.reader.read(str(source), labelled=False)
        elif is_frame(source):
            file = self.reader.read_frame(source)
        else:
            file = SequenceFile(Path("X"), as_sequences(source, allow_missing=self.missing != "error"))
        found = self._filled(file)
        ids = found.ids or range(1, len(found.sequences) + 1)
        return NamedSequences(found.sequences, ids, found.id_column)


def groups_of_splits(files: UserFiles) -> Sequence[Hashable]:
    """(N,) groups that no two splits may share. Splits that the user names may have equal sequences."""
    named = files.named_splits is not None and files.files[0].groups is None
    return range(len(files.sequences)) if named else files.groups


def in_order(found: tuple[str, ...], file: SequenceFile) -> tuple[str, ...]:
    """Class names in the order that the file gives.

    Raises:
        DataError: the file names a class without samples to train on.
    """
    missing = next((name for name in file.classes if name not in found), None)
    if missing is not None:
        raise DataError(f"{file.path}: classes names {missing!r}, but no sequence to train on has it: remove it")
    return (*file.classes, *(name for name in found if name not in file.classes)) if file.classes else found


def no_frames(data: str, way_out: str) -> ConfigError:
    """Where a DataFrame is given to a source that reads none.

    Args:
        way_out: what to provide.
    """
    return ConfigError(f"data '{data}' takes no new samples from a DataFrame: provide {way_out}")
