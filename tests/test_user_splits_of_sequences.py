"""Sequences of a user: splits from files of their own, missing values, and what `data inspect` makes of both."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import torch

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.inspection import inspect
from lstm_lab.evaluation.predict import predict
from lstm_lab.experiment import Experiment
from lstm_lab.records.run import Run
from lstm_lab.training.train import train

TASKS = {"class": "classify", "value": "regress", "tag": "tag"}


def made(n, seed):
    """X (n, T, 2) whose mean gives the class, the value, and whose signs give the classes of the steps."""
    rng = np.random.default_rng(seed)
    X = np.round(rng.normal(size=(n, 6, 2)) + np.where(np.arange(n) % 2, 1, -1)[:, None, None], 3)
    return X, {
        "class": np.where(np.arange(n) % 2, "up", "down"),
        "value": X.mean((1, 2)),
        "tag": (X[:, :, 0] > 0).astype(int),
    }


def write_arrays(folder, split, target, n, seed):
    X, y = made(n, seed)
    np.save(folder / f"X_{split}.npy", X)
    np.save(folder / f"y_{split}.npy", y[target])
    return f"X_{split}.npy"


def write_table(folder, split, target, n, seed):
    X, y = made(n, seed)
    rows = [(f"s{i}", *step, y[target][i, t] if target == "tag" else y[target][i])
            for i, x in enumerate(X) for t, step in enumerate(x)]  # fmt: skip
    pd.DataFrame(rows, columns=["id", "a", "b", "label"]).to_csv(folder / f"{split}.csv", index=False)
    return f"{split}.csv"


def write_ts(folder, split, target, n, seed):
    X, y = made(n, seed)
    head = "@classLabel true up down" if target == "class" else "@targetLabel true"
    lines = [":".join([*(",".join(map(str, channel)) for channel in x.T), str(y[target][i])]) for i, x in enumerate(X)]
    text = f"@problemName w\n@univariate false\n@equalLength true\n{head}\n@data\n" + "\n".join(lines) + "\n"
    (folder / f"A_{split.upper()}.ts").write_text(text)
    return f"A_{split.upper()}.ts"


WRITERS = {"arrays": write_arrays, "table": write_table, "ts": write_ts}
CASES = [(form, target) for form in WRITERS for target in TASKS if (form, target) != ("ts", "tag")]


@pytest.mark.parametrize(("form", "target"), CASES)
def test_files_beside_that_of_the_training_split_give_the_other_splits(tmp_path, monkeypatch, form, target):
    monkeypatch.chdir(tmp_path)
    write = WRITERS[form]
    path = write(tmp_path, "train", target, 12, 0)
    write(tmp_path, "valid", target, 4, 1)
    write(tmp_path, "test", target, 6, 2)
    chosen = {"target": target, "label": "label"} if form == "table" else {}
    found = inspect(path, chosen)
    assert found.experiment["task"] == TASKS[target] or found.experiment["task"]["name"] == TASKS[target]
    assert (found.statistics["validation sequences"], found.statistics["test sequences"]) == (4, 6)
    data = Experiment.of(found.experiment).data.build()
    assert [len(split) for split in (data.train, data.validation, data.test_split())] == [12, 4, 6]
    X, _ = made(6, 2)
    mean, std = np.array(data.info.mean), np.array(data.info.std)
    read = data.test_split().take(torch.arange(6)).x.numpy() * std + mean
    np.testing.assert_allclose(read, X, atol=1e-5)
    np.testing.assert_allclose(mean, made(12, 0)[0].mean((0, 1)))


def test_a_file_without_targets_is_no_test_split_and_it_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path, "train", "class", 12, 0)
    write_table(tmp_path, "test", "class", 6, 2)
    pd.read_csv("test.csv").drop(columns="label").to_csv("test.csv", index=False)
    found = inspect("train.csv")
    assert "test_path" not in found.experiment["data"]
    assert any("test.csv looks like the test split and is not used" in text for text in found.warnings)


def test_a_class_of_the_test_file_alone_counts_as_an_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path, "train", "class", 12, 0)
    write_table(tmp_path, "test", "class", 6, 2)
    (tmp_path / "test.csv").write_text((tmp_path / "test.csv").read_text().replace("up", "sideways"))
    found = inspect("train.csv")
    assert any("'sideways' is not in the training split" in text for text in found.warnings)
    data = Experiment.of(found.experiment).data.build()
    assert data.info.classes == ("down", "sideways", "up")
    assert "class 'sideways' is not in the training split: samples of it count as errors" in data.notes
    assert (data.test_split().labels == 1).sum() == 3


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"test_path": "test.csv", "test": 0.5}, ConfigError, "test=0.5 has no effect beside test_path"),
        ({"test_path": "wide.csv"}, DataError, "wide.csv: line 1: no column 'a'"),
        ({"test_path": "gone.csv"}, DataError, "gone.csv: no such file"),
    ],
)
def test_files_that_do_not_fit_are_one_line(tmp_path, monkeypatch, more, error, message):
    monkeypatch.chdir(tmp_path)
    for split in ("train", "test"):
        write_table(tmp_path, split, "class", 12, 0)
    (tmp_path / "wide.csv").write_text("id,label,c\n1,up,2\n")
    data = {"name": "csv_sequences", "path": "train.csv", "id": "id", "label": "label", "channels": ["a", "b"]}
    with pytest.raises(error, match=re.escape(message)):
        _ = Experiment.of({"data": {**data, **more}, "task": "classify"}).data.build().train


def test_arrays_with_other_channels_and_targets_without_a_file_are_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for split in ("train", "test"):
        write_arrays(tmp_path, split, "class", 12, 0)
    np.save("X_test.npy", np.zeros((12, 6, 3)))
    data = {"name": "arrays", "path": "X_train.npy", "y_path": "y_train.npy", "test_y_path": "y_test.npy"}
    with pytest.raises(DataError, match=r"X_test.npy: has 3 channels, but X_train.npy has 2"):
        _ = Experiment.of({"data": {**data, "test_path": "X_test.npy"}, "task": "classify"}).data.build().train
    with pytest.raises(ConfigError, match="test_y_path would have no effect without test_path"):
        Experiment.of({"data": data, "task": "classify"})


# Missing values


def with_missing(folder, form):
    """The files of `made` with a value missing in the middle of a sequence."""
    path = WRITERS[form](folder, "all", "class", 24, 0)
    value = str(made(24, 0)[0][3, 2, 1])
    if form == "arrays":
        X = np.load(folder / path)
        X[3, 2, 1] = np.nan
        np.save(folder / path, X)
    else:
        text = (folder / path).read_text()
        assert text.count(f",{value},") == 1
        (folder / path).write_text(text.replace(f",{value},", ",?," if form == "ts" else ",,"))
    return path


@pytest.mark.parametrize("form", WRITERS)
def test_missing_values_are_masked_or_filled_as_chosen(tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    found = inspect(with_missing(tmp_path, form))
    assert found.experiment["data"]["missing"] == "mask"
    assert found.statistics["missing values"] == 1
    fields = found.experiment["data"]
    masked = Experiment.of({"data": fields, "task": "classify"}).data.build()
    assert masked.info.input_size == 4
    assert len(masked.info.mean) == 2
    parts = [split.take(torch.arange(len(split))).x for split in (masked.train, masked.validation, masked.test_split())]
    x = torch.cat(parts)
    assert x[..., 2:].sum() == 1
    assert x[..., 1][x[..., 3] == 1].tolist() == [0.0]
    assert torch.isfinite(x).all()
    filled = Experiment.of({"data": {**fields, "missing": "forward_fill"}, "task": "classify"}).data.build()
    X = made(24, 0)[0]
    X[3, 2, 1] = X[3, 1, 1]
    np.testing.assert_array_equal(filled.sequences, X)
    with pytest.raises(DataError, match=r"set data.missing"):
        _ = Experiment.of({"data": {**fields, "missing": "error"}, "task": "classify"}).data.build().train


def test_the_first_value_of_a_sequence_has_nothing_before_it(tmp_path):
    X, y = made(24, 0)
    X[5, 0, 1] = np.nan
    np.savez(tmp_path / "a.npz", X=X, y=y["class"])
    data = {"name": "arrays", "path": str(tmp_path / "a.npz"), "missing": "forward_fill"}
    with pytest.raises(DataError, match=r"a.npz: sequence 6, channel 2: the first step has no value"):
        _ = Experiment.of({"data": data, "task": "classify"}).data.build().train


def test_a_run_with_masks_predicts_sequences_with_and_without_missing_values(tmp_path):
    X, y = made(24, 0)
    whole = X[:1].copy()
    X[::3, 4, 0] = np.nan
    np.savez(tmp_path / "a.npz", X=X, y=y["class"])
    content = {
        "data": {"name": "arrays", "path": str(tmp_path / "a.npz"), "missing": "mask"}, "task": "classify",
        "model": {"hidden_size": 4}, "trainer": {"max_epochs": 1},
    }  # fmt: skip
    experiment = Experiment.of(content)
    run = Run.create(tmp_path / "run", experiment.dump())
    train(experiment, run)
    (tmp_path / "a.npz").unlink()
    assert len(predict(run, X).rows) == 24
    first, again = predict(run, whole).rows[0], predict(run, X[:1]).rows[0]
    assert first[2] != again[2]
    with pytest.raises(DataError, match="has 4 channels, but the model was trained on 2"):
        predict(run, np.zeros((1, 6, 4)))


def test_inspect_finds_the_test_texts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = {"good": "a fine and happy film of the year", "bad": "a sad and dull film of the year"}

    def write(name, count, classes=("good", "bad")):
        table = [{"text": f"{words.get(label, 'so so, no more')} {name} {i}", "label": label}
                 for i in range(count) for label in classes]  # fmt: skip
        pd.DataFrame(table).to_csv(f"{name}.csv", index=False)

    write("train", 20)
    write("test", 5, ("good", "mixed"))
    found = inspect("train.csv")
    assert found.experiment["data"]["test_path"] == "test.csv"
    assert found.statistics["test texts"] == 10
    data = Experiment.of(found.experiment).data.build()
    assert len(data.test_split()) == 10
    assert "class 'mixed' is not in the training split: samples of it count as errors" in data.notes
    pd.read_csv("test.csv").drop(columns="label").to_csv("test.csv", index=False)
    found = inspect("train.csv")
    assert "test_path" not in found.experiment["data"]
    assert any("test.csv looks like the test split and is not used" in text for text in found.warnings)


def test_inspect_finds_the_test_folder_of_texts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for split, count in (("train", 9), ("test", 4)):
        for label in ("ham", "spam"):
            (tmp_path / split / label).mkdir(parents=True)
            for i in range(count):
                (tmp_path / split / label / f"{i}.txt").write_text(f"{split} {label} {i}")
    found = inspect("train")
    assert found.experiment["data"].items() >= {"name": "text_folder", "test_path": "test"}.items()
    assert found.statistics["files"] == 26
