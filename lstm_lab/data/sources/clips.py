"""Clips of a user, of arrays of frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from lstm_lab.data.kinds.clips import ClipFiles
from lstm_lab.data.kinds.user_files import SequenceReader, no_frames
from lstm_lab.data.kinds.user_sequences import Kind, UserSequences
from lstm_lab.data.readers.clip_file import read_clip_folder, read_clips
from lstm_lab.data.readers.locate import find_folder
from lstm_lab.data.readers.sequence_file import SequenceFile


@dataclass(frozen=True)
class ClipReader:
    """How files and folders of clips are read."""

    def read(self, path: str, split: str | None = None, labelled: bool = True) -> SequenceFile:
        folder = find_folder(path)
        return read_clips(path, labelled) if folder is None else read_clip_folder(folder, split, labelled)

    def read_frame(self, frame: Any) -> SequenceFile:
        raise no_frames("clips", "a file, a folder, or arrays (N, T, H, W)")


class Clips(UserSequences, name="clips"):
    """Clips with a class each, whose frames have one size: a folder for each class, with an .npz or .npy file for each
    clip, X (T, H, W) or (T, H, W, C); or an .npz file with X (N, T, H, W) or (N, T, H, W, C) and y (N,).

    The .npz file may also have lengths (N,) in frames, groups (N,), splits (N,) and classes (names in the order of
    their indices). Pixels are standardised by one mean and standard deviation for each colour.
    """

    class Config(UserSequences.Config):
        target: Literal["class"] = "class"
        """A class for each clip."""
        missing: Literal["error"] = "error"
        """Frames have no missing values."""

        @property
        def reader(self) -> SequenceReader:
            return ClipReader()

        @property
        def dataset(self) -> Kind:
            return ClipFiles
