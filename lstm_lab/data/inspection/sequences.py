"""Labelled sequences of numbers: how many of each class, how long, which are copies of others."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from lstm_lab.config import DataError, validate
from lstm_lab.data.inspection.columns import IDS, TIMES, Columns
from lstm_lab.data.inspection.copies import copies, groups_of, near_sequences
from lstm_lab.data.inspection.look import Look, balance, classify, spread
from lstm_lab.data.readers.table import find_file
from lstm_lab.data.sources.own_sequences import TS, CSVSequences, Found


def look_at_ts(path: str, choices: Mapping[str, Any]) -> Look:
    """A .ts file; of NAME_TRAIN.ts, NAME_TEST.ts beside it is the test part."""
    data: dict[str, Any] = {"name": "ts", "path": path}
    beside = re.sub(r"_train(?=\.ts$)", lambda end: "_TEST" if end[0].isupper() else "_test", path, flags=re.IGNORECASE)
    if beside != path and "test_path" not in choices:
        try:
            find_file(beside)
            data["test_path"] = beside
        except DataError:
            pass
    data |= choices
    found = validate(TS.Config, data, path).build().find()
    look = Look(str(find_file(path)), "sequences", "")
    return _finish(look, found, data, [f"channel {k + 1}" for k in range(found.sequences[0].shape[1])])


def look_at_table(columns: Columns, choices: Mapping[str, Any]) -> Look:
    """A table with a row for each step of each sequence."""
    for field in ("id", "label", "channels", "split", "group"):
        columns.check(field, choices.get(field))
    found_id, found_label = columns.sequences() or (None, None)
    key = choices.get("id") or found_id or columns.called(IDS, columns.names)
    if key is None:
        raise DataError(f"{columns.path}: no column says which sequence a row belongs to: id=COLUMN says which")
    steady = [name for name in columns.of_kind("category", "number") if name != key and columns.steady(name, key)]
    label = choices.get("label") or found_label or columns.classes(steady)
    if label is None:
        raise DataError(f"{columns.path}: no column of classes was found: label=COLUMN says which")
    split = choices.get("split") or columns.split()
    free = [name for name in columns.of_kind("number")
            if name not in (key, label, split, choices.get("group")) and name.lower() not in TIMES]  # fmt: skip
    data: dict[str, Any] = {"name": "csv_sequences", "path": columns.path, "id": key, "label": label,
                            "channels": choices.get("channels") or free}  # fmt: skip
    data |= {"split": split} if split else {}
    data |= {"separator": columns.separator} if columns.separator != "," else {}
    data |= {"decimal": columns.decimal} if columns.decimal != "." else {}
    data |= choices
    read: dict[str, Any] = {
        field: data[field] for field in ("id", "label", "split", "group", "separator", "decimal") if field in data
    }
    channels = tuple([data["channels"]] if isinstance(data["channels"], str) else data["channels"])
    found = (
        validate(CSVSequences.Config, {"path": columns.path, "channels": channels, **read}, columns.path).build().find()
    )
    look = _finish(Look(str(columns.table.place), "sequences", ""), found, data, list(channels))
    used = {key: "sequence", label: "class", **dict.fromkeys(channels, "channel")}
    look.columns = columns.described(used | ({split: "part"} if split else {}))
    return look


def _finish(look: Look, found: Found, data: dict[str, Any], channels: list[str]) -> Look:
    labels = found.labels.tolist()
    look.classes = dict(Counter(labels).most_common())
    look.info |= {"sequences": len(found.sequences), "channels": len(channels), "classes": len(look.classes)}
    look.info |= spread(map(len, found.sequences), "steps")
    if found.parts is not None:
        look.info |= {f"{part} sequences": count for part, count in Counter(found.parts.tolist()).items()}
    keys = groups_of([sequence.tobytes() for sequence in found.sequences])
    info, said = copies(keys, near_sequences(found.sequences), labels, found.parts, "sequences")
    look.info |= info
    look.warnings += said + (balance(look.classes) if len(look.classes) > 1 else [])
    still = np.flatnonzero(np.ptp(np.concatenate(found.sequences), axis=0) == 0)
    if len(still):
        look.warnings.append(f"{channels[still[0]]} never moves ({len(still)} such in all): it tells nothing")
    look.question = f"Which of {len(look.classes)} classes is a sequence?"
    size = 16 if len(labels) < 1000 else 64
    look.experiment = {
        "data": {**data, **({"batch_size": size} if "batch_size" not in data else {})},
        "task": classify(look.classes),
        "model": {"bidirectional": True, "pooling": "mean", "dropout": {"output": 0.2}},
        "optimizer": {"lr": 5e-3},
        "trainer": {"max_epochs": 30},
    }
    return look
