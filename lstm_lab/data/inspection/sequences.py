"""Sequences of numbers: their targets, their lengths, missing values, and copies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from lstm_lab.config import ConfigError, DataError
from lstm_lab.config.validation import validate
from lstm_lab.data.base import Dataset
from lstm_lab.data.inspection.copies import copy_statistics, group_numbers, similar_sequences
from lstm_lab.data.inspection.given_files import given_fields, not_used
from lstm_lab.data.inspection.result import Fields, Inspection, balance_warnings, classification_task, length_statistics
from lstm_lab.data.kinds.tagged_words import TaggedWordFiles
from lstm_lab.data.kinds.user_files import UserFiles
from lstm_lab.data.kinds.user_sequences import LabelledFiles, MultiLabelFiles, RegressionFiles, TaggedFiles
from lstm_lab.data.preprocessing.splits import SPLITS, unlearnable_classes
from lstm_lab.data.readers.locate import find_file
from lstm_lab.data.readers.ts_file import ts_target


def inspect_ts(path: str, choices: Fields) -> Inspection:
    """A .ts file; next to NAME_TRAIN.ts, NAME_TEST.ts is the test split."""
    file = find_file(path)
    data: Fields = {"name": "ts", "path": path}
    data |= {"target": "value"} if ts_target(file) == "value" else {}
    return inspect_sequences(Inspection(str(file), "sequences", ""), {**data, **choices})


def inspect_sequences(
    result: Inspection, data: Fields, channels: Sequence[str] = (), of_words: bool = False
) -> Inspection:
    """Statistics and warnings of sequences with targets of any kind, and the experiment that trains on them.

    Args:
        data: fields of the data set; those of files beside it and of missing values are added.
        channels: their names; empty: they are numbered.
        of_words: whether steps are words, of which none is missing.
    """
    files, data = _read(result, data, of_words or "words" in data)
    if isinstance(files, TaggedWordFiles):
        return _inspect_words(result, files, data)
    read = [*map(_without_missing, files.sequences)]
    F = read[0].shape[1]
    channels = channels or files.files[0].channels or [f"channel {k + 1}" for k in range(F)]
    result.statistics |= {"sequences": len(read), "channels": F, **length_statistics(map(len, read), "steps")}
    splits = files.named_splits
    if splits is not None:
        result.statistics |= {f"{split} sequences": count for split, count in Counter(splits.tolist()).items()}
    labels = [""] * len(read)
    if isinstance(files, LabelledFiles):
        labels = [str(label) for label in files.labels]
    keys = group_numbers([sequence.tobytes() for sequence in read])
    statistics, warnings = copy_statistics(keys, similar_sequences(read), labels, splits, "sequences")
    result.statistics |= statistics
    result.warnings += warnings
    constant = np.flatnonzero(np.ptp(np.concatenate(read), axis=0) == 0)
    if len(constant):
        result.warnings.append(f"{channels[constant[0]]} is constant ({len(constant)} channels in total): it carries "
                               "no information")  # fmt: skip
    task = _describe_targets(result, files)
    # Chosen by benchmarks/proposals.md.
    pooling: Fields = {
        "classify": {"pooling": "max"},
        "multi_label": {"pooling": "max"},
        "regress": {"pooling": "mean"},
    }.get(str(task["name"]), {})
    result.experiment = {
        "data": {**data, "batch_size": data.get("batch_size", 16 if len(read) < 1000 else 64)},
        "task": task if len(task) > 1 else task["name"],
        "model": {"bidirectional": True, **pooling, "dropout": {"output": 0.2}},
        "optimizer": {"lr": 5e-3},
        "trainer": {"max_epochs": 30},
    }
    return result


def _inspect_words(result: Inspection, files: TaggedWordFiles, data: Fields) -> Inspection:
    """Statistics of sequences of words with a class for each, and the experiment that trains on them."""
    words = Counter(np.concatenate(files.sequences).tolist())
    result.statistics |= {
        "sequences": len(files.sequences), "different words": len(words),
        "words that occur once": sum(count == 1 for count in words.values()),
        **length_statistics(map(len, files.sequences), "words"),
    }  # fmt: skip
    if files.named_splits is not None:
        result.statistics |= {f"{split} sequences": n for split, n in Counter(files.named_splits.tolist()).items()}
    _describe_targets(result, files)
    result.title = f"One of {len(result.classes)} classes for each word"
    result.experiment = {
        "data": {**data, "batch_size": data.get("batch_size", 16 if len(files.sequences) < 1000 else 64)},
        "task": "tag",
        "model": {"bidirectional": True, "embedding": {"dim": 64}, "dropout": {"output": 0.3}},
        "optimizer": {"lr": 5e-3},
        "trainer": {"max_epochs": 20},
    }
    return result


def _read(result: Inspection, data: Fields, of_words: bool) -> tuple[UserFiles, Fields]:
    """All sequences, with missing values as NaN where they may be masked; and the fields, completed."""
    given = given_fields(data)
    trial = data if of_words else {"missing": "mask", **data}
    try:
        files = _build({**trial, **given}, result.path)
    except DataError as error:
        if not given:
            raise
        files = _build(trial, result.path)  # The file itself may be the one that cannot be read.
        result.warnings.append(not_used(given, error))
        given = {}
    data = {**data, **given}
    if isinstance(files, TaggedWordFiles):
        return files, data
    missing = [np.isnan(sequence) for sequence in files.sequences]
    count = sum(int(mask.sum()) for mask in missing)
    if count and "missing" not in data:
        within = sum(bool(mask.any()) for mask in missing)
        data["missing"] = "mask"
        result.statistics["missing values"] = count
        result.warnings.append(f"{count} values are missing, in {within} of {len(missing)} sequences: missing=mask "
                               "gives the model zeros and a mask; forward_fill takes the value before")  # fmt: skip
    return files, data


def _build(data: Fields, where: str) -> UserFiles:
    files = validate(Dataset.members[str(data["name"])].Config, data, where).build()
    if not isinstance(files, UserFiles):
        raise ConfigError(f"name={data['name']}: does not read {where}: leave it out")
    _ = files.sequences
    if isinstance(files, LabelledFiles):
        _ = files.labels
    return files


def _without_missing(sequence: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(sequence), 0.0, sequence)


def _describe_targets(result: Inspection, files: UserFiles) -> dict[str, str]:
    """The task that goes with the targets; their statistics, title and warnings become part of the result."""
    if isinstance(files, RegressionFiles):
        values = np.concatenate([file.values() for file in files.files])
        for name, column in zip(files.targets, values.T, strict=True):
            result.statistics[f"{name}, minimum to maximum"] = f"{column.min():g} to {column.max():g}"
        count = "a value" if values.shape[1] == 1 else f"{values.shape[1]} values"
        result.title = f"Regression of sequences: {count} for each"
        return {"name": "regress"}
    if isinstance(files, TaggedFiles):
        names = [name for labels in files.step_labels for name in labels.tolist() if name]
        result.classes = dict(Counter(names).most_common())
        result.title = f"One of {len(result.classes)} classes for each step of a sequence"
        return {"name": "tag"}
    if isinstance(files, MultiLabelFiles):
        counts = files.coded.targets.sum(0, dtype=np.int64).tolist()
        order = sorted(zip(counts, files.coded.names, strict=True), reverse=True)
        result.classes = {name: count for count, name in order}
        result.statistics["sequences without a label"] = int((~files.coded.targets.any(1)).sum())
        result.title = f"Which of {len(result.classes)} labels a sequence has, any number of them"
        return {"name": "multi_label", "monitor": "loss"}
    assert isinstance(files, LabelledFiles)
    result.classes = {str(name): count for name, count in Counter(files.labels.tolist()).most_common()}
    result.statistics["classes"] = len(result.classes)
    result.title = f"Classification of sequences into {len(result.classes)} classes"
    result.warnings += balance_warnings(result.classes) if len(result.classes) > 1 else []
    if files.named_splits is not None:
        result.warnings += _unlearnable(files.labels.tolist(), files.named_splits.tolist())
    return classification_task(result.classes)


def _unlearnable(labels: Iterable[str], splits: Iterable[str]) -> tuple[str, ...]:
    """A warning about classes that only the given validation or test split has."""
    train = Counter(label for label, split in zip(labels, splits, strict=True) if split == SPLITS[0])
    names = sorted({*labels})
    return unlearnable_classes(names, [train[name] for name in names])
