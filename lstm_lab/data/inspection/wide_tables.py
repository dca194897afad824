"""Tables with a row for each sequence and a column for each step: which column has the class or the value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lstm_lab.config import ConfigError
from lstm_lab.data.inspection.columns import ID_NAMES, LABEL_NAMES, TARGET_NAMES, Columns
from lstm_lab.data.inspection.labels import flag_columns, label_fields
from lstm_lab.data.inspection.result import Fields, Inspection
from lstm_lab.data.inspection.sequence_tables import group_column
from lstm_lab.data.inspection.sequences import inspect_sequences

MIN_STEPS = 6
"""Columns of steps that make a table one of sequences."""


class WideColumns(NamedTuple):
    """What the columns of a wide table are."""

    label: str
    target: str
    """ "class" or "value" """
    channels: tuple[str, ...]
    """What the names of the columns of steps begin with; empty: all other columns are the steps of one channel."""


def wide_columns(columns: Columns, choices: Fields) -> WideColumns | None:
    """The columns of a wide table; None where the table has a row for each step, or no sequences.

    Args:
        choices: fields of `data`; a label that was chosen is not guessed.
    """
    if columns.of_kind("time"):
        return None
    label = choices.get("label") or _label(columns)
    if label is None or label not in columns.names:
        return None
    numbers = [name for name in columns.of_kind("number") if name != label and not columns.is_index(name)]
    groups = numbered(numbers)
    sizes = {len(steps) for steps in groups.values()}
    if not columns.format.header:
        steps = [name for name in columns.names if name != label]
        if len(steps) < MIN_STEPS or len(numbers) < len(steps) or any(_counts(columns, name) for name in steps[:2]):
            return None
        channels: tuple[str, ...] = ()
    elif len(sizes) != 1 or sizes.pop() < MIN_STEPS:
        return None
    else:
        others = [name for name in columns.names if name != label and not _belongs(name, groups)]
        channels = tuple(groups) if len(groups) > 1 or others else ()
        if "" in channels:  # Columns 0, 1, 2 beside others cannot be named by what they begin with.
            return None
    is_class = _few(columns, label) or columns.kinds[label] == "category"
    return WideColumns(label, choices.get("target") or ("class" if is_class else "value"), channels)


def _label(columns: Columns) -> str | None:
    names = columns.names
    if not columns.format.header:
        return next((name for name in (names[0], names[-1]) if _few(columns, name)), None)
    named = columns.first_named((*LABEL_NAMES, *TARGET_NAMES), names)
    categories = [name for name in columns.of_kind("category") if _few(columns, name)]
    first_number = next((name for name in (names[0], names[-1]) if _few(columns, name)), None)
    return named or (categories[0] if categories else first_number)


def _few(columns: Columns, name: str) -> bool:
    """Whether a column has few different words or whole numbers, as classes are."""
    cells = columns.cells(name)
    distinct = set(cells)
    if not 2 <= len(distinct) <= max(2, len(cells) // 3) or columns.kinds[name] not in ("number", "category"):
        return False
    values = columns.numbers.get(name)
    return values is None or bool((np.isfinite(values) & (values == np.round(values))).all())


def _counts(columns: Columns, name: str) -> bool:
    """Whether a column counts rows, as steps of a sequence are counted."""
    values = columns.numbers.get(name, np.zeros(2))
    return len(values) > 2 and float(np.mean(np.diff(values) == 1)) > 0.8


def numbered(names: Sequence[str]) -> dict[str, list[int]]:
    """What names begin with -> the numbers behind it, of those that count without a gap."""
    groups: dict[str, list[int]] = {}
    for name in names:
        found = re.fullmatch(r"(.*?)[ _.\-]?(\d+)", name)
        if found:
            groups.setdefault(found[1], []).append(int(found[2]))
    return {start: steps for start, steps in groups.items() if steps == [*range(steps[0], steps[0] + len(steps))]}


def _belongs(name: str, groups: dict[str, list[int]]) -> bool:
    found = re.fullmatch(r"(.*?)[ _.\-]?(\d+)", name)
    return found is not None and found[1] in groups


def inspect_wide(columns: Columns, choices: Fields) -> Inspection:
    """A table with a row for each sequence."""
    for field in ("id", "label", "split", "group"):
        columns.check(field, choices.get(field))
    found = wide_columns(columns, choices)
    if found is None and "label" not in choices:
        raise ConfigError(f"name=csv_wide: {columns.path} has no column of classes: set it by label=COLUMN")
    label, target, channels = found or WideColumns(choices["label"], choices.get("target", "class"), ())
    data: Fields = {"name": "csv_wide", "path": columns.path, "label": label}
    groups = numbered(columns.of_kind("number"))
    flags = flag_columns(columns, [name for name in columns.names if not _belongs(name, groups)])
    if columns.format.header and flags and not {"label", "target"} & set(choices):
        data |= {"label": flags, "target": "labels"}
    else:
        data |= {"target": target} if target != "class" else label_fields(columns.cells(label))
    data |= {"channels": list(channels)} if channels else {}
    split, id_ = columns.split_column(), columns.first_named(ID_NAMES, columns.of_kind("category", "number"))
    data |= {"split": split} if split else {}
    group = None if split else group_column(columns, None, label, has_tags=target != "class")
    data |= {"group": group} if group else {}
    data |= {"id": id_} if id_ and id_ != label else {}
    data |= columns.marks
    data |= choices
    return inspect_sequences(Inspection(str(columns.table.path), "sequences", ""), data, data.get("channels") or ["y"])
