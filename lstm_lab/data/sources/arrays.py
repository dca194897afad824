"""Sequences of a user, from an .npz file, .npy files or arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import model_validator

from lstm_lab.config.paths import FilePath
from lstm_lab.data.kinds.user_files import SequenceReader, no_frames
from lstm_lab.data.kinds.user_sequences import UserSequences
from lstm_lab.data.readers.array_file import read_array_file
from lstm_lab.data.readers.columns import Sha256
from lstm_lab.data.readers.sequence_file import SequenceFile


@dataclass(frozen=True)
class ArrayReader:
    """How .npz and .npy files are read."""

    y_paths: tuple[tuple[str, str], ...] = ()
    """Split and .npy file of its y, of those whose X is an .npy file."""
    sha256: str | None = None
    """Of the file with the training split."""
    allow_missing: bool = False

    def read(self, path: str, split: str | None = None, labelled: bool = True) -> SequenceFile:
        sha256 = self.sha256 if split is None and labelled else None
        y_path = dict(self.y_paths).get(split or "train") if labelled else None
        return read_array_file(path, sha256, y_path, self.allow_missing)

    def read_frame(self, frame: Any) -> SequenceFile:
        raise no_frames("arrays", "an .npz file, or arrays (T, F)")


class ArrayDataset(UserSequences, name="arrays"):
    """Sequences of an .npz or HDF5 file, or of .npy files: arrays X (N, T, F) and y, and lengths (N,) where sequences
    have different ones; or X (sum of T, F) with the sequences one behind the other. `lab.data.arrays` writes such a
    file.

    y has a class for each sequence (N,), values to predict (N,) or (N, K), or a class for each step (N, T) or
    (sum of T,). The file may also have groups (N,), splits (N,), classes (the order of the class names) and targets
    (names of the values). Channels are standardised by the training split.
    """

    class Config(UserSequences.Config):
        y_path: FilePath | None = None
        """An .npy file of y, where `path` is an .npy file of X; null: y is in the .npz file."""
        validation_y_path: FilePath | None = None
        """The same for `validation_path`."""
        test_y_path: FilePath | None = None
        """The same for `test_path`."""
        sha256: Sha256 | None = None
        """Of the file at `path`, as hex digits, where no other content is accepted; null: not checked."""

        @model_validator(mode="after")
        def _targets_belong_to_a_file(self) -> ArrayDataset.Config:
            for split, path in (("validation", self.validation_y_path), ("test", self.test_y_path)):
                if path is not None and split not in self.given:
                    raise ValueError(f"{split}_y_path would have no effect without {split}_path: set it to the file of "
                                     "X")  # fmt: skip
            return self

        @property
        def reader(self) -> SequenceReader:
            paths = {"train": self.y_path, "validation": self.validation_y_path, "test": self.test_y_path}
            given = tuple((split, path) for split, path in paths.items() if path is not None)
            return ArrayReader(given, self.sha256, self.missing != "error")
