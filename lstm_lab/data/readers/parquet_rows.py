"""Columns of a Parquet, Feather or Arrow file, as a table of text or as Python values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lstm_lab.config import DataError
from lstm_lab.data.readers.cells import TEXTS, CellTypes, as_text
from lstm_lab.data.readers.csv_format import CSVFormat
from lstm_lab.data.readers.table import Table, ending_of, list_names

if TYPE_CHECKING:
    import pyarrow as pa

_UNREADABLE = (OSError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError, MemoryError)
"""What pyarrow raises for a file that is damaged or not UTF-8; its own errors are among them, by their bases."""


def read_parquet(path: Path, wanted: Sequence[str], cells: CellTypes = TEXTS, format: CSVFormat | None = None) -> Table:
    """The wanted columns of a file."""
    return as_text(path, parquet_columns(path, wanted), cells)


def parquet_columns(path: Path, wanted: Sequence[str]) -> dict[str, list[object]]:
    """Columns of a file as Python values.

    Raises:
        DataError: damaged or another kind of file, no such column, or no rows.
    """
    try:
        names = _names(path)
        for name in wanted:
            if name not in names:
                raise DataError(f"{path}: no column {name!r}; it has {list_names(names)}")
            if names.count(name) > 1:
                raise DataError(f"{path}: {names.count(name)} columns are named {name!r}: rename all but one")
        table = _table(path, wanted)
    except _UNREADABLE as error:
        raise _damaged(path, error) from None
    if not table.num_rows:
        raise DataError(f"{path}: has no rows: add some")
    return {name: _values(path, name, table.column(name)) for name in wanted}


def _names(path: Path) -> list[str]:
    """Names of all columns, also of an index of pandas without a name."""
    if ending_of(path) == ".parquet":
        from pyarrow import parquet

        return [str(name) for name in parquet.read_schema(path).names]
    return [str(name) for name in _arrow(path).schema.names]


def _table(path: Path, wanted: Sequence[str]) -> pa.Table:
    if ending_of(path) == ".parquet":
        from pyarrow import parquet

        return parquet.ParquetFile(path).read(columns=list(wanted))
    return _arrow(path).read_all().select(list(wanted))


def _arrow(path: Path) -> pa.ipc.RecordBatchFileReader | pa.ipc.RecordBatchStreamReader:
    """A reader of a Feather file, or of a stream, as the package `datasets` writes them."""
    import pyarrow as pa

    content = path.read_bytes()
    return pa.ipc.open_file(content) if content.startswith(b"ARROW1") else pa.ipc.open_stream(content)


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
    """Names of all columns of a file."""
    try:
        names = _names(path)
    except _UNREADABLE as error:
        raise _damaged(path, error) from None
    # pandas writes an index without a name, as any filter leaves it, under such names.
    return [name for name in names if not name.startswith("__index_level_")] or names


def _damaged(path: Path, error: Exception) -> DataError:
    kind = {".parquet": "Parquet", ".feather": "Feather", ".arrow": "Arrow"}[ending_of(path)]
    return DataError(f"{path}: not a complete {kind} file ({' '.join(str(error).split())[:120]}): write it again")
