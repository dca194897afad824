"""Labelled texts of a user, from one file."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import numpy as np
from pydantic import model_validator

from lstm_lab.data.kinds.user_text import UserTextFileOptions, UserTextFiles
from lstm_lab.data.preprocessing.splits import Texts
from lstm_lab.data.readers.cells import check_classes, labels_of, splits_of, texts_of
from lstm_lab.data.readers.columns import Separator, check_distinct
from lstm_lab.data.readers.formats import read_rows
from lstm_lab.data.readers.locate import find_file


class CSVText(UserTextFiles, name="csv_text"):
    """One file with a row for each text: CSV, TSV, JSONL or Parquet, by the ending of its name."""

    class Config(UserTextFiles.Config):
        text: str = "text"
        """Column of the texts."""
        label: str = "label"
        """Column of the class names."""
        split: str | None = None
        """Column with train, validation or test; null: splits are drawn."""
        group: str | None = None
        """Column whose groups stay in one split, such as the author; null: only equal texts stay together."""
        id: str | None = None
        """Column that names each text in predictions; null: they are counted."""
        separator: Separator | None = None
        r"""Character between the fields of a CSV, a tab is written \t; null: a comma, or in a .tsv file a tab."""
        quoting: bool = True
        """Whether a quotation mark encloses a field; false: it is a character like any other."""

        @model_validator(mode="after")
        def _columns_are_distinct_and_the_separator_has_an_effect(self) -> CSVText.Config:
            check_distinct([self.text, self.label, self.split, self.group, self.id], "text, label, split, group and id")
            if not self.quoting and not self.path.lower().endswith((".csv", ".tsv")):
                raise ValueError(f"quoting would have no effect: {self.path} is not a CSV; remove it")
            if self.separator is not None:
                if not self.path.lower().endswith((".csv", ".tsv")):
                    raise ValueError(f"separator would have no effect: {self.path} is not a CSV; remove it")
                if len(self.separator) != 1 or self.separator in '"\r\n':
                    raise ValueError(f"separator {self.separator!r} cannot separate fields: use one character that is "
                                     "neither a quote nor a line end")  # fmt: skip
            return self

    def __init__(
        self,
        *,
        text: str,
        label: str,
        split: str | None,
        group: str | None,
        id: str | None,
        separator: str | None,
        quoting: bool,
        **options: Unpack[UserTextFileOptions],
    ) -> None:
        # The id is no part of what is read for training.
        reading = {"text": text, "label": label, "split": split, "group": group, "separator": separator}
        super().__init__(**options, **reading, **({} if quoting else {"quoting": False}))
        self.quoting = quoting
        self.id = id
        self.column, self.label, self.split, self.group, self.separator = text, label, split, group, separator

    def files_at(self, path: str) -> list[Path]:
        return [find_file(path)]

    def read_at(self, path: str, split: str | None) -> Texts:
        (file,) = self.files_at(path)
        split_column = self.split if split is None else None
        wanted = [name for name in (self.column, self.label, split_column, self.group) if name is not None]
        table = read_rows(file, wanted, self.separator, quoting=self.quoting)
        texts, labels = texts_of(table, self.column), labels_of(table, self.label)
        check_classes(labels, file, self.label, "texts")
        splits = None if split_column is None else splits_of(table, split_column)
        groups = None if self.group is None else np.array(table.columns[self.group])
        return Texts(texts, labels, str(file), splits, groups)
