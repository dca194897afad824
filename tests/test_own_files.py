"""Files as people have them: what `data inspect` says of each, and that its experiment reads them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from texts import corpus

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.inspection import inspect
from lstm_lab.data.readers.parquet_rows import parquet_names
from lstm_lab.experiment import Experiment
from lstm_lab.verbs.data import inspect as inspect_verb

CHINESE = {"good": "味道很好朋友们都喜欢", "bad": "太贵了房间又脏又旧"}


def opened(path, **choices):
    """What inspection finds, and the data set of its experiment."""
    found = inspect(str(path), choices)
    return found, Experiment.of(found.experiment).data.build()


def test_languages_without_spaces_are_texts_and_split_into_characters(tmp_path):
    rows = [(label[0] == "g", CHINESE[label] + "的" * (i % 4)) for i, label in enumerate(["good", "bad"] * 20)]
    pd.DataFrame(rows, columns=["label", "review"]).astype({"label": int}).to_csv(tmp_path / "r.csv", index=False)
    found, data = opened(tmp_path / "r.csv")
    assert found.kind == "texts"
    assert found.experiment["data"]["tokenizer"] == "character"
    assert data.info.vocabulary.tokens[2:]
    assert set("".join(data.info.vocabulary.tokens[2:])) <= set("".join(CHINESE.values()) + "的")


def test_an_array_of_json_objects_is_the_same_as_lines_of_them(tmp_path):
    frame = pd.DataFrame(corpus(40), columns=["text", "label"])
    frame.to_json(tmp_path / "a.json", orient="records")
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    (one, data), (two, other) = opened(tmp_path / "a.json"), opened(tmp_path / "a.jsonl")
    assert one.statistics == two.statistics
    assert data.digest == other.digest
    (tmp_path / "b.json").write_text(json.dumps([{"text": "a b c", "label": "x"}, "wrong"]))
    wrong = {"name": "csv_text", "path": str(tmp_path / "b.json")}
    with pytest.raises(DataError, match=r"b.json: row 2: '\"wrong\"' is not a JSON object"):
        _ = Experiment.of({"data": wrong, "task": "classify"}).data.build().info


def test_texts_with_quotation_marks_are_read_without_quoting(tmp_path):
    rows = [(label, f'"{text}' if i == 5 else text) for i, (text, label) in enumerate(corpus(40))]
    (tmp_path / "t.tsv").write_text("label\ttext\n" + "".join("\t".join(row) + "\n" for row in rows))
    found, data = opened(tmp_path / "t.tsv")
    assert found.experiment["data"]["quoting"] is False
    assert rows[5][1] in {*data.train.texts(), *data.validation.texts(), *data.test_split().texts()}
    new = data.read_new(tmp_path / "t.tsv", data.info)
    assert len(new.keys) == 40


def test_the_index_that_pandas_writes_is_no_column(tmp_path):
    frame = pd.DataFrame({"x": range(9)})
    frame[frame["x"] % 2 == 0].to_parquet(tmp_path / "a.parquet")
    assert parquet_names(tmp_path / "a.parquet") == ["x"]


@pytest.mark.parametrize(("kind", "task"), [("class", "classify"), ("value", "regress"), ("tag", "tag")])
@pytest.mark.parametrize("form", ["npz", "npy"])
def test_arrays_are_inspected_by_path(tmp_path, kind, task, form):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 7, 2)).astype(np.float32)
    y = {"class": np.arange(40) % 2, "value": X.mean((1, 2)), "tag": (X[..., 0] > 0).astype(int)}[kind]
    if form == "npz":
        np.savez(tmp_path / "data.npz", X=X, y=y)
    else:
        np.save(tmp_path / "X.npy", X)
        np.save(tmp_path / "y.npy", y)
    path = tmp_path / ("data.npz" if form == "npz" else "X.npy")
    found, data = opened(path)
    task_of = found.experiment["task"]
    assert (task_of["name"] if isinstance(task_of, dict) else task_of) == task
    assert len(data.train) + len(data.validation) + len(data.test_split()) == 40
    assert len(data.read_new(path, data.info).keys) == 40


def test_an_array_without_targets_is_one_line(tmp_path):
    np.save(tmp_path / "X.npy", np.zeros((4, 3, 1)))
    with pytest.raises(DataError, match=r"has X with 4 sequences, but no targets y: name the .npy file of y by y_path"):
        inspect(str(tmp_path / "X.npy"))


def test_force_overwrites_the_experiment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame(corpus(40), columns=["text", "label"]).to_csv("t.csv", index=False)
    (tmp_path / "x.yaml").write_text("old")
    with pytest.raises(ConfigError, match="or overwrite it by --force"):
        inspect_verb("t.csv", None, "x.yaml")
    inspect_verb("t.csv", None, "x.yaml", force=True)
    assert "csv_text" in (tmp_path / "x.yaml").read_text()


def steps(y):
    """A table of 24 sequences of 6 steps, with a target for each step."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(24, 6))
    rows = [(f"s{i}", t, x[i, t], y(i, t, x)) for i in range(24) for t in range(6)]
    return pd.DataFrame(rows, columns=["id", "step", "a", "y"])


def test_a_value_for_each_sequence_of_a_table_is_recognised_and_predicted(tmp_path):
    steps(lambda i, t, x: round(float(x[i].sum()), 3)).to_csv(tmp_path / "s.csv", index=False)
    found, data = opened(tmp_path / "s.csv")
    assert found.experiment["task"] == "regress"
    assert found.experiment["data"] | {"path": ""} == {
        "batch_size": 16, "name": "csv_sequences", "path": "", "id": "id", "label": "y", "channels": ["a"],
        "target": "value",
    }  # fmt: skip
    assert data.info.targets == ("y",)
    frame = pd.read_csv(tmp_path / "s.csv").drop(columns="y")
    assert [key[0][0] for key in data.read_new(frame, data.info).keys] == [f"s{i}" for i in range(24)]


def test_a_class_for_each_step_of_a_table(tmp_path):
    steps(lambda i, t, x: "up" if x[i, t] > 0 else "down").to_csv(tmp_path / "s.csv", index=False)
    found, data = opened(tmp_path / "s.csv", target="tag", id="id", label="y")
    assert found.experiment["task"] == "tag"
    assert data.info.classes == ("down", "up")
    batch = data.train.take(torch.arange(len(data.train)))
    x = batch.x[..., 0] * data.info.std[0] + data.info.mean[0]
    assert ((x > 0) == (batch.y == 1)).all()
    wrong = {**found.experiment["data"], "target": "class"}
    with pytest.raises(DataError, match=r"all of its rows; a class for each step is data.target=tag"):
        _ = Experiment.of({"data": wrong, "task": "classify"}).data.build().info
