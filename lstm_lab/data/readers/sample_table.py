"""A table beside the samples, with a row for each of them: what their own files have no columns for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.readers.cells import splits_and_groups
from lstm_lab.data.readers.csv_format import CSVFormat
from lstm_lab.data.readers.csv_rows import parse_csv
from lstm_lab.data.readers.folders import FolderFile
from lstm_lab.data.readers.formats import read_number_rows, table_names
from lstm_lab.data.readers.locate import find_file
from lstm_lab.data.readers.table import TYPED, Table, ending_of, list_names, quoted, read_text


@dataclass(frozen=True)
class SampleTable:
    """The columns of a table with splits and groups of the samples of another file or folder."""

    path: str
    split: str | None
    group: str | None
    id: str | None = None
    """Column that names the file of each sample; None: rows are in the order of the samples."""

    def read(
        self, count: int, where: str, files: Sequence[FolderFile] = ()
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """(N,) the split and (N,) the group of each sample; None without such a column.

        Args:
            count: of the samples.
            where: what has the samples, for messages.
            files: of the samples, where `id` names them.

        Raises:
            DataError: no row for a sample, or another number of rows.
        """
        table = read_sample_rows(self.path, [name for name in (self.id, self.split, self.group) if name is not None])
        if self.id is not None:
            table = rows_of_files(table, self.id, files, self.path)
        elif len(table.lines) != count:
            raise DataError(f"{table.path}: has {len(table.lines)} rows, but {where} has {count} samples: write a row "
                            "for each, in the same order")  # fmt: skip
        return splits_and_groups(table, self.split, self.group)


def read_sample_rows(path: str, wanted: Sequence[str], format: CSVFormat | None = None) -> Table:
    """The wanted columns of a table, with a header and a separator of its own.

    Args:
        format: of other files, whose separator it may have too.
    """
    file, usual = find_file(path), CSVFormat() if format is None else format
    if ending_of(file) in TYPED:
        return read_number_rows(file, wanted, CSVFormat())
    separators = [mark for mark in (",", "\t", ";", usual.separator)
                  if set(wanted) <= set(table_names(file, CSVFormat(separator=mark)))]  # fmt: skip
    return parse_csv(read_text(file), file, CSVFormat(separator=separators[0] if separators else ","), wanted)


def rows_of_files(table: Table, id: str, files: Sequence[FolderFile], labels: str) -> Table:
    """The row of each file, which names it by its path in the folder or by its name, with or without the ending."""
    row_of: dict[str, int] = {}
    for row, cell in enumerate(table.columns[id]):
        if row_of.setdefault(cell, row) != row:
            raise table.error(row, id, f"{quoted(cell)} is there twice: keep one row for each file")
    rows = []
    for file in files:
        names = (file.id, f"{file.id}{file.path.suffix}", Path(file.id).name, file.path.name)
        own = [row_of[name] for name in names if name in row_of]
        if not own:
            raise DataError(f"{file.path}: {labels} has no row for it in column {id!r}, which names "
                            f"{list_names(table.columns[id][:3])}: add one, or remove the file")  # fmt: skip
        rows.append(own[0])
    return table.rows(np.array(rows))
