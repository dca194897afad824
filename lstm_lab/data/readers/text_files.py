"""Files of rows become named columns of text, by the ending of their name. A fault names the line, the column and the
way out."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.readers.table import Table, read_table, read_text, show


class Rows(Table):
    """A table whose rows are counted, for want of lines."""

    def fault(self, row: int, column: str, text: str) -> DataError:
        return DataError(f"{self.place}: row {self.lines[row]}, column {column!r}: {text}")


def read_csv(place: Path, wanted: Sequence[str], separator: str, numbers: bool = False) -> Table:
    """The columns wanted of a CSV or TSV file."""
    return read_table(read_text(place, needs="a header and one row for each text"), place, separator, wanted)


def read_jsonl(place: Path, wanted: Sequence[str], separator: str, numbers: bool = False) -> Table:
    """The columns wanted of a file with one JSON object a line."""
    columns: dict[str, list[str]] = {name: [] for name in wanted}
    table = Table(place, columns, [])
    # Not splitlines(): a JSON text may hold the line ends of Unicode as they are.
    for line, content in enumerate(read_text(place, "JSON text", "one object a line").split("\n"), 1):
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except ValueError as error:
            raise DataError(f"{place}: line {line}: not JSON ({error}): write one object a line") from None
        if not isinstance(row, dict):
            raise DataError(f"{place}: line {line}: {show(content)} is not a JSON object: write one object a line")
        table.lines.append(line)
        for name in wanted:
            if name not in row:
                raise DataError(f"{place}: line {line}: no field {name!r}; it has {_names(list(row))}")
            columns[name].append(cell(row[name], table, len(table.lines) - 1, name, numbers))
    if not table.lines:
        raise DataError(f"{place}: has no rows: write one JSON object a line")
    return table


def read_parquet(place: Path, wanted: Sequence[str], separator: str = "", numbers: bool = False) -> Table:
    """The columns wanted of a Parquet file."""
    columns = parquet_columns(place, wanted)
    table = Rows(place, {}, list(range(1, len(next(iter(columns.values()))) + 1)))
    for name, values in columns.items():
        texts = all(type(value) is str for value in values)
        cells = values if texts else [cell(value, table, row, name, numbers) for row, value in enumerate(values)]
        table.columns[name] = cells
    return table


def parquet_columns(place: Path, wanted: Sequence[str]) -> dict[str, list[Any]]:
    """Columns of a Parquet file as Python values."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(place)
        names = file.schema_arrow.names
        missing = next((name for name in wanted if name not in names), None)
        if missing is not None:
            raise DataError(f"{place}: no column {missing!r}; it has {_names(names)}")
        table = file.read(columns=list(wanted))
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{place}: not a whole Parquet file ({' '.join(str(error).split())[:120]}): "
                        "write it again") from None  # fmt: skip
    if not table.num_rows:
        raise DataError(f"{place}: has no rows: write them below its columns")
    return {name: table.column(name).to_pylist() for name in wanted}


def parquet_names(place: Path) -> list[str]:
    """Names of all columns of a Parquet file."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.read_schema(place).names
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{place}: not a whole Parquet file ({' '.join(str(error).split())[:120]}): "
                        "write it again") from None  # fmt: skip


def read_lines(place: Path, wanted: Sequence[str], separator: str, numbers: bool = False) -> Table:
    """The one column wanted of a file with one text a line."""
    if len(wanted) > 1:
        raise DataError(f"{place}: a .txt file holds one text a line and no column {wanted[1]!r}: bring a CSV, JSONL "
                        "or Parquet file")  # fmt: skip
    lines = read_text(place, "text", "one text a line").split("\n")
    rows = [number for number, line in enumerate(lines, 1) if line.strip()]
    return Table(place, {wanted[0]: [lines[number - 1].strip() for number in rows]}, rows)


READERS: dict[str, Callable[[Path, Sequence[str], str, bool], Table]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".parquet": read_parquet,
    ".txt": read_lines,
}


def read_rows(place: Path, wanted: Sequence[str], separator: str | None = None, numbers: bool = False) -> Table:
    """The wanted columns of a file, by the ending of its name.

    Args:
        separator: parts the fields of a CSV.
        numbers: whether cells may be times and numbers of any kind, not texts and labels alone.
    """
    ending = place.suffix.lower()
    if ending not in READERS:
        raise DataError(f"{place}: {ending or 'no ending'} says nothing of what is inside: name it "
                        f"{', '.join(READERS)}, whichever it is")  # fmt: skip
    return READERS[ending](place, wanted, separator or ("\t" if ending == ".tsv" else ","), numbers)


def texts_of(table: Table, column: str) -> list[str]:
    """The texts of a column, none empty, all fit for UTF-8."""
    texts = table.columns[column]
    empty = [row for row, text in enumerate(texts) if not text.strip()]
    if empty:
        raise table.fault(empty[0], column, f"the text is empty ({len(empty)} such in all): fill it in or take the "
                          "row out")  # fmt: skip
    for row, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            half = f"\\u{ord(text[error.start]):x}"
            raise table.fault(row, column, f"character {error.start} is half of a pair ({half}): write the text again "
                              "as UTF-8") from None  # fmt: skip
    return texts


def labels_of(table: Table, column: str) -> np.ndarray:
    """(N,) the label of each row, none empty."""
    labels = [label.strip() for label in table.columns[column]]
    empty = [row for row, label in enumerate(labels) if not label]
    if empty:
        raise table.fault(empty[0], column, f"the label is empty ({len(empty)} such in all): fill it in or take the "
                          "row out")  # fmt: skip
    return np.array(labels)


def cell(value: Any, table: Table, row: int, column: str, numbers: bool = False) -> str:
    """A label may be a whole number or yes and no; a text is text; with `numbers`, any number and any time will do."""
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
    what = "no text, number or time" if numbers else "neither text nor a whole number"
    raise table.fault(row, column, f"{show(str(value))} is {what}: write it as {'one' if numbers else 'text'}")


def _names(names: list[str]) -> str:
    return f"{', '.join(map(repr, names[:12]))}{', ...' if len(names) > 12 else ''}"
