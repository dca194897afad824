"""Sequences as people keep them: folders of tables, wide rows, lists in cells. What `inspect` makes of each is what was
written, and new ones are read as those of the training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.inspection import inspect
from lstm_lab.experiment import Experiment

N = 18
LABELS = np.array(["run", "sit", "walk"])[np.arange(N) % 3]


@pytest.fixture
def X(tmp_path, monkeypatch):
    """N sequences (T, 2) of unequal lengths, to be written into the current folder, which is empty."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    return [np.round(rng.normal(size=(8 + i % 3, 2)), 3) for i in range(N)]


def opened(path, **choices):
    found = inspect(path, choices)
    return found, Experiment.of(found.experiment).data.build()


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def new(data, source):
    """What a trained model would read of a new file: the sequences, and what they are called."""
    return data.new_sequences(source)


# Folders


def write_folder(X, names, root="data"):
    for x, name in zip(X, names, strict=True):
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(x, columns=["ax", "ay"]).rename_axis("step").to_csv(path)


def test_folders_name_the_classes_of_the_tables_in_them(X):
    write_folder(X, [f"{label}/{i}.csv" for i, label in enumerate(LABELS)])
    Path("data/readme.txt").write_text("about these recordings\n")
    found, data = opened("data")
    assert found.experiment["data"]["channels"] == ["ax", "ay"]
    order = sorted(range(N), key=lambda i: (LABELS[i], i))  # 2.csv is before 10.csv.
    assert_same(data.sequences, [X[i] for i in order])
    assert data.labels.tolist() == LABELS[order].tolist()
    assert new(data, "data").ids[:3] == ["run/0", "run/3", "run/6"]
    assert new(data, "data/sit/4.csv").ids == ["4"]
    assert_same(new(data, "data/sit/4.csv").sequences, [X[4]])


def test_folders_above_the_classes_name_the_splits(X):
    write_folder(X, [f"{'train' if i < 12 else 'test'}/{label}/{i}.csv" for i, label in enumerate(LABELS)])
    found, data = opened("data")
    assert found.statistics["test sequences"] == 6
    assert len(data.test_split()) == 6
    assert data.info.classes == ("run", "sit", "walk")


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("target", ["class", "value"])
def test_a_table_names_the_targets_of_the_files(X, target, inside):
    write_folder(X, [f"r{i:02}.csv" for i in range(N)])
    y = LABELS if target == "class" else np.arange(N) / 7
    rows = pd.DataFrame({"recording": [f"r{i:02}.csv" for i in range(N)], "outcome": y})
    rows[::-1].to_csv("data/labels.csv" if inside else "labels.csv", index=False)
    found, data = opened("data")
    fields = found.experiment["data"]
    assert (fields["id"], fields["label"]) == ("recording", "outcome")
    assert_same(data.sequences, X)
    assert data.files[0].y.ravel().tolist() == y.tolist()
    assert len(new(data, "data").sequences) == N


def test_a_column_of_each_file_has_the_classes_of_its_steps(X):
    write_folder(X, [f"{i}.csv" for i in range(N)])
    for path in Path("data").iterdir():
        table = pd.read_csv(path)
        table.assign(state=np.where(table["ax"] > 0, "on", "off")).to_csv(path, index=False)
    _, data = opened("data", target="tag", label="state")
    assert data.classes == ("off", "on")
    assert_same(data.step_labels, [np.where(x[:, 0] > 0, "on", "off") for x in X])


def test_folders_that_cannot_be_read_are_one_line(X):
    write_folder(X, [f"r{i:02}.csv" for i in range(N)])
    with pytest.raises(DataError, match=r"lie in no folders that name their classes, and no table labels.csv"):
        inspect("data")
    pd.DataFrame({"file": ["r00"], "label": ["a"]}).to_csv("y.csv", index=False)
    data = {"name": "csv_folder", "path": "data", "channels": "ax", "labels": "y.csv"}
    with pytest.raises(DataError, match=r"r01.csv: y.csv has no row for it in column 'file', which names 'r00'"):
        _ = Experiment.of({"data": data, "task": "classify"}).data.build().train
    with pytest.raises(ConfigError, match="target=value needs labels"):
        Experiment.of({"data": {**data, "labels": None, "target": "value"}, "task": "regress"})


# Wide rows


def wide(X, channel=0):
    longest = max(map(len, X))
    rows = np.full((len(X), longest), np.nan)
    for row, x in zip(rows, X, strict=True):
        row[: len(x)] = x[:, channel]
    return rows


@pytest.mark.parametrize("name", ["Gun_TRAIN.tsv", "Gun_TRAIN.txt", "gun_train.csv"])
def test_rows_of_the_ucr_archive_are_sequences(X, name):
    numbers = np.arange(N) % 3 + 1
    table = np.column_stack([numbers, wide(X)])
    separator = {"tsv": "\t", "txt": "  ", "csv": ","}[name[-3:]]
    lines = [separator.join(["", *(f"{cell:.7e}" for cell in row)] if separator == "  " else map(str, row))
             for row in table]  # fmt: skip
    Path(name).write_text("\n".join(lines) + "\n")
    Path(name.replace("TRAIN", "TEST").replace("train", "test")).write_text("\n".join(lines[:5]) + "\n")
    found, data = opened(name)
    assert found.classes == {"1": 8, "2": 8, "3": 7}
    assert_same(data.sequences[:N], [x[:, :1] for x in X])
    assert len(data.test_split()) == 5
    assert data.info.classes == ("1", "2", "3")
    assert len(new(data, name).sequences) == N


def test_columns_of_steps_may_have_names_and_belong_to_several_channels(X):
    length = 8
    columns = {f"{name}_{t}": [x[t, k] for x in X] for k, name in enumerate(["ax", "ay"]) for t in range(length)}
    pd.DataFrame({"case": [f"c{i}" for i in range(N)], **columns, "kind": LABELS}).to_csv("w.csv")
    found, data = opened("w.csv")
    assert found.experiment["data"]["channels"] == ["ax", "ay"]
    assert_same(data.sequences, [x[:length] for x in X])
    assert new(data, "w.csv").ids[1] == "c1"
    assert_same(new(data, pd.read_csv("w.csv")).sequences, data.sequences)


def test_a_table_of_runs_without_a_header_is_not_wide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = [[unit, cycle, *np.round(rng.normal(size=6), 3)] for unit in range(1, 5) for cycle in range(1, 31)]
    Path("train.txt").write_text("\n".join(" ".join(map(str, row)) for row in rows) + "\n")
    assert inspect("train.txt").experiment["data"]["name"] != "csv_wide"


def test_wide_rows_that_cannot_be_read_are_one_line(X):
    rows = wide(X).astype(object)
    rows[4, 3] = np.nan
    pd.DataFrame(rows).assign(label=LABELS).to_csv("w.csv", index=False)
    data = {"name": "csv_wide", "path": "w.csv", "label": "label"}
    with pytest.raises(DataError, match=r"w.csv: line 6, column '3': the cell is empty \(1 in total\): fill it in, or"):
        _ = Experiment.of({"data": data, "task": "classify"}).data.build().train
    masked = Experiment.of({"data": {**data, "missing": "mask"}, "task": "classify"}).data.build()
    assert np.isnan(masked.sequences[4]).sum() == 1
    with pytest.raises(DataError, match=r"channel 'az' has 0 columns of steps, az0, az1 and so on"):
        _ = Experiment.of({"data": {**data, "channels": ["az"]}, "task": "classify"}).data.build().train


# Lists in cells


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
@pytest.mark.parametrize("target", ["class", "value", "tag"])
def test_lists_in_cells_are_sequences(X, form, target):
    y = {"class": LABELS.tolist(), "value": [i / 7 for i in range(N)],
         "tag": [np.where(x[:, 0] > 0, "on", "off").tolist() for x in X]}[target]  # fmt: skip
    rows = [{"id": f"c{i}", "ax": x[:, 0].tolist(), "both": x.tolist(), "y": y[i]} for i, x in enumerate(X)]
    if form == "parquet":
        pd.DataFrame(rows).to_parquet("a.parquet")
    else:
        Path("a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found, data = opened(f"a.{form}")
    assert found.experiment["data"]["channels"] == ["ax", "both"]
    assert found.experiment["task"] == {"class": {"name": "classify", "monitor": "loss"}, "value": "regress"}.get(
        target, "tag"
    )
    assert_same(data.sequences, [np.column_stack([x[:, 0], x]) for x in X])
    assert len(data.train) + len(data.validation) + len(data.test_split()) == N
    assert new(data, f"a.{form}").ids[1] == "c1"
    assert_same(new(data, pd.DataFrame(rows)).sequences, data.sequences)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"ax": [1, 2], "ay": [1], "y": "a"}, "line 19, column 'ay': has 1 steps, but column 'ax' has 2"),
        ({"ax": 3.5, "ay": [1], "y": "a"}, "line 19, column 'ax': is no list of steps"),
        ({"ax": [], "ay": [], "y": "a"}, "line 19, column 'ax': has no steps"),
        ({"ax": ["x"], "ay": [1], "y": "a"}, "line 19, column 'ax': is not a list of numbers"),
        ({"ax": [1, None], "ay": [1, 2], "y": "a"}, "line 19, column 'ax': step 2 is missing: fill it in, or set"),
    ],
)
def test_lists_that_cannot_be_read_are_one_line(X, row, message):
    rows = [{"ax": x[:, 0].tolist(), "ay": x[:, 1].tolist(), "y": LABELS[i]} for i, x in enumerate(X)]
    Path("a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, row]))
    data = {"name": "list_columns", "path": "a.jsonl", "label": "y", "channels": ["ax", "ay"]}
    with pytest.raises(DataError, match=message):
        _ = Experiment.of({"data": data, "task": "classify"}).data.build().train


# Index columns


@pytest.mark.parametrize("name", ["Unnamed: 0", "index", "__index_level_0__"])
def test_the_index_of_a_table_is_no_channel(X, name):
    rows = [(f"s{i}", LABELS[i], *step) for i, x in enumerate(X) for step in x]
    frame = pd.DataFrame(rows, columns=["id", "label", "ax", "ay"])
    frame.insert(0, name, range(3, 3 + len(frame)))
    frame.to_csv("a.csv", index=False)
    assert inspect("a.csv").experiment["data"]["channels"] == ["ax", "ay"]
