"""Runs on data from memory: they predict new arrays, frames and texts without the data they were trained on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from test_arrays import LABELS, VALUES, padded, sequences, step_labels

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data import Dataset, arrays
from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.evaluation.predict import predict
from lstm_lab.experiment import Experiment
from lstm_lab.records.run import Run
from lstm_lab.training.train import train


def trained(config, task, folder, **more):
    experiment = Experiment.of({
        "data": config.model_dump(mode="json"), "task": task, "model": {"hidden_size": 8}, "optimizer": {"lr": 0.03},
        "trainer": {"max_epochs": 15}, **more,
    })  # fmt: skip
    run = Run.create(folder, experiment.dump())
    train(experiment, run)
    return run


def test_a_run_predicts_new_arrays_without_its_data(tmp_path):
    run = trained(arrays(sequences(60), ["fast", "slow"] * 30, folder=tmp_path / "data"), "classify", tmp_path / "run")
    assert evaluate(run, "test").model["accuracy"] > 0.8
    (file,) = (tmp_path / "data").iterdir()
    file.unlink()
    new = sequences(12, seed=5)
    header, rows = predict(run, new)
    assert header == ["sequence", "label", "probability fast", "probability slow"]
    assert [row[0] for row in rows] == list(range(1, 13))
    assert sum(row[1] == LABELS[i] for i, row in enumerate(rows)) >= 10
    assert all(row[1] == ("fast" if row[2] > row[3] else "slow") for row in rows)
    np.testing.assert_allclose([row[2] + row[3] for row in rows], 1)
    whole, lengths = padded(new)
    np.savez(tmp_path / "new.npz", X=whole, lengths=lengths)
    assert predict(run, tmp_path / "new.npz").rows == rows
    for wrong, message in (
        ([np.zeros((3, 5))], "X: has 5 channels, but the model was trained on 2"),
        ([np.full((3, 2), np.nan)], r"X\[0\]: step 0"),
        (["one text"], r"X\[0\]: is not an array"),
    ):
        with pytest.raises(DataError, match=message):
            predict(run, wrong)
    with pytest.raises(ConfigError, match=r"takes no new samples from a DataFrame: provide an .npz file"):
        predict(run, pd.DataFrame({"a": [1.0]}))


def test_values_and_classes_of_steps_are_predicted(tmp_path):
    X = sequences(60)
    run = trained(arrays(X, np.array([[0.0, 1.0]] * 60) + np.arange(120).reshape(60, 2) % 2), "regress", tmp_path / "a")
    header, rows = predict(run, X[:3])
    assert header == ["sequence", "y1", "y2"]
    assert len(rows) == 3
    assert all(isinstance(value, float) for row in rows for value in row[1:])
    run = trained(arrays(X, step_labels(X)), "tag", tmp_path / "b")
    header, rows = predict(run, X[:3])
    assert header[:3] == ["sequence", "step", "label"]
    assert header[3:] == [f"probability {name}" for name in sorted({row[2] for row in rows})]
    assert [row[:2] for row in rows] == [[i + 1, t + 1] for i, x in enumerate(X[:3]) for t in range(len(x))]
    truth = [label for labels in step_labels(X)[:3] for label in labels]
    assert np.mean([row[2] == label for row, label in zip(rows, truth, strict=True)]) > 0.8


def test_values_of_any_scale_are_learned(tmp_path):
    X = sequences(60)
    y = np.array([[1000.0 + 100 * (i % 2), -1e-6 * (i % 2)] for i in range(60)])
    run = trained(arrays(X, y), "regress", tmp_path / "run")
    scores = evaluate(run, "test")
    assert scores.model["mse"] < 0.2 * scores.baselines["training mean"]["mse"]
    values = np.array([row[1:] for row in predict(run, X[:10]).rows])
    assert np.abs(values - y[:10]).mean(0) == pytest.approx([0, 0], abs=30)
    assert np.abs(values[:, 1] - y[:10, 1]).mean() < 3e-7


def test_a_published_set_of_sequences_takes_new_arrays(vowels, tmp_path):
    experiment = vowels.with_overrides({"trainer.max_epochs": 1})
    run = Run.create(tmp_path / "run", experiment.dump())
    train(experiment, run)
    new = [np.random.default_rng(0).normal(size=(9, 12)) for _ in range(3)]
    assert [row[0] for row in predict(run, new).rows] == [1, 2, 3]
    with pytest.raises(DataError, match="has 2 channels, but the model was trained on 12"):
        predict(run, [np.zeros((3, 2))])


def test_a_run_on_texts_takes_a_list_and_a_frame(own_texts, tmp_path):
    experiment = own_texts().with_overrides({"trainer.max_epochs": 6})
    run = Run.create(tmp_path / "run", experiment.dump())
    train(experiment, run)
    new = ["w1 great w2", "awful w3", "w4 w5 great"]
    (tmp_path / "new.txt").write_text("\n".join(new))
    expected = predict(run, tmp_path / "new.txt").rows
    assert predict(run, new).rows == expected
    assert predict(run, pd.DataFrame({"text": new, "other": 1})).rows == expected
    for wrong, message in (
        (["fine", " "], r"new texts: row 2, column 'text': the text is empty"),
        ([], "the list is empty"),
        ([1, 2], "int is not a text"),
        (pd.DataFrame({"words": new}), "DataFrame: no column 'text'; it has 'words'"),
        (pd.DataFrame({"text": ["a", None]}), "DataFrame: row 2, column 'text': the text is empty"),
    ):
        with pytest.raises(DataError, match=message):
            predict(run, wrong)


def test_a_table_of_sequences_takes_a_frame(tmp_path):
    X = sequences()
    table = pd.DataFrame([(f"s{i}", LABELS[i], *row) for i, x in enumerate(X) for row in x.tolist()],
                         columns=["who", "kind", "a", "b"])  # fmt: skip
    table.to_csv(tmp_path / "a.csv", index=False)
    config = Dataset.members["csv_sequences"].Config(
        path=str(tmp_path / "a.csv"), id="who", label="kind", channels=("a", "b")
    )
    run = trained(config, "classify", tmp_path / "run", trainer={"max_epochs": 1})
    rows = predict(run, tmp_path / "a.csv").rows
    assert predict(run, table.drop(columns="kind")).rows == rows
    assert [row[0] for row in rows] == [f"s{i}" for i in range(len(X))]
    assert [row[1:] for row in predict(run, X).rows] == [row[1:] for row in rows]
    with pytest.raises(DataError, match="DataFrame: no column 'b'; it has 'who', 'kind', 'a'"):
        predict(run, table.drop(columns="b"))
    table.loc[4, "a"] = np.nan
    with pytest.raises(DataError, match="DataFrame: row 5, column 'a': the cell is empty"):
        predict(run, table)


@pytest.mark.parametrize("y", [LABELS, VALUES, "tags"], ids=["class", "value", "tag"])
def test_a_fraction_of_0_leaves_no_test_split(y):
    X = sequences()
    data = arrays(X, step_labels(X) if isinstance(y, str) else y, test=0.0).build()
    assert len(data.train) + len(data.validation) == 40
    assert data.digest
    with pytest.raises(DataError, match=r"data 'arrays' has no test split: data\.test is 0"):
        data.test_split()
