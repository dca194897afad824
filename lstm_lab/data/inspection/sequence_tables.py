"""Tables with a row for each step of each sequence: which column is what."""

from __future__ import annotations

from lstm_lab.config import DataError
from lstm_lab.data.inspection.columns import ID_NAMES, TIME_NAMES, Columns
from lstm_lab.data.inspection.result import Fields, Inspection
from lstm_lab.data.inspection.sequences import inspect_sequences

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


def inspect_table(columns: Columns, choices: Fields) -> Inspection:
    """A table with a row for each step of each sequence."""
    for field in ("id", "label", "channels", "words", "split", "group"):
        columns.check(field, choices.get(field))
    tags = tag_columns(columns) if choices.get("target", "tag") == "tag" and "label" not in choices else None
    if tags is not None:
        choices = {"id": tags[0], "label": tags[1], "target": "tag", **choices}
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
               if name not in (id_, label, split, choices.get("group")) and name.lower() not in TIME_NAMES
               and not columns.is_index(name)]  # fmt: skip
    data: Fields = {"name": "csv_sequences", "path": columns.path, "id": id_, "label": label}
    words = choices.get("words") or _word_column(columns, (id_, label, split, choices.get("group")))
    if "words" in choices or (choices.get("target") == "tag" and not numbers and not choices.get("channels") and words):
        data["words"] = words
    else:
        data["channels"] = choices.get("channels") or numbers
    data |= ({"target": "value"} if values and not choices.get("label") else {}) | ({"split": split} if split else {})
    data |= columns.marks
    data |= choices
    given = data.get("channels", [])
    channels = [given] if isinstance(given, str) else [*given]
    result = inspect_sequences(Inspection(str(columns.table.path), "sequences", ""), data, channels)
    used = {
        id_: "sequence",
        label: {"class": "class", "value": "target", "tag": "class of the step"}[data.get("target", "class")],
        **dict.fromkeys(channels, "channel"),
        **({data["words"]: "word"} if "words" in data else {}),
    }
    result.columns = columns.describe(used | ({split: "split"} if split else {}))
    return result
