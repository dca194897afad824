"""Files of rows, and pandas DataFrames, as tables of text. The ending of a file's name decides how it is read."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.preprocessing.splits import SPLIT_ALIASES, SPLITS
from lstm_lab.data.readers.csv_format import CSVFormat
from lstm_lab.data.readers.csv_rows import csv_names, parse_csv
from lstm_lab.data.readers.table import TYPED, Table, ending_of, list_names, quoted, read_text

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_UNREADABLE = (OSError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError, MemoryError)
"""What pyarrow raises for a file that is damaged or not UTF-8; its own errors are among them, by their bases."""


def read_csv(path: Path, wanted: Sequence[str], separator: str, numbers: bool = False, quoting: bool = True) -> Table:
    """The wanted columns of a CSV or TSV file."""
    format = CSVFormat(separator=separator, quoting=quoting)
    return parse_csv(read_text(path, needs="a header and one row for each text"), path, format, wanted)


def read_json(path: Path, wanted: Sequence[str], separator: str = "", numbers: bool = False) -> Table:
    """The wanted fields of a file with one JSON object on each line, or of one JSON array of objects."""
    columns: dict[str, list[str]] = {name: [] for name in wanted}
    unit, rows = _json_rows(path)
    table = Table(path, columns, [], unit, typed=True)
    for place, row in rows:
        if not isinstance(row, dict):
            raise DataError(f"{path}: {unit} {place}: {quoted(json.dumps(row))} is not a JSON object: write one for "
                            "each row")  # fmt: skip
        table.lines.append(place)
        for name in wanted:
            if name not in row:
                raise DataError(f"{path}: {unit} {place}: no field {name!r}; it has {list_names(list(row))}")
            columns[name].append(cell_text(row[name], table, len(table.lines) - 1, name, numbers))
    if not table.lines:
        raise DataError(f"{path}: has no rows: write one JSON object on each line")
    return table


def _json_rows(path: Path) -> tuple[str, Iterator[tuple[int, object]]]:
    """What is counted, "line" or "row", and the number and content of each row."""
    text = read_text(path, "JSON text", "one object on each line")
    if ending_of(path) != ".json":
        return "line", _json_lines(path, text)
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.lstrip().startswith("["):
            raise DataError(f"{path}: not JSON ({error}): write an array of objects") from None
        return "line", _json_lines(path, text)
    if isinstance(whole, list):
        return "row", enumerate(whole, 1)
    raise DataError(f"{path}: not rows but one JSON object: write an array of objects, as DataFrame.to_json(path, "
                    "orient='records') does, or one object on each line")  # fmt: skip


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, object]]:
    # Not splitlines(): a JSON text may contain Unicode line ends.
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip():
            continue
        try:
            yield line, json.loads(content)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: line {line}: not JSON ({error}): write one object on each line") from None


def read_parquet(path: Path, wanted: Sequence[str], separator: str = "", numbers: bool = False) -> Table:
    """The wanted columns of a Parquet file."""
    return _as_text(path, parquet_columns(path, wanted), numbers)


def read_frame(
    frame: pd.DataFrame, wanted: Sequence[str], numbers: bool = False, index: str | None = None, name: str = "DataFrame"
) -> Table:
    """The wanted columns of a DataFrame. A name that is no column but a name of the index is read from the index.

    Args:
        numbers: as of `read_rows`.
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
    return _as_text(path, columns, numbers)


def _as_text(path: Path, columns: dict[str, list[object]], numbers: bool) -> Table:
    table = Table(path, {}, list(range(1, len(next(iter(columns.values()))) + 1)), unit="row", typed=True)
    for name, values in columns.items():
        table.columns[name] = [
            value if isinstance(value, str) else cell_text(value, table, row, name, numbers)
            for row, value in enumerate(values)
        ]
    return table


def parquet_columns(path: Path, wanted: Sequence[str]) -> dict[str, list[object]]:
    """Columns of a Parquet file as Python values.

    Raises:
        DataError: not a Parquet file, no such column, or no rows.
    """
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        names = [str(name) for name in file.schema_arrow.names]
        for name in wanted:
            if name not in names:
                raise DataError(f"{path}: no column {name!r}; it has {list_names(names)}")
            if names.count(name) > 1:
                raise DataError(f"{path}: {names.count(name)} columns are named {name!r}: rename all but one")
        table = file.read(columns=list(wanted))
    except _UNREADABLE as error:
        raise _damaged(path, error) from None
    if not table.num_rows:
        raise DataError(f"{path}: has no rows: add some")
    return {name: _values(path, name, table.column(name)) for name in wanted}


def _values(path: Path, name: str, column: pa.ChunkedArray) -> list[object]:
    try:
        values: list[object] = column.to_pylist()
    except _UNREADABLE as error:  # Texts that are not UTF-8, or times that Python does not have.
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{path}: column {name!r}: a value of type {column.type} cannot be read ({reason}): write it "
                        "again, or leave it out") from None  # fmt: skip
    return values


def parquet_texts(path: Path, *wanted: str) -> list[list[str]]:
    """Columns of strings of a Parquet file."""
    return [[str(value) for value in values] for values in parquet_columns(path, wanted).values()]


def parquet_names(path: Path) -> list[str]:
    """Names of all columns of a Parquet file."""
    from pyarrow import parquet

    try:
        names = [str(name) for name in parquet.read_schema(path).names]
        # pandas writes an index without a name, as any filter leaves it, under such names.
        return [name for name in names if not name.startswith("__index_level_")] or names
    except _UNREADABLE as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: not a complete Parquet file ({' '.join(str(error).split())[:120]}): write it again")


def read_lines(path: Path, wanted: Sequence[str], separator: str = "", numbers: bool = False) -> Table:
    """The one wanted column of a file with one text on each line."""
    if len(wanted) > 1:
        raise DataError(f"{path}: a .txt file has one text on each line and no column {wanted[1]!r}: provide a CSV, "
                        "JSONL or Parquet file")  # fmt: skip
    lines = read_text(path, "text", "one text on each line").split("\n")
    rows = [number for number, line in enumerate(lines, 1) if line.strip()]
    return Table(path, {wanted[0]: [lines[number - 1].strip() for number in rows]}, rows)


READERS: dict[str, Callable[[Path, Sequence[str], str, bool], Table]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".json": read_json,
    ".jsonl": read_json,
    ".ndjson": read_json,
    ".parquet": read_parquet,
    ".txt": read_lines,
}
"""Ending of a file's name -> its reader."""


def read_rows(
    path: Path, wanted: Sequence[str], separator: str | None = None, numbers: bool = False, quoting: bool = True
) -> Table:
    """The wanted columns of a file, read as the ending of its name says.

    Args:
        separator: character between the fields of a CSV; None: a comma, or in a .tsv file a tab.
        numbers: whether cells may be times and numbers of any kind, not only texts and labels.
        quoting: whether quotes enclose fields of a CSV.
    """
    ending = ending_of(path)
    if ending not in READERS:
        raise DataError(f"{path}: {ending or 'no ending'} is not a known format: rename the file to one of "
                        f"{', '.join(READERS)}")  # fmt: skip
    separator = separator or ("\t" if ending == ".tsv" else ",")
    if READERS[ending] is read_csv:
        return read_csv(path, wanted, separator, numbers, quoting)
    return READERS[ending](path, wanted, separator, numbers)


def read_number_rows(path: Path, wanted: Sequence[str], format: CSVFormat) -> Table:
    """The wanted columns of a file of numbers and times: JSONL or Parquet by its ending, everything else is CSV."""
    if ending_of(path) in TYPED:
        return read_rows(path, wanted, numbers=True)
    return parse_csv(read_text(path), path, format, wanted)


def table_names(path: Path, format: CSVFormat) -> list[str]:
    """Names of all columns of a file of numbers and times; of a JSONL file those of its first object."""
    ending = ending_of(path)
    if ending == ".parquet":
        return parquet_names(path)
    if ending in TYPED:
        return json_fields(path)
    return csv_names(read_text(path), path, format)


def json_fields(path: Path) -> list[str]:
    """Of the first object of a JSON file."""
    try:
        first = next(_json_rows(path)[1], (0, None))[1]
    except DataError:
        return [""]  # The reader reports what is wrong, and where.
    return list(first) if isinstance(first, dict) and first else [""]


def frame_names(frame: pd.DataFrame) -> list[str]:
    """Names of all columns of a DataFrame and of its index."""
    return [*map(str, frame.columns), *(str(name) for name in frame.index.names if name is not None)]


def texts_of(table: Table, column: str) -> list[str]:
    """The texts of a column, none empty, all of them valid in UTF-8."""
    texts = table.columns[column]
    empty = [row for row, text in enumerate(texts) if not text.strip()]
    if empty:
        raise table.error(empty[0], column, f"the text is empty ({len(empty)} in total): fill it in or remove the row")
    for row, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            half = f"\\u{ord(text[error.start]):x}"
            raise table.error(row, column, f"character {error.start} is half of a surrogate pair ({half}): write the "
                              "text again as UTF-8") from None  # fmt: skip
    return texts


def labels_of(table: Table, column: str) -> np.ndarray:
    """(N,) the label of each row, none empty."""
    labels = [label.strip() for label in table.columns[column]]
    empty = [row for row, label in enumerate(labels) if not label]
    if empty:
        raise table.error(empty[0], column, f"the label is empty ({len(empty)} in total): fill it in or remove the row")
    return np.array(labels)


def check_classes(labels: np.ndarray, path: Path, column: str, samples: str) -> None:
    """Raise DataError where a column has so many different values that it cannot name classes."""
    classes = len(set(labels.tolist()))
    if classes > 2 + len(labels) // 2:
        raise DataError(f"{path}: column {column!r} has {classes} classes for {len(labels)} {samples}: set data.label "
                        "to the column of the classes")  # fmt: skip


def cell_text(value: object, table: Table, row: int, column: str, numbers: bool = False) -> str:
    """A value as text: a text, a whole number or a boolean; with `numbers`, also any number and any time.

    Raises:
        DataError: another kind of value.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool | int):
        return str(value)
    if numbers and isinstance(value, datetime.date):
        return value.isoformat()
    if numbers and isinstance(value, float | Decimal):
        return str(value)
    wanted, way = ("a text, number or time", "one") if numbers else ("a text or a whole number", "text")
    raise table.error(row, column, f"{quoted(str(value))} is not {wanted}: write it as {way}")


def splits_of(table: Table, column: str) -> np.ndarray:
    """(N,) the split of each row, one of SPLITS."""
    cells = table.columns[column]
    wrong = [row for row, cell in enumerate(cells) if cell.lower() not in SPLIT_ALIASES]
    if wrong:
        raise table.error(wrong[0], column, f"{quoted(cells[wrong[0]])} is not a split ({len(wrong)} in total): write "
                          f"{', '.join(SPLITS)}")  # fmt: skip
    return np.array([SPLIT_ALIASES[cell.lower()] for cell in cells])
