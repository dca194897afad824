"""Folders with a table for each sequence: which columns are channels, and where the targets are."""

from __future__ import annotations

import re
from pathlib import Path

from lstm_lab.config import DataError
from lstm_lab.data.inspection.columns import LABEL_NAMES, TIME_NAMES, Columns, read_columns
from lstm_lab.data.inspection.labels import label_fields
from lstm_lab.data.inspection.result import Fields, Inspection
from lstm_lab.data.inspection.sequences import inspect_sequences
from lstm_lab.data.readers.array_file import array_of_steps
from lstm_lab.data.readers.folders import FolderFile, files_of_folder
from lstm_lab.data.readers.table import list_names

_LABELS = re.compile(r"(labels?|meta(data)?|targets?|class(es)?|annotations?|references?|index|y)\b.*", re.IGNORECASE)
"""Matches the name of a file that may have the targets of others."""


def has_tables(folder: Path) -> bool:
    """Whether a folder has tables with sequences, and not texts."""
    try:
        files = files_of_folder(folder)
    except DataError:
        return False
    return files[0].path.suffix.lower() != ".txt"


def inspect_table_folder(path: str, folder: Path, choices: Fields) -> Inspection:
    """A folder with a table for each sequence."""
    files = files_of_folder(folder)
    data: Fields = {"name": "csv_folder", "path": path}
    if not any(file.label for file in files) and not {"labels", "target"} & set(choices):
        data |= _labels_of(path, folder, files)
    named = {Path(str(data.get("labels", ""))).name, Path(str(choices.get("labels", ""))).name}
    first = next((file for file in files if file.path.name not in named), None)
    if first is None:
        raise DataError(f"{path}: has no file beside {files[0].path.name}: put one there for each of its rows")
    result = Inspection(str(folder), "sequences", "")
    result.statistics["files"] = len(files)
    if first.path.suffix.lower() == ".npy":
        data["channels"] = [*map(str, range(array_of_steps(first.path).shape[1]))]
        return inspect_sequences(result, {**data, **choices})
    columns = read_columns(str(first.path), choices)
    label = choices.get("label", "label") if choices.get("target") == "tag" else None
    data["channels"] = [name for name in columns.of_kind("number") if name.lower() not in TIME_NAMES
                        and name != label and not columns.is_index(name)]  # fmt: skip
    if not data["channels"]:
        raise DataError(f"{first.path}: has no column of numbers: it has {list_names(columns.names)}")
    result.warnings += [f"{first.path.name}: {remark}" for remark in columns.remarks]
    return inspect_sequences(result, {**data, **columns.marks, **choices})


def _labels_of(path: str, folder: Path, files: list[FolderFile]) -> Fields:
    """Fields for the table that has a row for each file, in the folder or beside it.

    Raises:
        DataError: there is none.
    """
    inside = [(str(Path(path) / entry.name), entry) for entry in sorted(folder.iterdir())]
    beside = [(str(Path(path).parent / entry.name), entry) for entry in sorted(folder.absolute().parent.iterdir())]
    for name, entry in (*inside, *beside):
        if not entry.is_file() or not _LABELS.fullmatch(entry.stem):
            continue
        try:
            table = read_columns(name, {})
        except DataError:
            continue
        found = _columns_of_labels(table, [file for file in files if file.path.name != entry.name])
        if found:
            return {"labels": name, **found}
    raise DataError(f"{path}: its files lie in no folders that name their classes, and no table labels.csv in it or "
                    "beside it has a row for each file: set labels=FILE, or target=tag label=COLUMN where each file "
                    "has a class for each step")  # fmt: skip


def _columns_of_labels(table: Columns, files: list[FolderFile]) -> Fields:
    """Columns of the file and of its class or value; empty where the table does not name the files."""
    names = [{file.id, Path(file.id).name, file.path.name} for file in files]
    id_ = next((column for column in table.names if all(own & {*table.cells(column)} for own in names)), None)
    if id_ is None:
        return {}
    others = [name for name in table.names if name != id_ and not table.is_index(name)]
    label = table.first_named(LABEL_NAMES, others) or table.class_column(others) or next(iter(others), None)
    if label is None:
        return {}
    values = table.numbers.get(label)
    continuous = values is not None and bool((values % 1 != 0).any())
    fields: Fields = {"id": id_, "label": label}
    fields |= {"target": "value"} if continuous else label_fields(table.cells(label))
    split = table.split_column()
    return fields | ({"split": split} if split else {})
