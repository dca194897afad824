"""Files of rows, and pandas DataFrames, as tables of text. The ending of a file's name decides how it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lstm_lab.config import DataError
from lstm_lab.data.readers.cells import NUMBERS, TEXTS, CellTypes, as_text
from lstm_lab.data.readers.csv_format import CSVFormat, RowFields
from lstm_lab.data.readers.csv_rows import csv_names, parse_csv
from lstm_lab.data.readers.json_rows import json_fields, read_json
from lstm_lab.data.readers.parquet_rows import parquet_names, read_parquet
from lstm_lab.data.readers.table import COLUMNAR, TYPED, Table, ending_of, list_names, read_text

if TYPE_CHECKING:
    import pandas as pd


def read_csv(path: Path, wanted: Sequence[str], cells: CellTypes, format: CSVFormat) -> Table:
    """The wanted columns of a CSV or TSV file."""
    return parse_csv(read_text(path, needs="a header and one row for each text"), path, format, wanted)


def read_frame(
    frame: pd.DataFrame,
    wanted: Sequence[str],
    cells: CellTypes = TEXTS,
    index: str | None = None,
    name: str = "DataFrame",
) -> Table:
    """The wanted columns of a DataFrame. A name that is no column but a name of the index is read from the index.

    Args:
        cells: as of `read_rows`.
        index: name of the index where it has none.
        name: of the DataFrame, for messages.

    Raises:
        DataError: no such column, or no rows.
    """
    path = Path(name)
    names = [str(name) for name in frame.columns]
    columns: dict[str, list[object]] = {}
    for column in wanted:
        if names.count(column) > 1:
            raise DataError(f"{path}: {names.count(column)} columns are named {column!r}: rename all but one")
        if column in names:
            values = frame.iloc[:, names.index(column)]
        elif column in frame.index.names:
            values = frame.index.get_level_values(column).to_series()
        elif column == index and list(frame.index.names) == [None]:
            values = frame.index.to_series()
        else:
            raise DataError(f"{path}: no column {column!r}; it has {list_names(names)}")
        if str(values.dtype).startswith("period"):
            values = values.dt.to_timestamp()
        columns[column] = values.astype(object).where(values.notna(), None).tolist()
    if not len(frame):
        raise DataError(f"{path}: has no rows: provide some")
    return as_text(path, columns, cells)


def read_lines(path: Path, wanted: Sequence[str], cells: CellTypes, format: CSVFormat) -> Table:
    """The one wanted column of a file with one text on each line."""
    if len(wanted) > 1:
        raise DataError(f"{path}: a .txt file has one text on each line and no column {wanted[1]!r}: provide a CSV, "
                        "JSONL or Parquet file")  # fmt: skip
    lines = read_text(path, "text", "one text on each line").split("\n")
    rows = [number for number, line in enumerate(lines, 1) if line.strip()]
    return Table(path, {wanted[0]: [lines[number - 1].strip() for number in rows]}, rows)


READERS: dict[str, Callable[[Path, Sequence[str], CellTypes, CSVFormat], Table]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".json": read_json,
    ".jsonl": read_json,
    ".ndjson": read_json,
    **dict.fromkeys(COLUMNAR, read_parquet),
    ".txt": read_lines,
}
"""Ending of a file's name -> its reader."""


def text_format(path: str, separator: str | None, rows: RowFields) -> CSVFormat | None:
    """How a CSV of texts is written; None for a file of another kind.

    Args:
        separator: as chosen; None: a tab in a .tsv file, else a comma. A file of any other name is a CSV where it is
            chosen.
    """
    ending = ending_of(Path(path))
    if ending in TYPED or (separator is None and READERS.get(ending) is not read_csv):
        return None
    fields = {name: vars(rows)[name] for name in RowFields.model_fields}
    return CSVFormat(separator=separator or ("\t" if ending == ".tsv" else ","), **fields)


def read_rows(path: Path, wanted: Sequence[str], format: CSVFormat | None = None, cells: CellTypes = TEXTS) -> Table:
    """The wanted columns of a file, read as the ending of its name says.

    Args:
        format: of a CSV, whatever its name; None: the ending decides.
        cells: what they may be beside texts and labels.
    """
    ending = ending_of(path)
    if ending not in TYPED and format is not None:
        return read_csv(path, wanted, cells, format)
    if ending not in READERS:
        raise DataError(f"{path}: {ending or 'no ending'} is not a known format: rename the file to one of "
                        f"{', '.join(READERS)}, or set data.separator if it is a CSV")  # fmt: skip
    return READERS[ending](path, wanted, cells, CSVFormat(separator="\t" if ending == ".tsv" else ","))


def read_number_rows(path: Path, wanted: Sequence[str], format: CSVFormat) -> Table:
    """The wanted columns of a file of numbers and times: JSONL or Parquet by its ending, everything else is CSV."""
    if ending_of(path) in TYPED:
        return read_rows(path, wanted, cells=NUMBERS)
    return parse_csv(read_text(path), path, format, wanted)


def table_names(path: Path, format: CSVFormat) -> list[str]:
    """Names of all columns of a file of numbers and times; of a JSONL file those of its first object."""
    ending = ending_of(path)
    if ending in COLUMNAR:
        return parquet_names(path)
    if ending in TYPED:
        return json_fields(path)
    return csv_names(read_text(path), path, format)


def frame_names(frame: pd.DataFrame) -> list[str]:
    """Names of all columns of a DataFrame and of its index."""
    return [*map(str, frame.columns), *(str(name) for name in frame.index.names if name is not None)]
