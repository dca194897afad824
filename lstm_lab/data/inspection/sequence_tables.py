"""Tables with a row for each step of each sequence: which column is what."""

from __future__ import annotations

from lstm_lab.config import DataError
from lstm_lab.data.inspection.columns import ID_NAMES, TIME_NAMES, Columns
from lstm_lab.data.inspection.result import Fields, Inspection
from lstm_lab.data.inspection.sequences import inspect_sequences


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
               if name not in (id_, label, split, choices.get("group")) and name.lower() not in TIME_NAMES
               and not columns.is_index(name)]  # fmt: skip
    data: Fields = {"name": "csv_sequences", "path": columns.path, "id": id_, "label": label,
                    "channels": choices.get("channels") or numbers}  # fmt: skip
    data |= ({"target": "value"} if values and not choices.get("label") else {}) | ({"split": split} if split else {})
    data |= columns.marks
    data |= choices
    channels = [data["channels"]] if isinstance(data["channels"], str) else [*data["channels"]]
    result = inspect_sequences(Inspection(str(columns.table.path), "sequences", ""), data, channels)
    used = {
        id_: "sequence",
        label: {"class": "class", "value": "target", "tag": "class of the step"}[data.get("target", "class")],
        **dict.fromkeys(channels, "channel"),
    }
    result.columns = columns.describe(used | ({split: "split"} if split else {}))
    return result
