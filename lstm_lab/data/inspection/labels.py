"""Several labels for each row of a table: where they are, and what they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from lstm_lab.data.inspection.columns import LABEL_NAMES, Columns
from lstm_lab.data.inspection.languages import joined_labels
from lstm_lab.data.inspection.result import Fields
from lstm_lab.data.inspection.series_columns import names_of
from lstm_lab.data.readers.label_sets import LabelSets, label_sets, listed_labels

MIN_SEQUENCES = 10
"""From which on columns of 0 and 1 are taken for labels of sequences."""


class SeveralLabels(NamedTuple):
    """Labels of each row, and the fields of a configuration that read them."""

    found: LabelSets
    fields: Fields

    @property
    def sets(self) -> list[tuple[str, ...]]:
        """Labels of each row."""
        return self.found.sets

    @property
    def task(self) -> Fields:
        """The task of an experiment."""
        return {"name": "multi_label", "monitor": "loss"}

    def counts(self) -> dict[str, int]:
        """Label -> its rows, the most frequent first."""
        counts = Counter(label for labels in self.sets for label in labels)
        return dict(counts.most_common()) | dict.fromkeys(set(self.found.names) - counts.keys(), 0)

    def statistics(self) -> dict[str, int | float]:
        """Labels of a row: their mean and largest number, and rows without any."""
        numbers = [len(labels) for labels in self.sets]
        return {
            "labels of a text, mean": round(float(np.mean(numbers)), 2), "labels of a text, maximum": max(numbers),
            "texts without a label": numbers.count(0),
        }  # fmt: skip

    def warnings(self) -> list[str]:
        """What to know before trusting a metric, a sentence each."""
        few = [name for name, count in self.counts().items() if count < 3]
        names = ", ".join(map(repr, few[:5])) + (", ..." if len(few) > 5 else "")
        return (
            [f"{len(few)} labels have fewer than 3 texts ({names}): they cannot be in all three splits"] if few else []
        )


def several_labels(columns: Columns, choices: Fields, taken: Collection[str | None]) -> SeveralLabels | None:
    """The labels of each row, where it may have several; None where no column says so.

    Args:
        choices: fields of `data`; `label` says that a row has one class.
        taken: columns that are used for something else.
    """
    if choices.get("label"):
        return None
    chosen = names_of(columns, choices.get("labels"))
    free = [name for name in columns.names if name not in taken]
    for names in [chosen] if chosen else [*([name] for name in _by_name(columns, free)), flag_columns(columns, free)]:
        if len(names) > 1:
            return SeveralLabels(label_sets(columns.table, names, None), {"labels": names})
        if not names:
            continue
        cells = columns.cells(names[0])
        if _are_lists(cells):
            return SeveralLabels(label_sets(columns.table, names, None), {"labels": names})
        mark = choices.get("label_separator") or (joined_labels(cells) or ("", None))[1]
        if mark is not None:
            fields = {"labels": names, "label_separator": mark}
            return SeveralLabels(label_sets(columns.table, names, mark), fields)
    return None


def label_fields(cells: list[str]) -> Fields:
    """Fields of sequences whose column of labels has several in a cell; empty where it has classes."""
    if _are_lists(cells):
        return {"target": "labels"}
    joined = joined_labels(cells)
    return {} if joined is None else {"target": "labels", "label_separator": joined[1]}


def _by_name(columns: Columns, free: list[str]) -> list[str]:
    """Columns that may have all labels of a row, those that are called so first."""
    rows = len(columns.table.lines)
    words = [name for name in free if columns.kinds[name] in ("category", "text")]
    lists = [name for name in words if _are_lists(columns.cells(name))]
    called = [name for name in words if name.lower().removesuffix("s") in LABEL_NAMES or name.lower() == "categories"]
    label = columns.class_column([name for name in free if columns.kinds[name] == "category"])
    found = [*lists, *called, *([label] if label else [])]
    return [name for name in dict.fromkeys(found) if name in lists or len(set(columns.cells(name))) * 2 <= rows]


def _are_lists(cells: list[str]) -> bool:
    return any(cell.startswith("[") for cell in cells[:100]) and all(listed_labels(cell) is not None for cell in cells)


def flag_columns(columns: Columns, free: list[str]) -> list[str]:
    """At least two columns of 0 and 1, in a table without a column that is called a label."""
    named = columns.first_named(LABEL_NAMES, [name for name in free if columns.kinds[name] in ("category", "number")])
    values = {name: set(columns.numbers[name].tolist()) for name in free if name in columns.numbers}
    flags = [name for name, found in values.items() if found <= {0.0, 1.0}]
    return flags if len(flags) > 1 and named is None else []


def flags_of_sequences(columns: Columns) -> tuple[str, list[str]] | None:
    """Columns of the sequence and of its labels, in a table with a row for each step: at least two columns of 0 and 1
    that are constant within each sequence. None where there are no such, or where rows have times, as those of time
    series do."""
    if columns.of_kind("time"):
        return None
    for id_ in columns.ids(columns.names):
        ids = len({*columns.cells(id_)})
        flags = [name for name in flag_columns(columns, [name for name in columns.names if name != id_])
                 if columns.is_constant(name, id_) and len({*columns.cells(name)}) == 2]  # fmt: skip
        measured = [name for name in columns.of_kind("number") if name != id_ and not columns.is_constant(name, id_)]
        if len(flags) > 1 and measured and MIN_SEQUENCES <= ids < len(columns.table.lines) / 2:
            return id_, flags
    return None
