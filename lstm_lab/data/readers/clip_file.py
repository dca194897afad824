"""Clips of a user and their classes: a folder with an array of frames for each, or one file with all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.preprocessing.splits import SPLITS
from lstm_lab.data.readers.array_file import load_arrays
from lstm_lab.data.readers.folders import files_of_folder
from lstm_lab.data.readers.image_file import as_images, folder_classes, folder_splits, size_text
from lstm_lab.data.readers.locate import find_file
from lstm_lab.data.readers.sequence_file import SequenceFile

ENDINGS = (".npz", ".npy")


def read_clips(path: str, labelled: bool) -> SequenceFile:
    """The clips (T, H, W, C) of an .npz or .npy file as `SequenceFile.sequences`.

    The file has X (N, T, H, W) or (N, T, H, W, C), or X of one clip where no class is asked for; and y (N,), which is a
    class each, and perhaps lengths (N,) in frames, groups, splits and classes.

    Raises:
        DataError: it cannot be read, or its arrays do not fit together.
    """
    file = find_file(path)
    arrays = load_arrays(file)
    X = arrays.get("X")
    if X is None:
        raise DataError(f"{file}: has no array X: write the clips (N, T, H, W) under this name, and their classes as y")
    if not labelled:
        return SequenceFile(file, as_clips(X if X.ndim > 4 or _is_many(X) else X[None], str(file)), id_column="clip")
    clips, lengths = as_clips(X, str(file)), arrays.get("lengths")
    for name in ("y", "lengths", "groups", "splits"):
        if name in arrays and arrays[name].shape != (len(clips),):
            raise DataError(f"{file}: has {len(clips)} clips, but {name} has shape {arrays[name].shape}: provide one "
                            "entry for each clip")  # fmt: skip
    if "y" not in arrays:
        raise DataError(f"{file}: has no array y: write the class of each clip under this name")
    if lengths is not None:
        if lengths.dtype.kind not in "iu" or lengths.min() < 1 or lengths.max() > X.shape[1]:
            raise DataError(f"{file}: lengths must be whole numbers from 1 to {X.shape[1]}, the frames of X")
        clips = [clip[:length] for clip, length in zip(clips, lengths, strict=True)]
    splits = arrays.get("splits")
    if splits is not None and not np.isin(splits, SPLITS).all():
        wrong = next(str(split) for split in splits if split not in SPLITS)
        raise DataError(f"{file}: splits has {wrong!r}: use {', '.join(SPLITS)}")
    classes = tuple(str(name) for name in arrays.get("classes", ()))
    return SequenceFile(file, clips, arrays["y"], arrays.get("groups"), splits, classes)


def read_clip_folder(root: Path, split: str | None = None, labelled: bool = True) -> SequenceFile:
    """The clips of a folder with a file for each, whose classes are the names of the folders that they lie in.

    Args:
        split: of all of them, whatever the folders are called; None: as folders train, validation and test say.

    Raises:
        DataError: no clips, or one that cannot be read or whose frames have another size.
    """
    files = files_of_folder(root, ENDINGS, mixed=True, what="a clip")
    clips = [_read_clip(file.path) for file in files]
    for file, clip in zip(files, clips, strict=True):
        if clip.shape[1:] != clips[0].shape[1:]:
            raise DataError(f"{file.path}: has frames of {size_text(clip.shape[1:])}, but {files[0].path.name} of "
                            f"{size_text(clips[0].shape[1:])}: make all of one size")  # fmt: skip
    if not labelled:
        return SequenceFile(root, clips, ids=[file.id for file in files], id_column="file")
    return SequenceFile(root, clips, folder_classes(files), None, folder_splits(root, files, split))


def _read_clip(path: Path) -> np.ndarray:
    """One clip (T, H, W, C): the array X of a file."""
    X = load_arrays(path).get("X")
    if X is None:
        raise DataError(f"{path}: has no array X: write the frames (T, H, W) or (T, H, W, C) under this name")
    return as_clips(X[None], str(path))[0]


def as_clips(arrays: object, name: str) -> list[np.ndarray]:
    """N clips (T, H, W, C) of one array (N, T, H, W) or (N, T, H, W, C), or of a list of clips.

    Args:
        name: of the arrays, for messages.

    Raises:
        DataError: not such arrays, or numbers that are not finite.
    """
    if isinstance(arrays, np.ndarray) and arrays.ndim not in (4, 5):
        raise DataError(f"{name}: has shape {arrays.shape}, but clips are (N, T, H, W) or (N, T, H, W, C): reshape it")
    if not isinstance(arrays, np.ndarray | list | tuple) or not len(arrays):
        raise DataError(f"{name}: has no clips: provide an array (N, T, H, W) or (N, T, H, W, C)")
    return [np.stack(as_images(np.asarray(clip), f"{name}: clip {number}")) for number, clip in enumerate(arrays, 1)]


def _is_many(X: np.ndarray) -> bool:
    """Whether an array of four dimensions is (N, T, H, W), and not one clip of colours (T, H, W, C)."""
    return X.ndim == 4 and X.shape[-1] not in (1, 3, 4)
