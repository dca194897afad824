"""Texts with one class each: their lengths, the classes, and copies."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.inspection.columns import Columns
from lstm_lab.data.inspection.copies import copy_statistics, group_numbers, similar_texts
from lstm_lab.data.inspection.languages import joined_labels, without_spaces
from lstm_lab.data.inspection.result import Fields, Inspection, balance_warnings, classification_task, length_statistics
from lstm_lab.data.preprocessing.splits import SPLIT_ALIASES
from lstm_lab.data.sources.csv_text import CSVText
from lstm_lab.data.sources.text_folder import TextFolder
from lstm_lab.validation import validate


def inspect_folder(path: str, choices: Fields) -> Inspection:
    """A folder with one sub-folder for each class, or with train and test above them."""
    found = validate(TextFolder.Config, {"path": path, **choices}, path).build().read()
    result = Inspection(found.path, "texts", "")
    result.statistics["files"] = len(found.texts)
    data = {"name": "text_folder", "path": path}
    splits = found.splits if found.splits is not None and (found.splits != "").any() else None
    return _finish(result, found.texts, found.labels.tolist(), splits, {**data, **choices})


def inspect_texts(columns: Columns, choices: Fields) -> Inspection:
    """A table with a row for each text."""
    for key in ("text", "label", "split", "group", "id"):
        columns.check(key, choices.get(key))
    candidates = columns.of_kind("text") or columns.of_kind("category")
    longest = max(candidates, key=lambda name: sum(map(len, columns.cells(name))), default=None)
    text = choices.get("text") or longest
    if text is None:
        raise DataError(f"{columns.path}: no column of texts was found: set it by text=COLUMN")
    split = choices.get("split") or columns.split_column()
    others = [name for name in columns.of_kind("category", "number") if name not in (text, split)]
    label = choices.get("label") or columns.class_column(others)
    if label is None:
        raise DataError(f"{columns.path}: no column of classes was found beside {text!r}: set it by label=COLUMN")
    data: Fields = {"name": "csv_text", "path": columns.path}
    defaults = CSVText.Config.model_fields
    data |= {key: name for key, name in (("text", text), ("label", label)) if name != defaults[key].default}
    if split:
        data["split"] = split
    ending = Path(columns.path).suffix.lower()
    if ending in (".csv", ".tsv") and columns.format.separator != ("\t" if ending == ".tsv" else ","):
        data["separator"] = columns.format.separator
    if not columns.format.quoting:
        data["quoting"] = False
    result = Inspection(str(columns.table.path), "texts", "")
    result.statistics["rows"] = len(columns.table.lines)
    splits = np.array([SPLIT_ALIASES[cell.lower()] for cell in columns.cells(split)]) if split else None
    result = _finish(result, columns.cells(text), columns.cells(label), splits, {**data, **choices})
    used = {text: "text", label: "class", **({split: "split"} if split else {})}
    result.columns = columns.describe(used | ({choices["group"]: "group"} if choices.get("group") else {}))
    return result


def _finish(
    result: Inspection, texts: Sequence[str], labels: list[str], splits: np.ndarray | None, data: Fields
) -> Inspection:
    result.classes = dict(Counter(labels).most_common())
    unspaced = without_spaces(texts) and "tokenizer" not in data
    unit = "characters" if unspaced else "words"
    counts = [len(text) if unspaced else len(re.findall(r"\w+|[^\w\s]+", text)) for text in texts]
    lengths = length_statistics(counts, unit)
    result.statistics |= {"classes": len(result.classes), **lengths}
    if splits is not None:
        result.statistics |= {f"{split} texts": count for split, count in Counter(splits.tolist()).items()}
    empty = sum(not text.strip() for text in texts) + sum(not label.strip() for label in labels)
    result.statistics["empty texts and labels"] = empty
    keys = group_numbers([" ".join(text.lower().split()) for text in texts])
    statistics, warnings = copy_statistics(keys, similar_texts(texts), labels, splits, "texts")
    result.statistics |= statistics
    result.warnings += warnings
    if empty:
        result.warnings.append(f"{empty} texts or labels are empty: fill them in or remove the rows")
    joined = joined_labels(labels)
    if joined is not None:
        result.warnings.append(f"labels such as {joined[0]!r} name several classes: each combination is learned as a "
                               "class of its own, because a text has one class here; keep one of them, or train one "
                               f"experiment for each class ({joined[1]!r} separates them)")  # fmt: skip
    if unspaced:
        data["tokenizer"] = "character"
    if len(result.classes) > 1:
        result.warnings += balance_warnings(result.classes)
    data.setdefault("max_length", min(400, max(10, -(-lengths[f"{unit}, 95th percentile"] // 10) * 10)))
    result.title = f"Classification of texts into {len(result.classes)} classes"
    result.experiment = {
        "data": data,
        "task": classification_task(result.classes),
        "model": {"bidirectional": True, "pooling": "max", "dropout": {"output": 0.3}},
        "optimizer": {"lr": 2e-3},
        "trainer": {"max_epochs": 10, "patience": 3},
    }
    return result
