"""Arrays of sequences: what y has, and an experiment that follows from it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.inspection.result import Fields, Inspection
from lstm_lab.data.inspection.sequences import describe
from lstm_lab.data.readers.array_file import ArrayFile, read_array_file
from lstm_lab.data.readers.locate import find_file


def inspect_arrays(path: str, choices: Fields) -> Inspection:
    """An .npz file, or an .npy file of X, whose targets are in y.npy beside it."""
    data: Fields = {"name": "arrays", "path": path}
    y_path = choices.get("y_path") or (_beside(path) if path.lower().endswith(".npy") else None)
    data |= {"y_path": y_path} if y_path else {}
    file = read_array_file(path, None, y_path)
    if file.y is None:
        way_out = "name the .npy file of y by y_path=FILE" if path.lower().endswith(".npy") else "write y beside X"
        raise DataError(f"{file.path}: has X with {len(file.sequences)} sequences, but no targets y: {way_out}")
    target = choices.get("target") or _target(file.y, file)
    data |= {"target": target} if target != "class" else {}
    data |= choices
    channels = [f"channel {k + 1}" for k in range(file.sequences[0].shape[1])]
    return describe(Inspection(str(file.path), "sequences", ""), file, target, data, channels)


def _beside(path: str) -> str | None:
    """The file of y beside one of X: y.npy beside X.npy, y_train.npy beside X_train.npy; None where there is none."""
    name = Path(path).name
    for pattern, new in ((r"^[xX](?=[_.])", "y"), (r"(?<=_)[xX](?=\.)", "y"), (r"(?i)data", "labels")):
        other = re.sub(pattern, new, name)
        if other == name:
            continue
        try:
            find_file(str(Path(path).with_name(other)))
        except DataError:
            continue
        return str(Path(path).with_name(other))
    return None


def _target(y: np.ndarray, file: ArrayFile) -> str:
    """What y has, by its shape and type."""
    steps = int(file.lengths.sum())
    of_steps = y.ndim == 2 and len(y) == len(file.sequences) and y.shape[1] >= file.lengths.max() > 1
    if y.dtype.kind == "f":
        return "value"
    return "tag" if of_steps or (y.ndim == 1 and len(y) == steps and steps > len(file.sequences)) else "class"
