"""Pairs of texts of a user, from two columns of a table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np
from pydantic import model_validator

from lstm_lab.config.registry import Named
from lstm_lab.data.kinds.text_pairs import TextPairInfo, TextPairs, TextPairSplit
from lstm_lab.data.kinds.user_text import UserTextFileOptions, UserTextFiles
from lstm_lab.data.preprocessing.splits import Texts
from lstm_lab.data.readers.cells import splits_and_groups, texts_of
from lstm_lab.data.readers.columns import Column, Separator, check_distinct
from lstm_lab.data.readers.csv_format import CSVFormat, RowFields, check_text_format
from lstm_lab.data.readers.formats import read_rows, text_format
from lstm_lab.data.readers.locate import find_file


@dataclass(frozen=True)
class PairTable:
    """The columns of a table with a row for each pair of texts."""

    source: str
    target: str
    split: str | None
    group: str | None
    format: CSVFormat | None

    def read(self, file: Path, split: str | None) -> Texts:
        """All sources, with their targets as labels.

        Args:
            split: to which all of them belong, whatever the column of splits says; None: as it says.
        """
        split_column = self.split if split is None else None
        names = (self.source, self.target, split_column, self.group)
        table = read_rows(file, [name for name in names if name is not None], self.format)
        splits, groups = splits_and_groups(table, split_column, self.group)
        targets = np.array(texts_of(table, self.target), object)
        return Texts(texts_of(table, self.source), targets, str(file), splits, groups)


class CSVTextPairs(UserTextFiles[TextPairInfo, TextPairSplit], TextPairs, name="csv_text_pairs"):
    """One file with a row for each pair of texts: CSV, TSV, JSONL or Parquet, by the ending of its name."""

    class Config(RowFields, TextPairs.Config, UserTextFiles.Config):
        source: Column = "source"
        """Column of the texts that are read."""
        target: Column = "target"
        """Column of the texts that are written."""
        split: Column | None = None
        """Column with train, validation or test; null: splits are drawn."""
        group: Column | None = None
        """Column whose groups stay in one split, such as the document; null: only pairs with equal sources do."""
        id: Column | None = None
        """Column that names each text in predictions; null: they are counted."""
        separator: Separator | None = None
        r"""Character between the fields of a CSV; a tab is written \t. null: a tab in a .tsv file, else a comma. A file
        of any other name is read as a CSV where it is set."""

        @model_validator(mode="after")
        def _columns_are_distinct_and_fields_have_an_effect(self) -> CSVTextPairs.Config:
            names = [self.source, self.target, self.split, self.group, self.id]
            check_distinct(names, "source, target, split, group and id")
            check_text_format(self.path, self.separator, self.format, self)
            return self

        @property
        def format(self) -> CSVFormat | None:
            """How the CSV is written; None for a file of another kind."""
            return text_format(self.path, self.separator, self)

        def options(self) -> dict[str, object]:
            read = {*RowFields.model_fields, "separator", *PairTable.__dataclass_fields__}
            rows = PairTable(self.source, self.target, self.split, self.group, self.format)
            return {**{key: value for key, value in super().options().items() if key not in read}, "rows": rows}

    def __init__(
        self, *, rows: PairTable, id: str | None, target_tokenizer: Named | None,
        **options: Unpack[UserTextFileOptions],
    ) -> None:  # fmt: skip
        # The id is no part of what is read for training.
        super().__init__(**options, target_tokenizer=target_tokenizer, rows=rows)
        self.rows, self.id, self.column, self.format = rows, id, rows.source, rows.format

    def files_at(self, path: str) -> list[Path]:
        return [find_file(path)]

    def read_at(self, path: str, split: str | None) -> Texts:
        (file,) = self.files_at(path)
        return self.rows.read(file, split)
