"""Texts with one class each: their lengths, the classes, and copies."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.config.validation import validate
from lstm_lab.data.inspection.columns import Columns
from lstm_lab.data.inspection.copies import copy_statistics, group_numbers, similar_texts
from lstm_lab.data.inspection.given_files import given_fields, not_used
from lstm_lab.data.inspection.labels import SeveralLabels, several_labels
from lstm_lab.data.inspection.languages import without_spaces
from lstm_lab.data.inspection.result import Fields, Inspection, balance_warnings, classification_task, length_statistics
from lstm_lab.data.inspection.series_columns import names_of
from lstm_lab.data.kinds.user_text import UserTextFiles
from lstm_lab.data.preprocessing.splits import SPLIT_ALIASES, Texts
from lstm_lab.data.readers.cells import one_spelling
from lstm_lab.data.readers.csv_format import RowFields
from lstm_lab.data.readers.table import TYPED, ending_of
from lstm_lab.data.sources.csv_text import CSVText
from lstm_lab.data.sources.text_folder import TextFolder


def inspect_folder(path: str, choices: Fields) -> Inspection:
    """A folder with one sub-folder for each class, or with train and test above them."""
    data: Fields = {"name": "text_folder", "path": path, **choices}
    found = validate(TextFolder.Config, data, path).build().read()
    result = Inspection(found.path, "texts", "")
    found, data = _with_given_files(result, found, data, TextFolder.Config)
    result.statistics["files"] = len(found.texts)
    splits = found.splits if found.splits is not None and (found.splits != "").any() else None
    return _finish(result, found.texts, found.labels.tolist(), splits, data)


def _with_given_files(
    result: Inspection, found: Texts, data: Fields, config: type[UserTextFiles.Config]
) -> tuple[Texts, Fields]:
    """The texts and the fields with those of the files of other splits beside the one at `path`, if there are any."""
    given = given_fields(data)
    if not given:
        return found, data
    try:
        return validate(config, {**data, **given}, result.path).build().read(), {**data, **given}
    except DataError as error:
        result.warnings.append(not_used(given, error))
        return found, data


def inspect_texts(columns: Columns, choices: Fields) -> Inspection:
    """A table with a row for each text."""
    for key in ("text", "label", "labels", "split", "group", "id"):
        columns.check(key, names_of(columns, choices.get(key)))
    candidates = columns.of_kind("text") or columns.of_kind("category")
    longest = max(candidates, key=lambda name: sum(map(len, columns.cells(name))), default=None)
    text = choices.get("text") or longest
    if text is None:
        raise DataError(f"{columns.path}: no column of texts was found: set it by text=COLUMN")
    split = choices.get("split") or columns.split_column()
    data: Fields = {"name": "csv_text", "path": columns.path}
    data |= {"text": text} if text != CSVText.Config.model_fields["text"].default else {}
    found = several_labels(columns, choices, {text, split})
    label = None if found else _label(columns, choices, text, split)
    if found:
        data |= found.fields
    elif label != CSVText.Config.model_fields["label"].default:
        data["label"] = label
    if split:
        data["split"] = split
    if "id" not in choices:
        rows = len(columns.table.lines)
        distinct = [name for name in columns.names if name not in data.values() and len({*columns.cells(name)}) == rows]
        ids = columns.ids(distinct)
        data |= {"id": ids[0]} if ids else {}
    data |= row_format(columns)
    result = Inspection(str(columns.table.path), "texts", "", warnings=[*columns.remarks])
    result.statistics["rows"] = len(columns.table.lines)
    splits = np.array([SPLIT_ALIASES[cell.lower()] for cell in columns.cells(split)]) if split else None
    cells = columns.cells(label) if label else [", ".join(labels) for labels in found.sets] if found else []
    labels = one_spelling(cells)
    if labels != cells:
        result.warnings.append(f"labels such as {cells[0]!r} say true or false in several spellings: they are read as "
                               "true and false")  # fmt: skip
    own = Texts(columns.cells(text), np.array(labels), str(columns.table.path), splits)
    every, data = _with_given_files(result, own, {**data, **choices}, CSVText.Config)
    if found:
        labels = [label if isinstance(label, str) else ", ".join(label) for label in every.labels.tolist()]
    else:
        labels = every.labels.tolist()
    result = _finish(result, every.texts, labels, every.splits, data, found)
    used = {text: "text", **({label: "class"} if label else {}), **({split: "split"} if split else {})}
    used |= dict.fromkeys(found.fields["labels"], "labels") if found else {}
    used |= {data["id"]: "id"} if data.get("id") else {}
    result.columns = columns.describe(used | ({choices["group"]: "group"} if choices.get("group") else {}))
    return result


def _label(columns: Columns, choices: Fields, text: str, split: str | None) -> str:
    """The column of the classes."""
    others = [name for name in columns.of_kind("category", "number") if name not in (text, split)]
    label = choices.get("label") or find_label(columns, others)
    if label is None:
        raise DataError(f"{columns.path}: no column of classes was found beside {text!r}: set it by label=COLUMN, or "
                        "by labels=[COLUMN, ...] where a text has several")  # fmt: skip
    return str(label)


def find_label(columns: Columns, others: list[str]) -> str | None:
    """The column of the classes of texts, of those that are free for it; None without any."""
    persons = {*columns.ids(others), *columns.groups(others)}
    plain = [name for name in others if name not in persons]
    few = [name for name in plain if 2 <= len({*columns.cells(name)}) <= 20]
    return columns.class_column(plain) or (few[0] if len(few) == 1 else columns.class_column(others))


def row_format(columns: Columns) -> Fields:
    """Fields for how the rows are written, where they are not what the ending of the file's name says."""
    marks = {key: value for key, value in columns.marks.items() if key in RowFields.model_fields}
    ending = ending_of(Path(columns.path))
    usual = {".csv": ",", ".tsv": "\t"}.get(ending)
    is_csv = ending not in TYPED
    return marks | ({"separator": columns.format.separator} if is_csv and columns.format.separator != usual else {})


def kept_length(usual: int, longest: int) -> int:
    """Tokens to keep of a text: of a few outliers not all, if they are much longer than the others."""
    kept = longest if longest <= 2 * usual else usual
    return min(400, max(10, -(-kept // 10) * 10))


def _finish(
    result: Inspection, texts: Sequence[str], labels: list[str], splits: np.ndarray | None, data: Fields,
    several: SeveralLabels | None = None,
) -> Inspection:  # fmt: skip
    result.classes = dict(Counter(labels).most_common()) if several is None else several.counts()
    unspaced = without_spaces(texts) and "tokenizer" not in data
    unit = "characters" if unspaced else "words"
    counts = [len(text) if unspaced else len(re.findall(r"\w+|[^\w\s]+", text)) for text in texts]
    lengths = length_statistics(counts, unit)
    result.statistics |= {"classes" if several is None else "labels": len(result.classes), **lengths}
    if several is not None:
        result.statistics |= several.statistics()
    if splits is not None:
        result.statistics |= {f"{split} texts": count for split, count in Counter(splits.tolist()).items()}
    empty = sum(not text.strip() for text in texts)
    empty += sum(not label.strip() for label in labels) if several is None else 0
    result.statistics["empty texts and labels"] = empty
    keys = group_numbers([" ".join(text.lower().split()) for text in texts])
    statistics, warnings = copy_statistics(keys, similar_texts(texts), labels, splits, "texts")
    result.statistics |= statistics
    result.warnings += warnings
    if empty:
        result.warnings.append(f"{empty} texts or labels are empty: fill them in or remove the rows")
    if unspaced:
        data["tokenizer"] = "character"
    if several is not None:
        result.warnings += several.warnings()
    elif len(result.classes) > 1:
        result.warnings += balance_warnings(result.classes)
    data.setdefault("max_length", kept_length(lengths[f"{unit}, 95th percentile"], lengths[f"{unit}, maximum"]))
    result.title = f"Classification of texts into {len(result.classes)} classes"
    if several is not None:
        result.title = f"Which of {len(result.classes)} labels a text has, any number of them"
    result.experiment = token_experiment(data, classification_task(result.classes) if several is None else several.task)
    return result


def token_experiment(data: Fields, task: object) -> Fields:
    """The experiment that is proposed for sequences of tokens."""
    return {
        "data": data,
        "task": task,
        "model": {"bidirectional": True, "pooling": "max", "dropout": {"output": 0.3}},
        "optimizer": {"lr": 2e-3},
        "schedule": "cosine",
        "trainer": {"max_epochs": 10, "patience": 3},
    }
