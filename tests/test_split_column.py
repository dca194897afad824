"""Splits of a time series by a column, or by files of their own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.from_memory import frame
from lstm_lab.data.inspection import inspect
from lstm_lab.experiment import Experiment
from lstm_lab.tasks.forecast import Forecast

ROWS = 200
FRAME = pd.DataFrame({"day": pd.date_range("2020-01-01", periods=ROWS), "y": np.sin(np.arange(ROWS) / 5)})
THREE = ["train"] * 120 + ["Val"] * 40 + ["test"] * 40


def build(tmp_path, frame, **choices):
    frame.to_csv(tmp_path / "x.csv", index=False)
    content = {"name": "csv", "path": str(tmp_path / "x.csv"), "time": "day", "targets": "y", "window": 12,
               "horizon": 4, "split": "part", **choices}  # fmt: skip
    return Experiment.of({"data": content, "task": "forecast"}).data.build()


def machines(*splits):
    frames = [FRAME.assign(part=split, id=f"m{i}", y=FRAME["y"] + 10 * i) for i, split in enumerate(splits)]
    return pd.concat(frames)


def test_the_splits_are_those_of_the_column(tmp_path):
    found = build(tmp_path, FRAME.assign(part=THREE))
    assert found.series.split_ends == ((120, 160, 200),)
    assert [len(part) for part in (found.train, found.validation, found.test_split())] == [105, 37, 37]
    newest_first = build(tmp_path, FRAME.assign(part=THREE)[::-1])
    assert newest_first.series.split_ends == ((120, 160, 200),)


def test_a_validation_split_that_it_does_not_name_is_the_end_of_the_training_rows(tmp_path):
    found = build(tmp_path, FRAME.assign(part=["train"] * 160 + ["test"] * 40))
    assert found.series.split_ends == ((144, 160, 200),)
    assert not build(tmp_path, FRAME.assign(part=["train"] * 160 + ["val"] * 40), test=0).has_test_split


def test_series_may_be_in_one_split_alone(tmp_path):
    found = build(tmp_path, machines("train", "train", "validation", "test"), id="id", seasons=[7])
    assert found.series.split_ends == ((200, 200, 200), (200, 200, 200), (0, 200, 200), (0, 0, 200))
    assert [sorted(set(part.series.tolist())) for part in (found.train, found.validation, found.test_split())] == [
        [0, 1], [2], [3],
    ]  # fmt: skip
    assert found.notes == ()
    # The scale of a series that is held out: of its first window, which is never predicted.
    y = FRAME["y"].to_numpy()
    assert found._scales[3, :2, 0] == pytest.approx([y[:12].mean() + 30, y[:12].std()])
    assert found._scales[0, :2, 0] == pytest.approx([y.mean(), y.std()])
    scores = Forecast.Config().build(found.info).baselines(found.train, found.test_split())
    assert scores["linear"]["mse"] < scores["last value"]["mse"]


def test_rows_that_gaps_insert_are_counted(tmp_path):
    frame = FRAME.assign(part=THREE).drop(index=[50, 51])
    found = build(tmp_path, frame, gaps="fill", missing="forward_fill")
    assert found.series.split_ends == ((120, 160, 200),)


@pytest.mark.parametrize(
    ("part", "choices", "message"),
    [
        (["test"] * 100 + ["train"] * 100, {}, "line 102, column 'part': train follows test: of each series"),
        (["train"] * 100 + ["oops"] * 100, {}, "line 102, column 'part': 'oops' is not a split"),
        (["train"] * 160 + ["val"] * 40, {}, "column 'part' names no test split: write one, or set data.test=0"),
        (["val"] * 160 + ["test"] * 40, {}, "column 'part' names no train split: write one$"),
        (THREE, {"test": 0}, "names a test split, so data.test=0.* has no effect"),
        (["train"] * 195 + ["val"] * 2 + ["test"] * 3, {}, "end of its validation split are 197, but .* need 199"),
    ],
)
def test_splits_that_are_not_possible_are_refused(tmp_path, part, choices, message):
    with pytest.raises(DataError, match=message):
        _ = build(tmp_path, FRAME.assign(part=part), **choices).info


def test_the_field_is_a_column_or_points():
    with pytest.raises(ConfigError, match="data 'taylor' has no column of splits"):
        Experiment.of({"data": {"name": "taylor", "split": "part"}, "task": "forecast"})
    with pytest.raises(
        ConfigError, match=r"data.split: must be validation_from, .* or the name of a column, got \[3\]"
    ):
        Experiment.of({"data": {"name": "taylor", "split": [3]}, "task": "forecast"})
    with pytest.raises(ConfigError, match=r"data.split.validation_fro: no such field"):
        Experiment.of({"data": {"name": "taylor", "split": {"validation_fro": 3}}, "task": "forecast"})


def test_inspect_proposes_the_column(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    FRAME.assign(part=THREE).to_csv("x.csv", index=False)
    found = inspect("x.csv")
    assert found.experiment["data"].items() >= {"split": "part", "targets": ["y"]}.items()
    assert found.statistics["test rows"] == 40
    assert {column.name: column.used for column in found.columns}["part"] == "split"
    machines("train", "train", "test").to_csv("m.csv", index=False)
    data = inspect("m.csv").experiment["data"]
    assert data.items() >= {"split": "part", "id": "id"}.items()
    assert len(Experiment.of({"data": data, "task": "forecast"}).data.build().test_split())


def write_parts(tmp_path, monkeypatch, ends, names=("train.csv", "test.csv")):
    monkeypatch.chdir(tmp_path)
    for name, first, end in zip(names, (0, *ends[:-1]), ends, strict=True):
        FRAME[first:end].to_csv(name, index=False)
    return {"name": "csv", "path": names[0], "time": "day", "targets": "y", "window": 12, "horizon": 4}


def test_the_rows_of_a_test_file_follow_those_of_the_file(tmp_path, monkeypatch):
    fields = write_parts(tmp_path, monkeypatch, (160, 200))
    found = Experiment.of({"data": {**fields, "test_path": "test.csv"}, "task": "forecast"}).data.build()
    assert found.series.split_ends == ((144, 160, 200),)
    np.testing.assert_allclose(found.series.values[:, 0], FRAME["y"])
    assert str(found.latest().keys[0][0][0]) == str(FRAME["day"].iloc[-1] + pd.Timedelta("1D"))
    FRAME[160:].assign(y="x").to_csv("test.csv", index=False)
    with pytest.raises(DataError, match=r"test.csv: line 2, column 'y': 'x' is not a number"):
        _ = Experiment.of({"data": {**fields, "test_path": "test.csv"}, "task": "forecast"}).data.build().info


def test_three_files(tmp_path, monkeypatch):
    fields = write_parts(tmp_path, monkeypatch, (120, 160, 200), ("train.csv", "val.csv", "test.csv"))
    given = {"validation_path": "val.csv", "test_path": "test.csv"}
    found = Experiment.of({"data": {**fields, **given}, "task": "forecast"}).data.build()
    assert found.series.split_ends == ((120, 160, 200),)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"validation_path": "val.csv"}, "leaves no test split: set test_path, or test=0"),
        ({"test_path": "test.csv", "test": 0}, "test=0 has no effect beside test_path"),
        ({"test_path": "test.csv", "test": 0.5}, "test=0.5 has no effect beside test_path"),
        ({"test_path": "test.csv", "split": "part"}, "split has no effect beside test_path"),
    ],
)
def test_fields_that_exclude_files_are_refused(more, message):
    with pytest.raises(ConfigError, match=message):
        Experiment.of({"data": {"name": "csv", "path": "x", "time": "t", "targets": "y", **more}, "task": "forecast"})


def test_inspect_finds_the_file_of_the_rows_that_follow(tmp_path, monkeypatch):
    write_parts(tmp_path, monkeypatch, (160, 200), ("DelhiTrain.csv", "DelhiTest.csv"))
    found = inspect("DelhiTrain.csv")
    assert found.experiment["data"]["test_path"] == "DelhiTest.csv"
    assert found.statistics["test rows"] == 40
    FRAME[:40].to_csv("DelhiTest.csv", index=False)  # Rows of the same days: other series, or a mistake.
    found = inspect("DelhiTrain.csv")
    assert "test_path" not in found.experiment["data"]
    assert any("DelhiTest.csv looks like the test split and is not used" in text for text in found.warnings)


def test_a_dataframe_has_a_column_of_splits(tmp_path):
    config = frame(
        FRAME.assign(part=THREE), targets="y", time="day", window=12, horizon=4, split="part", folder=tmp_path
    )
    assert config.build().series.split_ends == ((120, 160, 200),)
