"""Arrays of sequences: what y has, and an experiment that follows from it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.inspection.result import Fields, Inspection, length_statistics
from lstm_lab.data.inspection.sequences import describe_labelled
from lstm_lab.data.kinds.user_sequences import UserData
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
    result = Inspection(str(file.path), "sequences", "")
    if target == "class":
        return describe_labelled(result, UserData(file.sequences, file.labels(), file.splits), data, channels)
    result.statistics |= {
        "sequences": len(file.sequences), "channels": len(channels),
        **length_statistics(map(len, file.sequences), "steps"),
    }  # fmt: skip
    if target == "value":
        values = file.values()
        for name, column in zip(file.targets or [f"y{k + 1}" for k in range(values.shape[1])], values.T, strict=False):
            result.statistics[f"{name}, minimum to maximum"] = f"{column.min():g} to {column.max():g}"
        result.title = f"Regression of sequences: {values.shape[1]} values for each"
    else:
        names, counts = np.unique(np.concatenate(file.step_labels()), return_counts=True)
        result.classes = {str(name): int(count) for name, count in zip(names, counts, strict=True) if name}
        result.title = f"One of {len(result.classes)} classes for each step of a sequence"
    pooling: Fields = {"pooling": "mean"} if target == "value" else {}
    result.experiment = {
        "data": {"batch_size": 16 if len(file.sequences) < 1000 else 64, **data},
        "task": "regress" if target == "value" else "tag",
        "model": {"bidirectional": True, **pooling, "dropout": {"output": 0.2}},
        "optimizer": {"lr": 5e-3},
        "trainer": {"max_epochs": 30},
    }
    return result


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
