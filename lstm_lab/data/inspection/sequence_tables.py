"""Tables with a row for each step of each sequence: which column is what."""

from __future__ import annotations

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.inspection.columns import ID_NAMES, TIME_NAMES, Columns
from lstm_lab.data.inspection.labels import flags_of_sequences, label_fields
from lstm_lab.data.inspection.result import Fields, Inspection
from lstm_lab.data.inspection.sequences import inspect_sequences
from lstm_lab.data.inspection.series_columns import names_of

TAG_NAMES = (
    "tag",
    "tags",
    "ner",
    "ner_tag",
    "pos",
    "pos_tag",
    "state",
    "phase",
    "label",
    "class",
    "activity",
    "annotation",
)
"""Names of columns of classes of steps, in lower case."""
WORD_NAMES = ("word", "words", "token", "tokens", "form", "text")
"""Names of columns of words, in lower case."""
SENTENCE_NAMES = ("sentence", "sentence_id", "sent_id", "sent", "doc", "document", "utterance", "session", *ID_NAMES)
"""Names of columns of the sequence that a step belongs to, in lower case."""


USES = {"class": "class", "value": "target", "tag": "class of the step", "labels": "labels"}
"""Target -> what its columns are used for."""


def tag_columns(columns: Columns) -> tuple[str, str] | None:
    """Columns of the sequence and of the class of each step, by their names; None without both."""
    if columns.of_kind("time"):
        return None
    id_ = columns.first_named(SENTENCE_NAMES, columns.of_kind("number", "category"))
    others = [name for name in columns.of_kind("category", "number") if name != id_]
    label = columns.first_named(TAG_NAMES, others)
    if id_ is None or label is None or columns.is_constant(label, id_):
        return None
    ids, classes = len({*columns.cells(id_)}), len({*columns.cells(label)})
    whole = columns.kinds[label] == "category" or bool((columns.numbers[label] % 1 == 0).all())
    return (id_, label) if whole and 2 * ids <= len(columns.table.lines) and 2 <= classes <= 200 else None


def _word_column(columns: Columns, taken: tuple[object, ...]) -> str | None:
    """A column of words: by its name, else that with the most different ones."""
    words = [name for name in columns.of_kind("category", "text") if name not in taken]
    most = max(words, key=lambda name: len({*columns.cells(name)}), default=None)
    return columns.first_named(WORD_NAMES, words) or most


def group_column(columns: Columns, id_: str | None, label: str, has_tags: bool) -> str | None:
    """A column of persons or the like, several of whom have each class, and most of whom have several sequences.

    Args:
        id_: column of the sequence that a row belongs to; None: each row is one.
    """
    for name in columns.groups(columns.names):
        if name in (id_, label) or (id_ is not None and not columns.is_constant(name, id_)):
            continue
        groups, ids = {*columns.cells(name)}, {*(columns.table.lines if id_ is None else columns.cells(id_))}
        of_class: dict[str, set[str]] = {}
        for cell, group in zip(columns.cells(label), columns.cells(name), strict=True):
            of_class.setdefault("" if has_tags else cell, set()).add(group)
        if 5 <= len(groups) < len(ids) and all(len(own) > 2 for own in of_class.values()):
            return name
    return None


def counts_steps(columns: Columns, name: str, id_: str) -> bool:
    """Whether a column counts the steps of every sequence, from 0 or 1."""
    values = columns.numbers[name]
    rows = columns.table.group_rows(id_, "sequence").values()
    return all(values[own[0]] in (0, 1) and bool((np.diff(values[own]) == 1).all()) for own in rows)


def inspect_table(columns: Columns, choices: Fields) -> Inspection:
    """A table with a row for each step of each sequence."""
    for field in ("id", "label", "channels", "words", "split", "group"):
        columns.check(field, choices.get(field))
    tags = tag_columns(columns) if choices.get("target", "tag") == "tag" and "label" not in choices else None
    if tags is not None:
        choices = {"id": tags[0], "label": tags[1], "target": "tag", **choices}
    flags = None if {"label", "target"} & set(choices) else flags_of_sequences(columns)
    if flags is not None:
        choices = {"id": flags[0], "label": flags[1], "target": "labels", **choices}
    of_values = choices.get("target") == "value" or ("target" not in choices and not columns.sequence_columns())
    values = columns.value_columns() if of_values else None
    found_id, found_label = columns.sequence_columns() or values or (None, None)
    id_ = choices.get("id") or found_id or next(iter(columns.ids(columns.names)), None)
    if id_ is None:
        raise DataError(f"{columns.path}: no column of the sequence that a row belongs to: set it by id=COLUMN")
    constant = [name for name in columns.of_kind("category", "number")
                if name != id_ and columns.is_constant(name, id_)]  # fmt: skip
    label = choices.get("label") or found_label or columns.class_column(constant)
    if label is None:
        raise DataError(f"{columns.path}: no column of classes was found: set it by label=COLUMN")
    labels = names_of(columns, label)
    split = choices.get("split") or columns.split_column()
    group = choices.get("group") or (None if split else group_column(columns, str(id_), labels[0], tags is not None))
    others = {id_, *labels, split, group, *columns.ids(columns.names)}
    numbers = [name for name in columns.of_kind("number")
               if name not in others and name.lower() not in TIME_NAMES
               and not columns.is_index(name) and not counts_steps(columns, name, str(id_))]  # fmt: skip
    data: Fields = {"name": "csv_sequences", "path": columns.path, "id": id_, "label": label}
    words = choices.get("words") or _word_column(columns, (id_, *labels, split, group))
    if "words" in choices or (choices.get("target") == "tag" and not numbers and not choices.get("channels") and words):
        data["words"] = words
    else:
        data["channels"] = choices.get("channels") or numbers
    if tags is None and not values and "target" not in choices:
        data |= label_fields(columns.cells(labels[0]))
    data |= ({"target": "value"} if values and not choices.get("label") else {}) | ({"split": split} if split else {})
    data |= {"group": group} if group else {}
    data |= columns.marks
    data |= choices
    given = data.get("channels", [])
    channels = [given] if isinstance(given, str) else [*given]
    result = inspect_sequences(Inspection(str(columns.table.path), "sequences", ""), data, channels)
    if flags is not None:
        result.warnings.append(f"{', '.join(labels[:5])} are 0 or 1 in all rows of a sequence, and are taken for its "
                               "labels: name=csv forecasts the numbers instead")  # fmt: skip
    used = {
        id_: "sequence",
        **dict.fromkeys(labels, USES[data.get("target", "class")]),
        **dict.fromkeys(channels, "channel"),
        **({data["words"]: "word"} if "words" in data else {}),
        **({data["group"]: "group"} if "group" in data else {}),
    }
    result.columns = columns.describe(used | ({split: "split"} if split else {}))
    return result
