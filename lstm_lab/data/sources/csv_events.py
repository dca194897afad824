"""Events of a user, from a table with a row for each event, such as the clicks of each visitor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Unpack

import numpy as np
from pydantic import model_validator

from lstm_lab.config.registry import Named, OneOf
from lstm_lab.data.kinds.text import TextDataset, TextInfo
from lstm_lab.data.kinds.text_split import TextSplit
from lstm_lab.data.kinds.user_text import UserTextFileOptions, UserTextFiles
from lstm_lab.data.preprocessing.splits import Texts
from lstm_lab.data.preprocessing.tokenizer import Tokenizer, Whitespace
from lstm_lab.data.readers.cells import NUMBERS, check_classes, labels_of, splits_and_groups
from lstm_lab.data.readers.columns import Column, Columns, check_distinct
from lstm_lab.data.readers.csv_format import CSVFields, CSVFormat, check_format
from lstm_lab.data.readers.formats import read_frame, read_number_rows
from lstm_lab.data.readers.in_memory import NewData, is_frame
from lstm_lab.data.readers.locate import find_file
from lstm_lab.data.readers.sequence_heads import check_constant
from lstm_lab.data.readers.table import Table


@dataclass(frozen=True)
class EventTable:
    """The columns of a table with a row for each event."""

    id: str
    events: tuple[str, ...]
    label: str
    split: str | None
    group: str | None
    format: CSVFormat

    def read(self, file: Path, split: str | None) -> Texts:
        """The events of each sequence as a text, and their classes.

        Args:
            split: to which all of them belong, whatever the column of splits says; None: as it says.
        """
        split_column = self.split if split is None else None
        known = [name for name in (self.label, split_column, self.group) if name is not None]
        table = read_number_rows(file, (self.id, *self.events, *known), self.format)
        rows = [*table.group_rows(self.id, "sequence").values()]
        for name in known:
            check_constant(table, name, self.id, rows)
        head = table.rows(np.array([index[0] for index in rows]))
        labels = labels_of(head, self.label)
        check_classes(labels, file, self.label, "sequences")
        splits, groups = splits_and_groups(head, split_column, self.group)
        return Texts(self._texts(table, rows), labels, str(file), splits, groups)

    def read_new(self, source: NewData) -> Table:
        """A row for each sequence: its id, and its events as a text."""
        wanted = (self.id, *self.events)
        if is_frame(source):
            table = read_frame(source, wanted, cells=NUMBERS, index=self.id)
        else:
            table = read_number_rows(find_file(str(source)), wanted, self.format)
        rows = [*table.group_rows(self.id, "sequence").values()]
        head = table.rows(np.array([index[0] for index in rows]))
        return head._replace(columns={self.id: head.columns[self.id], CSVEvents.column: self._texts(table, rows)})

    def _texts(self, table: Table, rows: Sequence[np.ndarray]) -> list[str]:
        """The words of each sequence, joined by blanks."""
        columns = [["_".join(cell.split()) or "-" for cell in table.columns[name]] for name in self.events]
        words = ["|".join(row) for row in zip(*columns, strict=True)]
        return [" ".join(words[row] for row in index) for index in rows]


class CSVEvents(UserTextFiles[TextInfo, TextSplit], TextDataset, name="csv_events"):
    """A CSV, Parquet or JSON file with a row for each event of each sequence, oldest first: an event is a word, such as
    what a visitor clicked on. Where several columns describe it, their words together are one token."""

    column = "events"

    class Config(CSVFields, UserTextFiles.Config):
        id: Column
        """Column of the sequence that an event belongs to, such as the visitor."""
        events: Columns
        """Columns of words that an event consists of."""
        label: Column = "label"
        """Column of the class of a sequence, the same in all of its rows."""
        split: Column | None = None
        """Column with train, validation or test, the same in all rows of a sequence; null: splits are drawn."""
        group: Column | None = None
        """Column whose groups stay in one split; null: only sequences with equal events stay together."""
        tokenizer: Annotated[Named, OneOf(Tokenizer, default="whitespace")] = Whitespace.Config()
        """How the words become tokens; fitted on the training split."""

        @model_validator(mode="after")
        def _columns_are_distinct(self) -> CSVEvents.Config:
            if not self.events:
                raise ValueError("events is empty: name at least one column of words")
            check_distinct([self.id, *self.events, self.label, self.split, self.group],
                           "id, events, label, split and group")  # fmt: skip
            check_format(self.path, self.format)
            return self

        @property
        def rows(self) -> EventTable:
            """The columns that are read."""
            return EventTable(self.id, self.events, self.label, self.split, self.group, self.format)

        def options(self) -> dict[str, object]:
            read = {*CSVFields.model_fields, *EventTable.__dataclass_fields__}
            return {**{key: value for key, value in super().options().items() if key not in read}, "rows": self.rows}

    def __init__(self, *, rows: EventTable, **options: Unpack[UserTextFileOptions]) -> None:
        super().__init__(**options, rows=rows)
        self.rows, self.id, self.format = rows, rows.id, rows.format

    def files_at(self, path: str) -> list[Path]:
        return [find_file(path)]

    def read_at(self, path: str, split: str | None) -> Texts:
        return self.rows.read(find_file(path), split)

    def _new_table(self, source: NewData) -> Table:
        return (
            self.rows.read_new(source)
            if isinstance(source, str | Path) or is_frame(source)
            else super()._new_table(source)
        )
