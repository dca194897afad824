"""Images with a class each: their size, their classes, copies, and the experiment that trains on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.config.validation import validate
from lstm_lab.data.base import Dataset
from lstm_lab.data.inspection.copies import copy_statistics, group_numbers, similar_sequences
from lstm_lab.data.inspection.given_files import given_fields
from lstm_lab.data.inspection.result import Fields, Inspection, balance_warnings, classification_task
from lstm_lab.data.kinds.images import ImageFiles
from lstm_lab.data.kinds.user_sequences import LabelledFiles
from lstm_lab.data.readers.array_file import UNREADABLE
from lstm_lab.data.readers.folders import files_of_folder
from lstm_lab.data.readers.image_file import ENDINGS, size_text
from lstm_lab.data.readers.locate import candidates


def has_images(path: str, folder: Path | None) -> bool:
    """Whether a folder has image files alone, or a file holds images by its name or by the shape of its X."""
    if folder is not None:
        try:
            return bool(files_of_folder(folder, ENDINGS, mixed=True))
        except DataError:
            return False
    if "idx3-ubyte" in path.lower():
        return True
    file = next((place for place in candidates(path) if place.is_file()), None)
    if file is None or not path.lower().endswith(".npz"):
        return False
    try:
        with np.load(file, allow_pickle=False) as arrays:
            names = {name.lower() for name in arrays.files}
            if "X" in arrays.files:
                return bool(arrays["X"].ndim == 4)
            return bool(names & {"x_train", "train_images"}) and _has_pixels(arrays)
    except UNREADABLE:
        return False


def _has_pixels(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether training samples have the shape of images, and whole numbers as pixels or several channels."""
    train = next(arrays[name] for name in arrays if name.lower() in ("x_train", "train_images"))
    return train.ndim == 4 or (train.ndim == 3 and train.dtype.kind in "iub")


def inspect_images(path: str, choices: Fields) -> Inspection:
    """A folder, an .npz file or an IDX file of images."""
    data: Fields = {"name": "images", "path": path, **choices}
    data |= given_fields(data)
    files: ImageFiles = validate(Dataset.members["images"].Config, data, path).build()
    result = Inspection(str(files.files[0].path), "images", "")
    result.statistics |= {"images": len(files.labels), "size": size_text(files.shape)}
    inspect_pictures(result, "images", files)
    task = classification_task(result.classes)
    result.experiment = {
        "data": {**data, "batch_size": data.get("batch_size", 16 if len(files.labels) < 1000 else 64)},
        "task": task if len(task) > 1 else task["name"],
        "model": {"bidirectional": True, "pooling": "max", "dropout": {"output": 0.2}},
        "optimizer": {"lr": 5e-3},
        "trainer": {"max_epochs": 30},
    }
    return result


def inspect_pictures(result: Inspection, what: str, files: LabelledFiles) -> None:
    """Enter splits, copies and classes of images or clips.

    Args:
        what: they are called.
    """
    labels, splits = files.labels.tolist(), files.named_splits
    if splits is not None:
        result.statistics |= {f"{split} {what}": count for split, count in Counter(splits.tolist()).items()}
    keys = group_numbers([sequence.tobytes() for sequence in files.sequences])
    statistics, warnings = copy_statistics(keys, similar_sequences(files.sequences), labels, splits, what)
    result.statistics |= statistics
    result.classes = {str(name): count for name, count in Counter(labels).most_common()}
    result.statistics["classes"] = len(result.classes)
    result.title = f"Classification of {what} into {len(result.classes)} classes"
    result.warnings += [*warnings, *(balance_warnings(result.classes) if len(result.classes) > 1 else [])]
