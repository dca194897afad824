"""Clips with a class each: their frames, their classes, copies, and the experiment that trains on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.config.validation import validate
from lstm_lab.data.base import Dataset
from lstm_lab.data.inspection.given_files import given_fields
from lstm_lab.data.inspection.images import inspect_pictures
from lstm_lab.data.inspection.result import (
    Fields,
    Inspection,
    classification_task,
    length_statistics,
)
from lstm_lab.data.kinds.clips import ClipFiles
from lstm_lab.data.readers.array_file import UNREADABLE, load_arrays
from lstm_lab.data.readers.clip_file import ENDINGS
from lstm_lab.data.readers.folders import files_of_folder
from lstm_lab.data.readers.image_file import CHANNELS, size_text
from lstm_lab.data.readers.locate import candidates


def has_clips(path: str, folder: Path | None) -> bool:
    """Whether a folder has arrays in folders for classes, or a file has clips by the shape of its X."""
    if folder is not None:
        try:
            files = [file for file in files_of_folder(folder, ENDINGS, mixed=True) if file.label]
            # An array (T, F) of each file is a sequence.
            return bool(files) and load_arrays(files[0].path).get("X", np.empty(0)).ndim != 2
        except DataError:
            return False
    file = next((place for place in candidates(path) if place.is_file()), None)
    if file is None or not path.lower().endswith(".npz"):
        return False
    try:
        with np.load(file, allow_pickle=False) as arrays:
            X = arrays["X"] if "X" in arrays.files else np.empty(0)
    except UNREADABLE:
        return False
    return X.ndim == 5 or (X.ndim == 4 and X.shape[-1] not in CHANNELS)


def inspect_clips(path: str, choices: Fields) -> Inspection:
    """A folder or an .npz file of clips."""
    data: Fields = {"name": "clips", "path": path, **choices}
    data |= given_fields(data)
    files: ClipFiles = validate(Dataset.members["clips"].Config, data, path).build()
    result = Inspection(str(files.files[0].path), "clips", "")
    result.statistics |= {"clips": len(files.labels), "size": size_text(files.shape)}
    result.statistics |= length_statistics(map(len, files.sequences), "frames")
    inspect_pictures(result, "clips", files)
    task = classification_task(result.classes)
    result.experiment = {
        "data": {**data, "batch_size": data.get("batch_size", 16 if len(files.labels) < 1000 else 32)},
        "task": task if len(task) > 1 else task["name"],
        "model": "video",
        "optimizer": {"lr": 3e-3},
        "trainer": {"max_epochs": 30},
    }
    return result
