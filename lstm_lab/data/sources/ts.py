"""Labelled sequences of a user, from a .ts file."""

from __future__ import annotations

from typing import Unpack

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.kinds.new_samples import NamedSequences, numbered
from lstm_lab.data.kinds.user_sequences import UserData, UserSequenceOptions, UserSequences
from lstm_lab.data.readers.locate import find_file
from lstm_lab.data.readers.ts_file import read_ts
from lstm_lab.paths import FilePath


class TS(UserSequences, name="ts"):
    """A .ts file of the UEA and UCR archives: one line for each sequence, its channels separated by colons, its class
    last. Read by aeon, which converts class names to lower case."""

    class Config(UserSequences.Config):
        test_path: FilePath | None = None
        """File of the test split; null: a fraction of `path`."""

    def __init__(self, *, test_path: str | None, **options: Unpack[UserSequenceOptions]) -> None:
        super().__init__(**options)
        self.test_path = test_path

    def read_all(self) -> UserData:
        sequences, labels = read_ts(find_file(self.path))
        if self.test_path is None:
            return UserData(sequences, labels)
        test, test_labels = read_ts(find_file(self.test_path))
        if test[0].shape[1] != sequences[0].shape[1]:
            raise DataError(f"{self.test_path}: has {test[0].shape[1]} channels, but {self.path} has "
                            f"{sequences[0].shape[1]}")  # fmt: skip
        splits = np.array(["train"] * len(sequences) + ["test"] * len(test))
        return UserData([*sequences, *test], np.concatenate([labels, test_labels]), splits)

    def read_unlabelled(self, path: str) -> NamedSequences:
        return numbered(read_ts(find_file(path), labelled=False)[0])
