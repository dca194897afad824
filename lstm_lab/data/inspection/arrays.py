"""Arrays of sequences: what y has, and an experiment that follows from it."""

from __future__ import annotations

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.inspection.given_files import targets_beside
from lstm_lab.data.inspection.result import Fields, Inspection
from lstm_lab.data.inspection.sequences import inspect_sequences
from lstm_lab.data.readers.array_file import read_array_file
from lstm_lab.data.readers.sequence_file import SequenceFile, are_whole, is_one_hot

MAX_CLASSES = 20
"""Different whole numbers of a floating point type that are classes."""


def inspect_arrays(path: str, choices: Fields) -> Inspection:
    """An .npz file, or an .npy file of X, whose targets are in y.npy beside it."""
    data: Fields = {"name": "arrays", "path": path}
    y_path = choices.get("y_path") or (targets_beside(path) if path.lower().endswith(".npy") else None)
    data |= {"y_path": y_path} if y_path else {}
    file = read_array_file(path, None, y_path, allow_missing=True)
    if file.y is None:
        way_out = "name the .npy file of y by y_path=FILE" if path.lower().endswith(".npy") else "write y beside X"
        raise DataError(f"{file.path}: has X with {len(file.sequences)} sequences, but no targets y: {way_out}")
    target = choices.get("target") or _target(file.y, file)
    data |= {"target": target} if target != "class" else {}
    return inspect_sequences(Inspection(str(file.path), "sequences", ""), {**data, **choices})


def _target(y: np.ndarray, file: SequenceFile) -> str:
    """What y has, by its shape and type."""
    steps = int(file.lengths.sum())
    if y.ndim == 2 and len(y) == len(file.sequences) and 1 < y.shape[1] < file.lengths.max() and y.dtype.kind in "fiub":
        if is_one_hot(y):
            return "class"
        if np.isin(y, (0, 1)).all():
            return "labels"
    of_steps = y.ndim == 2 and len(y) == len(file.sequences) and y.shape[1] >= file.lengths.max() > 1
    if y.dtype.kind == "f" and not (are_whole(y) and len(np.unique(y)) <= min(MAX_CLASSES, len(y) // 4)):
        return "value"
    return "tag" if of_steps or (y.ndim == 1 and len(y) == steps and steps > len(file.sequences)) else "class"
