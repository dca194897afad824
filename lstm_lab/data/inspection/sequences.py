"""Labelled sequences of numbers: the classes, their lengths, and copies."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.inspection.columns import ID_NAMES, TIME_NAMES, Columns
from lstm_lab.data.inspection.copies import copy_statistics, group_numbers, similar_sequences
from lstm_lab.data.inspection.result import Fields, Inspection, balance_warnings, classification_task, length_statistics
from lstm_lab.data.kinds.user_sequences import UserData
from lstm_lab.data.readers.array_file import ArrayFile
from lstm_lab.data.readers.csv_format import FORMAT_FIELDS
from lstm_lab.data.readers.locate import find_file
from lstm_lab.data.sources.csv_sequences import CSVSequences
from lstm_lab.data.sources.ts import TS
from lstm_lab.validation import validate


def inspect_ts(path: str, choices: Fields) -> Inspection:
    """A .ts file; next to NAME_TRAIN.ts, NAME_TEST.ts is the test split."""
    data: Fields = {"name": "ts", "path": path}
    test = re.sub(r"_train(?=\.ts$)", lambda end: "_TEST" if end[0].isupper() else "_test", path, flags=re.IGNORECASE)
    if test != path and "test_path" not in choices:
        try:
            find_file(test)
            data["test_path"] = test
        except DataError:
            pass
    data |= choices
    found = validate(TS.Config, data, path).build().read_all()
    channels = [f"channel {k + 1}" for k in range(found.sequences[0].shape[1])]
    return describe_labelled(Inspection(str(find_file(path)), "sequences", ""), found, data, channels)


def inspect_table(columns: Columns, choices: Fields) -> Inspection:
    """A table with a row for each step of each sequence."""
    for field in ("id", "label", "channels", "split", "group"):
        columns.check(field, choices.get(field))
    of_values = choices.get("target") == "value" or ("target" not in choices and not columns.sequence_columns())
    values = columns.value_columns() if of_values else None
    found_id, found_label = columns.sequence_columns() or values or (None, None)
    id_ = choices.get("id") or found_id or columns.first_named(ID_NAMES, columns.names)
    if id_ is None:
        raise DataError(f"{columns.path}: no column of the sequence that a row belongs to: set it by id=COLUMN")
    constant = [name for name in columns.of_kind("category", "number")
                if name != id_ and columns.is_constant(name, id_)]  # fmt: skip
    label = choices.get("label") or found_label or columns.class_column(constant)
    if label is None:
        raise DataError(f"{columns.path}: no column of classes was found: set it by label=COLUMN")
    split = choices.get("split") or columns.split_column()
    numbers = [name for name in columns.of_kind("number")
               if name not in (id_, label, split, choices.get("group")) and name.lower() not in TIME_NAMES]  # fmt: skip
    data: Fields = {"name": "csv_sequences", "path": columns.path, "id": id_, "label": label,
                            "channels": choices.get("channels") or numbers}  # fmt: skip
    data |= ({"target": "value"} if values and not choices.get("label") else {}) | ({"split": split} if split else {})
    data |= columns.marks
    data |= choices
    channels = (data["channels"],) if isinstance(data["channels"], str) else tuple(data["channels"])
    fields: Fields = {
        key: data[key] for key in ("id", "label", "target", "split", "group", *sorted(FORMAT_FIELDS)) if key in data
    }
    fields |= {"path": columns.path, "channels": channels}
    file = validate(CSVSequences.Config, fields, columns.path).rows.read(columns.path)
    target = data.get("target", "class")
    result = describe(Inspection(str(columns.table.path), "sequences", ""), file, target, data, list(channels))
    used = {
        id_: "sequence",
        label: {"class": "class", "value": "target", "tag": "class of the step"}[target],
        **dict.fromkeys(channels, "channel"),
    }
    result.columns = columns.describe(used | ({split: "split"} if split else {}))
    return result


def describe_labelled(result: Inspection, found: UserData, data: Fields, channels: list[str]) -> Inspection:
    """Statistics and warnings of labelled sequences, and the experiment that trains on them."""
    labels = found.labels.tolist()
    result.classes = dict(Counter(labels).most_common())
    result.statistics |= {
        "sequences": len(found.sequences), "channels": len(channels), "classes": len(result.classes),
        **length_statistics(map(len, found.sequences), "steps"),
    }  # fmt: skip
    if found.splits is not None:
        result.statistics |= {f"{split} sequences": count for split, count in Counter(found.splits.tolist()).items()}
    keys = group_numbers([sequence.tobytes() for sequence in found.sequences])
    similar = similar_sequences(found.sequences)
    statistics, warnings = copy_statistics(keys, similar, labels, found.splits, "sequences")
    result.statistics |= statistics
    result.warnings += warnings + (balance_warnings(result.classes) if len(result.classes) > 1 else [])
    constant = np.flatnonzero(np.ptp(np.concatenate(found.sequences), axis=0) == 0)
    if len(constant):
        result.warnings.append(f"{channels[constant[0]]} is constant ({len(constant)} channels in total): it carries "
                               "no information")  # fmt: skip
    result.title = f"Classification of sequences into {len(result.classes)} classes"
    batch_size = 16 if len(labels) < 1000 else 64
    result.experiment = {
        "data": {**data, **({"batch_size": batch_size} if "batch_size" not in data else {})},
        "task": classification_task(result.classes),
        "model": {"bidirectional": True, "pooling": "mean", "dropout": {"output": 0.2}},
        "optimizer": {"lr": 5e-3},
        "trainer": {"max_epochs": 30},
    }
    return result


def describe(result: Inspection, file: ArrayFile, target: str, data: Fields, channels: list[str]) -> Inspection:
    """Statistics of sequences with targets of any kind, and the experiment that trains on them.

    Args:
        target: "class", "value" or "tag".
    """
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
