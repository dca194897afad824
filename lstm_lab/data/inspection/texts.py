"""Texts with a class each: how long, how many of each class, which are copies of others."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lstm_lab.config import DataError, validate
from lstm_lab.data.inspection.columns import Columns
from lstm_lab.data.inspection.copies import copies, groups_of, near_texts
from lstm_lab.data.inspection.look import Look, balance, classify, spread
from lstm_lab.data.sources.own_text import NAMES, TextFolder


def look_at_folder(path: str, choices: Mapping[str, Any]) -> Look:
    """A folder with one sub-folder for each class, or with train and test above them."""
    found = validate(TextFolder.Config, {"path": path, **choices}, path).build().read()
    look = Look(found.place, "texts", "")
    look.info["files"] = len(found.texts)
    data = {"name": "text_folder", "path": path}
    parts = found.parts if found.parts is not None and (found.parts != "").any() else None
    return _finish(look, found.texts, found.labels.tolist(), parts, {**data, **choices})


def look_at_texts(columns: Columns, choices: Mapping[str, Any]) -> Look:
    """A table with a row for each text."""
    for key in ("text", "label", "split", "group"):
        columns.check(key, choices.get(key))
    texts = columns.of_kind("text") or columns.of_kind("category")
    longest = max(texts, key=lambda name: sum(map(len, columns.cells(name))), default=None)
    text = choices.get("text") or longest
    if text is None:
        raise DataError(f"{columns.path}: no column of texts was found: text=COLUMN says which")
    split = choices.get("split") or columns.split()
    among = [name for name in columns.of_kind("category", "number") if name not in (text, split)]
    label = choices.get("label") or columns.classes(among)
    if label is None:
        raise DataError(f"{columns.path}: no column of classes was found beside {text!r}: label=COLUMN says which")
    data: dict[str, Any] = {"name": "csv_text", "path": columns.path, "text": text, "label": label}
    usual = {key: "text" if key == "text" else "label" for key in ("text", "label")}
    data = {key: value for key, value in data.items() if usual.get(key) != value}
    if split:
        data["split"] = split
    ending = Path(columns.path).suffix.lower()
    if ending in (".csv", ".tsv") and columns.separator != ("\t" if ending == ".tsv" else ","):
        data["separator"] = columns.separator
    look = Look(str(columns.table.place), "texts", "")
    look.info["rows"] = len(columns.table.lines)
    parts = np.array([NAMES[cell.lower()] for cell in columns.cells(split)]) if split else None
    look = _finish(look, columns.cells(text), columns.cells(label), parts, {**data, **choices})
    used = {text: "text", label: "class", **({split: "part"} if split else {})}
    look.columns = columns.described(used | ({choices["group"]: "group"} if choices.get("group") else {}))
    return look


def _finish(
    look: Look, texts: Sequence[str], labels: list[str], parts: np.ndarray | None, data: dict[str, Any]
) -> Look:
    look.classes = dict(Counter(labels).most_common())
    lengths = [len(re.findall(r"\w+|[^\w\s]+", text)) for text in texts]
    look.info |= {"classes": len(look.classes), **spread(lengths, "words")}
    if parts is not None:
        look.info |= {f"{part} texts": count for part, count in Counter(parts.tolist()).items()}
    empty = sum(not text.strip() for text in texts) + sum(not label.strip() for label in labels)
    look.info["empty texts and labels"] = empty
    keys = groups_of([" ".join(text.lower().split()) for text in texts])
    info, said = copies(keys, near_texts(texts), labels, parts, "texts")
    look.info |= info
    look.warnings += said
    if empty:
        look.warnings.append(f"{empty} texts or labels are empty: fill them in or take the rows out")
    if len(look.classes) > 1:
        look.warnings += balance(look.classes)
    high = int(look.info["words, 95 % within"])
    data.setdefault("max_length", min(400, max(10, -(-high // 10) * 10)))
    look.question = f"Which of {len(look.classes)} classes is a text?"
    look.experiment = {
        "data": data,
        "task": classify(look.classes),
        "model": {"bidirectional": True, "pooling": "max", "dropout": {"output": 0.3}},
        "optimizer": {"lr": 2e-3},
        "trainer": {"max_epochs": 10, "patience": 3},
    }
    return look
