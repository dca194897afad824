"""Sequences with any number of labels each: arrays, and every kind of table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.from_memory import arrays as arrays_of
from lstm_lab.data.inspection import inspect
from lstm_lab.evaluation.predict import predict
from lstm_lab.experiment import Experiment
from lstm_lab.records.run import Run
from lstm_lab.training.train import train

N, T = 60, 8
NAMES = np.array(["af", "mi", "hyp"])
Y = np.array([[i % 2, i // 2 % 2, i % 3 == 0] for i in range(N)], np.int64)
X = np.random.default_rng(0).normal(size=(N, T, 2)).round(3)
X[..., 0] += 3 * Y[:, :1]
SETS = [tuple(NAMES[row == 1]) for row in Y]


def arrays():
    np.savez("x.npz", X=X, y=Y, classes=NAMES)


def steps():
    pd.concat([pd.DataFrame({"id": i, "a": X[i, :, 0], "b": X[i, :, 1], "label": "|".join(SETS[i])})
               for i in range(N)]).to_csv("steps.csv", index=False)  # fmt: skip


def wide():
    frame = pd.DataFrame(X[..., 0], columns=[f"t{k}" for k in range(T)])
    frame.assign(label=["|".join(labels) for labels in SETS]).to_csv("wide.csv", index=False)


def flags():
    frame = pd.DataFrame(X[..., 0], columns=[f"t{k}" for k in range(T)])
    frame.assign(**dict(zip(NAMES, Y.T, strict=True))).to_csv("flags.csv", index=False)


def lists():
    frame = pd.DataFrame({"x": X[..., 0].tolist(), "label": [[*map(str, labels)] for labels in SETS]})
    frame.to_json("lists.jsonl", orient="records", lines=True)


def folder():
    for i in range(N):
        (pd.DataFrame({"a": X[i, :, 0]})).to_csv(f"recordings/{i}.csv", index=False)
    frame = pd.DataFrame({"file": range(N), "label": [";".join(labels) for labels in SETS]})
    frame.to_csv("recordings/labels.csv", index=False)


KINDS = {
    "x.npz": (arrays, {}), "steps.csv": (steps, {}), "wide.csv": (wide, {}), "recordings": (folder, {}),
    "flags.csv": (flags, {"name": "csv_wide", "label": [*NAMES.tolist()], "target": "labels"}),
    "lists.jsonl": (lists, {"target": "labels"}),
}  # fmt: skip


@pytest.mark.parametrize("path", KINDS)
def test_every_source_reads_the_same_labels(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recordings").mkdir()
    write, choices = KINDS[path]
    write()
    found = inspect(path, choices)
    assert found.experiment["data"]["target"] == "labels"
    assert found.experiment["task"] == {"name": "multi_label", "monitor": "loss"}
    assert found.classes == dict(zip(NAMES.tolist(), Y.sum(0).tolist(), strict=True))
    data = Experiment.of(found.experiment).data.build()
    assert sorted(data.info.labels) == sorted(NAMES.tolist())
    parts = [data.train, data.validation, data.test_split()]
    assert sum(map(len, parts)) == N
    read = sum(part.targets.sum(0) for part in parts)
    assert dict(zip(data.info.labels, read.tolist(), strict=True)) == found.classes
    assert data.info.num_samples == len(data.train)


def test_train_and_predict(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steps()
    found = inspect("steps.csv")
    content = {**found.experiment, "model": {"hidden_size": 4}, "trainer": {"max_epochs": 2}}
    experiment = Experiment.of(content)
    run = Run.create(tmp_path / "run", experiment.dump(), command="", job_type="")
    train(experiment, run)
    table = predict(run, "steps.csv")
    assert table.header == ["id", "labels", *(f"probability {name}" for name in sorted(NAMES))]
    assert len(table.rows) == N


def test_several_values_are_several_columns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags()
    fields = {"name": "csv_wide", "path": "flags.csv", "target": "value", "label": ["af", "mi"], "group": "hyp"}
    data = Experiment.of({"data": fields, "task": "regress"}).data.build()
    with pytest.raises(DataError, match="2 groups of sequences leave none"):
        _ = data.raw
    data = Experiment.of({"data": {**fields, "label": ["af", "mi", "hyp"], "group": None}, "task": "regress"}).data
    assert data.build().info.targets == ("af", "mi", "hyp")
    assert torch.isfinite(data.build().train.targets).all()


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"label": 3.5}, "data.label: must be the name of a column, or a list of names, got 3.5"),
        ({"label": ["a", "b"]}, "names 2 columns, but target=class needs one"),
        ({"label": "a", "label_separator": "|"}, "label_separator='|' would have no effect"),
        ({"label": ["a", "a"], "target": "labels"}, "'a' is named twice"),
    ],
)
def test_fields_that_do_not_fit_are_refused(choices, message):
    with pytest.raises(ConfigError) as error:
        Experiment.of({"data": {"name": "csv_wide", "path": "x", **choices}, "task": "multi_label"})
    assert message in str(error.value)


def test_arrays_that_are_no_labels_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("x.npz", X=X, y=Y + 1)
    with pytest.raises(DataError, match=r"y has shape \(60, 3\) and type int64, but labels are rows of 0 and 1"):
        _ = Experiment.of({"data": {"name": "arrays", "path": "x.npz", "target": "labels"}, "task": "multi_label"}
                          ).data.build().info  # fmt: skip


def test_arrays_in_memory(tmp_path):
    config = arrays_of(X, Y, target="labels", classes=NAMES.tolist(), folder=tmp_path)
    data = Experiment.of({"data": config.model_dump(), "task": "multi_label"}).data.build()
    assert data.info.labels == ("af", "mi", "hyp")
    assert len(data.train) + len(data.validation) + len(data.test_split()) == N
    with pytest.raises(DataError, match="labels are rows of 0 and 1"):
        arrays_of(X, Y + 1, target="labels", folder=tmp_path)
