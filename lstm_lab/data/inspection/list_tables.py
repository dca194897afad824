"""Parquet and JSON files with lists in their cells: which column is what."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from lstm_lab.config import DataError
from lstm_lab.data.inspection.columns import ID_NAMES, LABEL_NAMES
from lstm_lab.data.inspection.result import Fields, Inspection
from lstm_lab.data.inspection.sequences import inspect_sequences
from lstm_lab.data.preprocessing.splits import SPLIT_ALIASES
from lstm_lab.data.readers.csv_rows import csv_rows
from lstm_lab.data.readers.formats import table_names
from lstm_lab.data.readers.locate import find_file
from lstm_lab.data.readers.table import TYPED, ending_of, list_names, read_text
from lstm_lab.data.readers.value_columns import as_list, list_format, read_values

MIN_NUMBERS = 6
"""Numbers without brackets in a cell that are steps, and no date, place or set of labels."""
TAG_NAMES = ("tags", "labels", "ner_tags", "pos_tags", "tag", *LABEL_NAMES)


def has_lists(path: str) -> bool:
    """Whether a file has lists of numbers in its cells, or of words beside equally long ones. Lists of the labels of a
    text are neither."""
    try:
        file = find_file(path)
        if ending_of(file) not in TYPED and not _begins_with_lists(file):
            return False
        values = read_values(file, table_names(file, list_format(file)))
    except DataError:
        return False
    lists = [column for column in values.columns.values() if all(isinstance(cell, list) for cell in column)]
    lengths = [[len(cell) for cell in column if isinstance(cell, list)] for column in lists]
    return any(map(_are_numbers, lists)) or (len(lists) > 1 and lengths.count(lengths[0]) > 1)


def _begins_with_lists(file: Path) -> bool:
    """Whether the first rows of a CSV have cells with several numbers or words in brackets, or many numbers."""
    if ending_of(file) not in (".csv", ".tsv"):
        return False
    rows = [row for _, row in islice(csv_rows(read_text(file), file, list_format(file)), 6)][1:]
    of_columns = [[as_list(cell) for cell in column] for column in zip(*rows, strict=False)]
    return any(
        all(found is not None and len(found) >= (2 if cell.lstrip()[:1] in ("[", "(") else MIN_NUMBERS)
            for found, cell in zip(column, cells, strict=True))
        for column, cells in zip(of_columns, zip(*rows, strict=False), strict=True)
    )  # fmt: skip


def inspect_lists(path: str, choices: Fields) -> Inspection:
    """A table with a row for each sequence, whose cells are lists of steps."""
    file = find_file(path)
    columns = read_values(file, table_names(file, list_format(file))).columns
    lists = [name for name, cells in columns.items() if all(isinstance(cell, list) for cell in cells)]
    plain = [name for name in columns if name not in lists]
    split = choices.get("split") or next((name for name in plain if _are_splits(columns[name])), None)
    flags = _flags(columns, [name for name in plain if name != split]) if not {"label", "target"} & set(choices) else []
    if flags:
        of_labels: Fields = {"name": "list_columns", "path": path, "label": flags, "target": "labels"}
        of_labels |= {"channels": [name for name in lists if _are_numbers(columns[name])]}
        of_labels |= ({"split": split} if split else {}) | _id_of(plain) | choices
        return inspect_sequences(Inspection(str(file), "sequences", ""), of_labels)
    label = choices.get("label") or _label(columns, lists, [name for name in plain if name != split])
    if label is None or label not in columns:
        way_out = f"there are {list_names([*columns])}"
        raise DataError(f"{path}: no column of classes or values beside the lists: set it by label=COLUMN; {way_out}")
    target = "tag" if label in lists else "class" if _are_classes(columns[label]) else "value"
    id_ = next((name for name in plain if name.lower() in ID_NAMES and name != label), None)
    channels = [name for name in lists if name != label and _are_numbers(columns[name])]
    data: Fields = {"name": "list_columns", "path": path, "label": label, "channels": channels}
    data |= ({"target": target} if target != "class" else {}) | ({"split": split} if split else {})
    data |= {"id": id_} if id_ else {}
    data |= choices
    words = [name for name in lists if name != label and name not in channels]
    if target == "tag" and words and not channels and "channels" not in choices:
        del data["channels"]
        data.setdefault("words", words[0])
    elif not data["channels"]:
        raise DataError(f"{path}: no column has lists of numbers: set them by channels=COLUMN; there are "
                        f"{list_names(lists)}")  # fmt: skip
    return inspect_sequences(Inspection(str(file), "sequences", ""), data)


def _id_of(plain: list[str]) -> Fields:
    """The field of the column that names sequences, if there is one."""
    id_ = next((name for name in plain if name.lower() in ID_NAMES), None)
    return {"id": id_} if id_ else {}


def _flags(columns: Mapping[str, list[object]], plain: list[str]) -> list[str]:
    """At least two columns of 0 and 1, beside no column that is called a label; else none."""
    flags = [name for name in plain if {*map(str, columns[name])} in ({"0", "1"}, {"True", "False"}, {"0.0", "1.0"})]
    named = any(name.lower() in LABEL_NAMES for name in plain)
    return flags if len(flags) > 1 and not named else []


def _label(columns: Mapping[str, list[object]], lists: list[str], plain: list[str]) -> str | None:
    """By its name, else the one with the fewest different values; else a list of words or whole numbers."""
    candidates = [name for name in plain if len({*map(str, columns[name])}) > 1 and name.lower() not in ID_NAMES]
    named = [name for name in candidates if name.lower() in LABEL_NAMES]
    if candidates:
        return (named or sorted(candidates, key=lambda name: len({*map(str, columns[name])})))[0]
    tags = [name for name in lists if name.lower() in TAG_NAMES] or [
        name for name in lists if all(isinstance(step, str | int) for step in _steps(columns[name]))
    ]
    return tags[0] if tags and len(lists) > 1 else None


def _steps(cells: list[object]) -> list[object]:
    """Entries of the first lists."""
    return [step for cell in cells[:100] if isinstance(cell, list) for step in cell]


def _are_numbers(cells: list[object]) -> bool:
    steps = _steps(cells)
    return bool(steps) and not any(isinstance(step, str) for step in steps)


def _are_classes(cells: list[object]) -> bool:
    return not any(isinstance(cell, float) and cell % 1 for cell in cells)


def _are_splits(cells: list[object]) -> bool:
    names = {str(cell).lower() for cell in cells}
    return names <= set(SPLIT_ALIASES) and {"train"} < {SPLIT_ALIASES[name] for name in names}
