"""Data files of another kind than their name says, and Parquet that cannot be read: one line each, with a way out."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import zipfile

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.inspection import inspect
from lstm_lab.data.readers.json_rows import read_json
from lstm_lab.data.readers.parquet_rows import read_parquet

TABLE = b"time,load\n1,2\n2,3\n"


def saved(write, *arrays, **named):
    body = io.BytesIO()
    write(body, *arrays, **named)
    return body.getvalue()


def archive(*names):
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as file:
        for name in names or ("a.csv", "b.csv"):
            file.writestr(name, TABLE)
    return body.getvalue()


KINDS = {
    "half a gzip": ("a.csv.gz", gzip.compress(TABLE)[:-9], "gzip that is damaged or not complete"),
    "half a bzip2": ("a.csv", bz2.compress(TABLE)[:-9], "bzip2 that is damaged or not complete"),
    "half an xz": ("a.csv", lzma.compress(TABLE)[:-9], "xz that is damaged or not complete"),
    "an archive in a gzip": ("a.csv.gz", gzip.compress(archive()), "a zip archive or an Excel sheet: unpack it"),
    "zip": ("a.zip", archive(), "a zip archive or an Excel sheet: unpack it"),
    "npy": ("a.csv", saved(np.save, np.zeros(3)), "a NumPy array: save it as X"),
    "npz": ("a.npz", saved(np.savez, X=np.zeros(3)), "has shape (3,), but must be (N, T, F)"),
    "HDF5": ("a.csv", b"\x89HDF\r\n\x1a\n", "HDF5: name it .h5"),
    "SQLite": ("a.csv", b"SQLite format 3\0", "an SQLite database"),
    "JSON array named csv": ("a.csv", b'[\n {"load": 1}\n]', "JSON: write one object on each line"),
    "JSON of columns": ("a.json", b'{"load": [1, 2]}', "not rows but one JSON object: write an array"),
    "deep JSON": ("a.jsonl", b'{"a":' * 100_000, "line 1: not JSON"),
    "deep JSON array": ("a.jsonl", b"[" * 100_000, "line 1: not JSON"),
    "a long field": ("a.csv", b"time,load\n1,2\n2," + b"3" * 200_000,
    "line 3: a field has more than 131,072 characters"),
    "a long header": ("a.csv", b"a" * 200_000, "line 1: a field has more than 131,072 characters"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_kind_is_named_with_a_way_out(kind, tmp_path, monkeypatch):
    name, content, message = KINDS[kind]
    assert csv.field_size_limit() == 131_072
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        inspect(name)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)


def write(path, *columns):
    parquet.write_table(
        pa.Table.from_arrays([pa.array(values) for _, values in columns], [n for n, _ in columns]), path
    )


def test_doubled_parquet_columns_are_named(tmp_path):
    write(tmp_path / "a.parquet", ("y", [1]), ("y", [2]), ("x", [3]))
    with pytest.raises(DataError, match="2 columns are named 'y': rename all but one"):
        read_parquet(tmp_path / "a.parquet", ["y"])
    assert read_parquet(tmp_path / "a.parquet", ["x"]).columns == {"x": ["3"]}, "the other columns can be read"


def test_a_parquet_column_name_that_is_not_utf8_is_one_line(tmp_path):
    write(tmp_path / "a.parquet", ("NAME", [1.0]))
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(content.replace(b"NAME", b"\xff\xfe\xfd\xfc"))
    with pytest.raises(DataError, match="not a complete Parquet file"):
        inspect(str(tmp_path / "a.parquet"))


@pytest.mark.parametrize(
    ("values", "kind"),
    [([b"\xff\xfe"], "string"), ([2**62], "timestamp\\[us\\]")],
    ids=["texts that are not UTF-8", "a time beyond the calendar"],
)
def test_a_parquet_value_that_cannot_be_read_names_its_column(values, kind, tmp_path):
    column = (
        pa.array(values, pa.timestamp("us")) if kind != "string" else pa.array(values, pa.binary()).view(pa.string())
    )
    parquet.write_table(pa.table({"t": column}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=f"column 't': a value of type {kind} cannot be read"):
        read_parquet(tmp_path / "a.parquet", ["t"])


def test_deep_json_in_a_row_is_one_line(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"a": ' + "[" * 100_000 + "\n")
    with pytest.raises(DataError, match="line 2: not JSON"):
        read_json(tmp_path / "a.jsonl", ["a"])


@pytest.mark.parametrize("choice", [{"separator": 1}, {"separator": {"a": 1}}, {"separator": "ab"}, {"decimal": "x"}])
def test_a_mark_that_is_none_is_refused_before_the_file_is_read(choice, tmp_path):
    (tmp_path / "a.csv").write_bytes(TABLE)
    with pytest.raises(ConfigError, match=next(iter(choice))):
        inspect(str(tmp_path / "a.csv"), choice)
