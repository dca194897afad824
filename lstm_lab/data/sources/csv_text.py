"""Labelled texts of a user, from one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from pydantic import model_validator

from lstm_lab.data.base import Dataset
from lstm_lab.data.kinds.text import MultiLabelTextDataset, MultiLabelTextInfo, TextDataset, TextInfo
from lstm_lab.data.kinds.text_split import MultiLabelTextSplit, TextSplit
from lstm_lab.data.kinds.tokenized_texts import TextInfoT, TokenSplitT
from lstm_lab.data.kinds.user_text import UserTextFileOptions, UserTextFiles
from lstm_lab.data.preprocessing.splits import Texts
from lstm_lab.data.readers.cells import CellTypes, check_classes, labels_of, splits_and_groups, texts_of
from lstm_lab.data.readers.columns import Column, Columns, Separator, check_distinct
from lstm_lab.data.readers.csv_format import CSVFormat, RowFields, check_text_format
from lstm_lab.data.readers.formats import read_rows, text_format
from lstm_lab.data.readers.label_sets import label_sets
from lstm_lab.data.readers.locate import find_file


@dataclass(frozen=True)
class TextTable:
    """The columns of a table with a row for each text."""

    text: str
    label: str
    labels: tuple[str, ...]
    label_separator: str | None
    split: str | None
    group: str | None
    format: CSVFormat | None

    def read(self, file: Path, split: str | None) -> Texts:
        """All texts and their labels.

        Args:
            split: to which all of them belong, whatever the column of splits says; None: as it says.
        """
        split_column = self.split if split is None else None
        names = (self.text, *(self.labels or (self.label,)), split_column, self.group)
        wanted = tuple(dict.fromkeys(name for name in names if name is not None))
        table = read_rows(file, wanted, self.format, CellTypes(lists=self.labels))
        texts = texts_of(table, self.text)
        label_names: tuple[str, ...] = ()
        if self.labels:
            found = label_sets(table, self.labels, self.label_separator)
            labels, label_names = np.empty(len(texts), object), found.names
            labels[:] = found.sets
        else:
            labels = labels_of(table, self.label)
            check_classes(labels, file, self.label, "texts")
        splits, groups = splits_and_groups(table, split_column, self.group)
        return Texts(texts, labels, str(file), splits, groups, label_names)


class TextTableDataset(UserTextFiles[TextInfoT, TokenSplitT]):
    """Base of the texts of a table."""

    def __init__(self, *, rows: TextTable, id: str | None, **options: Unpack[UserTextFileOptions]) -> None:
        # The id is no part of what is read for training.
        super().__init__(**options, rows=rows)
        self.rows, self.id, self.column, self.format = rows, id, rows.text, rows.format

    def files_at(self, path: str) -> list[Path]:
        return [find_file(path)]

    def read_at(self, path: str, split: str | None) -> Texts:
        (file,) = self.files_at(path)
        return self.rows.read(file, split)


class CSVText(TextTableDataset[TextInfo, TextSplit], TextDataset, name="csv_text"):
    """One file with a row for each text: CSV, TSV, JSONL or Parquet, by the ending of its name."""

    class Config(RowFields, UserTextFiles.Config):
        text: Column = "text"
        """Column of the texts."""
        label: Column = "label"
        """Column of the class names."""
        labels: Columns = ()
        """In place of `label`, where a text may have several labels, for the task multi_label: one column whose cells
        have all labels of a text, or a column of 0 and 1 for each label."""
        label_separator: Separator | None = None
        """Character between the labels of a cell; null: a cell is a JSON list."""
        split: Column | None = None
        """Column with train, validation or test; null: splits are drawn."""
        group: Column | None = None
        """Column whose groups stay in one split, such as the author; null: only equal texts stay together."""
        id: Column | None = None
        """Column that names each text in predictions; null: they are counted."""
        separator: Separator | None = None
        r"""Character between the fields of a CSV, a tab is written \t; null: a comma, or in a .tsv file a tab. A file
        of another name is read as a CSV where it is set."""

        @model_validator(mode="after")
        def _columns_are_distinct_and_fields_have_an_effect(self) -> CSVText.Config:
            label = [] if self.labels else [self.label]
            names = [self.text, *label, *self.labels, self.split, self.group, self.id]
            check_distinct(names, "text, label, labels, split, group and id")
            if self.label_separator is not None and len(self.labels) != 1:
                raise ValueError(f"label_separator={self.label_separator!r} would have no effect: set labels to the "
                                 "one column that has several labels in a cell, or remove it")  # fmt: skip
            if self.labels and self.label != "label":
                raise ValueError(f"label={self.label} has no effect beside labels: remove one of them")
            check_text_format(self.path, self.separator, self.format, self)
            return self

        @property
        def format(self) -> CSVFormat | None:
            """How the CSV is written; None for a file of another kind."""
            return text_format(self.path, self.separator, self)

        @property
        def dataset(self) -> type[Dataset]:
            return MultiLabelCSVText if self.labels else CSVText

        @property
        def rows(self) -> TextTable:
            """The columns that are read."""
            return TextTable(self.text, self.label, self.labels, self.label_separator, self.split, self.group,
                             self.format)  # fmt: skip

        def options(self) -> dict[str, object]:
            read = {*RowFields.model_fields, "separator", *TextTable.__dataclass_fields__}
            return {**{key: value for key, value in super().options().items() if key not in read}, "rows": self.rows}

        def make(self, *info: Any, **more: Any) -> Any:
            return self.dataset(*info, **more, **self.options())


class MultiLabelCSVText(TextTableDataset[MultiLabelTextInfo, MultiLabelTextSplit], MultiLabelTextDataset):
    """The same, with any number of labels for each text."""

    name = "csv_text"
