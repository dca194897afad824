"""Sequences as NumPy, Keras and pandas users save them are those of the plain form of the same data."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_lab.config import DataError
from lstm_lab.data.inspection import inspect
from lstm_lab.data.readers.array_file import read_array_file
from lstm_lab.data.readers.value_columns import as_list
from lstm_lab.experiment import Experiment

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 12, 2)).round(3)
CLASSES = np.array([0, 1] * 20)


def built(path):
    """What `data inspect` proposes for a file, and the data set of it."""
    found = inspect(str(path)).experiment
    return found, Experiment.of(found).data.build()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=9))
def test_a_list_of_numbers_is_read_however_it_is_written(numbers):
    assert as_list(json.dumps(numbers)) == as_list(str(tuple(numbers))) == numbers
    for mark in (" ", "|", "; ", "\t"):
        assert as_list(mark.join(map(repr, numbers))) == numbers
    array = np.array(numbers)
    assert np.allclose(as_list(np.array2string(array, threshold=99)), array, rtol=1e-7, atol=1e-6)


@pytest.mark.parametrize(
    "cell", ["good film", "2024-01-01 12:00", "3", "", "12 Main Street", "[1, 2", "{1: 2}", "1e999 x"]
)
def test_no_other_text_is_a_list(cell):
    assert as_list(cell) is None


@pytest.mark.parametrize(
    "written", [json.dumps, str, lambda row: str(np.array(row)), lambda row: " ".join(map(str, row)),
                lambda row: ";".join(map(str, row))],
)  # fmt: skip
def test_lists_in_the_cells_of_a_csv_are_those_of_a_parquet_file(tmp_path, written):
    rows = [row.tolist() for row in X[:, :, 0]]
    names = np.array(["slow", "fast"])[CLASSES]
    pd.DataFrame({"id": range(40), "signal": rows, "label": names}).to_parquet(tmp_path / "a.parquet")
    frame = pd.DataFrame({"id": range(40), "signal": [written(row) for row in rows], "label": names})
    frame.to_csv(tmp_path / "a.csv", index=False)
    (fields, own), (_, plain) = built(tmp_path / "a.csv"), built(tmp_path / "a.parquet")
    assert (fields["data"]["name"], fields["data"]["channels"]) == ("list_columns", ["signal"])
    np.testing.assert_array_equal(np.array(own.sequences), np.array(plain.sequences))
    assert own.labels.tolist() == plain.labels.tolist()


def test_texts_of_a_table_stay_texts(tmp_path):
    frame = pd.DataFrame(
        {"text": [f"[{i}] it was a film of 12 3 4 5 6 7" for i in range(30)], "label": ["a", "b"] * 15}
    )
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert inspect(str(tmp_path / "a.csv")).experiment["data"]["name"] == "csv_text"


def test_arrays_named_as_keras_names_them_are_splits(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x_train=X[:25], y_train=CLASSES[:25], x_val=X[25:30], y_val=CLASSES[25:30], X_test=X[30:],
             Y_test=CLASSES[30:])  # fmt: skip
    fields, data = built(path)
    assert fields["data"]["name"] == "arrays"
    assert [len(data.train), len(data.validation), len(data.test_split())] == [25, 5, 10]
    np.savez(path, x_train=X[:25], x_test=X[25:, :6])
    with pytest.raises(DataError, match=r"a\.npz: its splits have samples of different shapes \(x_train \(25, 12, 2\)"):
        read_array_file(str(path))
    np.savez(path, x_train=X[:25], y_train=CLASSES[:25], x_test=X[25:])
    with pytest.raises(DataError, match="has 2 arrays x of splits, but 1 arrays y: write a y for each"):
        read_array_file(str(path))


@pytest.mark.parametrize(
    "y", [np.eye(2)[CLASSES], np.eye(2, dtype=int)[CLASSES], CLASSES[:, None], CLASSES.astype(float)]
)
def test_classes_may_be_one_hot_a_column_or_whole_floats(tmp_path, y):
    np.savez(tmp_path / "a.npz", X=X, y=y)
    np.savez(tmp_path / "plain.npz", X=X, y=CLASSES)
    (fields, own), (_, plain) = built(tmp_path / "a.npz"), built(tmp_path / "plain.npz")
    assert fields["task"]["name"] == "classify"
    assert own.labels.tolist() == plain.labels.tolist()


def test_numbers_of_a_floating_point_type_are_values_where_they_are_many_or_broken(tmp_path):
    for y in (RNG.normal(size=40), np.arange(40.0)):
        np.savez(tmp_path / "a.npz", X=X, y=y)
        assert inspect(str(tmp_path / "a.npz")).experiment["task"] == "regress"


def test_a_folder_of_arrays_is_that_of_tables(tmp_path):
    for name in ("arrays", "tables"):
        for i, (sequence, label) in enumerate(zip(X, CLASSES, strict=True)):
            folder = tmp_path / name / f"class {label}"
            folder.mkdir(parents=True, exist_ok=True)
            if name == "arrays":
                np.save(folder / f"{i}.npy", sequence)
            else:
                pd.DataFrame(sequence, columns=["0", "1"]).to_csv(folder / f"{i}.csv", index=False)
    (fields, own), (other, plain) = built(tmp_path / "arrays"), built(tmp_path / "tables")
    assert fields["data"]["channels"] == other["data"]["channels"] == ["0", "1"]
    np.testing.assert_array_equal(np.array(own.sequences), np.array(plain.sequences))
    assert own.labels.tolist() == plain.labels.tolist()
    bad = tmp_path / "arrays" / "class 0" / "0.npy"
    for array, message in (
        (np.zeros((3, 1)), "no column '1'; it has '0'"),
        (np.full((3, 2), np.nan), "0.npy"),
        (np.zeros((2, 2, 2)), r"has shape \(2, 2, 2\) .* has numbers \(T, F\): a row for each step"),
        (np.array(["a"]), "has numbers"),
    ):
        np.save(bad, array)
        with pytest.raises(DataError, match=message):
            _ = Experiment.of(fields).data.build().sequences


def test_a_folder_with_a_table_of_labels_alone_is_one_line(tmp_path):
    pd.DataFrame({"file": ["a", "b"], "label": [0, 1]}).to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(DataError, match=r"has no file beside labels\.csv"):
        inspect(str(tmp_path))
