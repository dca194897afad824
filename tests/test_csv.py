"""The CSV reader: what it reads, and the inputs and targets that models get."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tables import CALENDARS, FILES, data, series, table

from lstm_lab.config import DataError
from lstm_lab.data.kinds.split_series import SeriesDataset
from lstm_lab.data.sources.csv_series import CSV


@pytest.fixture(autouse=True)
def _no_data_folder(request, monkeypatch):
    if "real" not in request.node.name:
        monkeypatch.delenv("LSTM_LAB_DATA", raising=False)


@pytest.mark.parametrize("calendar", CALENDARS)
def test_a_regular_calendar_is_read_and_missing_rows_are_counted(tmp_path, calendar):
    times = list(CALENDARS[calendar])
    assert series(tmp_path / "a.csv", table(times)).values[:, 0].tolist() == list(range(60))
    with pytest.raises(DataError, match=r"line 42, column 't': .*rows missing: 2 \(gaps in total: 1\)"):
        series(tmp_path / "a.csv", table(times[:40] + times[42:]))


@pytest.mark.parametrize(
    ("content", "choices"),
    [
        ("t,y\n0,1.5\n1,-2\n", {}),
        ("\ufefft,y\n0,1.5\n1,-2\n", {}),
        ("t,y\r\n0,1.5\r\n1,-2\r\n", {}),
        ("t,y\r0,1.5\r1,-2\r", {}),
        ('"t","y"\n"0","1.5"\n"1","-2"', {}),
        ("t, y\n0, 1.5 \n1, -2\n", {}),
        ("\n\nt,y\n0,1.5\n\n1,-2\n\n  \n,\n", {}),
        (",t,note,y\n7,0,x,1.5\n8,1,,-2e0\n", {}),
        ('t,note,y\n0,"two\nlines, one ""row""",1.5\n1,,-2\n', {}),
        ("t;y\n0;1,5\n1;-2\n", {"separator": ";", "decimal": ","}),
        ("t\ty\n0\t1.5\n1\t-2\n", {"separator": r"\t"}),
        ("t y\n0  1.5\n1 -2\n", {"separator": " "}),
    ],
)
def test_one_series_in_many_dialects(tmp_path, content, choices):
    assert series(tmp_path / "a.csv", content, **choices).values.tolist() == [[1.5], [-2.0]]


@FILES
@given(st.data())
def test_the_values_read_are_the_values_written(tmp_path, data_):
    n = data_.draw(st.integers(1, 30))
    start = data_.draw(st.datetimes(pd.Timestamp("1700-01-01"), pd.Timestamp("2100-01-01"))).replace(microsecond=0)
    freq = data_.draw(st.sampled_from(["s", "7min", "h", "D", "3D", "W", "MS", "ME", "QE", "YS", "B"]))
    numbers = st.floats(-1e100, 1e100) | st.integers(-(10**15), 10**15)
    names = data_.draw(st.lists(st.text("abc,;\" 'é\n", min_size=1, max_size=4).filter(lambda s: s.strip() == s),
                                min_size=1, max_size=4, unique=True))  # fmt: skip
    frame = pd.DataFrame({name: data_.draw(st.lists(numbers, min_size=n, max_size=n)) for name in names}, dtype=float)
    frame.insert(0, "t", pd.date_range(start, periods=n, freq=freq))
    separator, decimal = data_.draw(st.sampled_from([(",", "."), (";", ","), ("\t", "."), ("|", ",")]))
    frame.to_csv(tmp_path / "a.csv", index=False, sep=separator, decimal=decimal)
    order = tuple(data_.draw(st.permutations(names)))
    k = data_.draw(st.integers(1, len(names)))
    read = data(tmp_path / "a.csv", targets=order[:k], features=order[k:], separator=separator, decimal=decimal).read()
    assert read.columns == order
    assert read.num_targets == k
    np.testing.assert_array_equal(read.values, frame[list(order)].to_numpy())


def test_a_relative_path_is_also_searched_below_the_data_folder(tmp_path, monkeypatch):
    series(tmp_path / "a.csv", table(range(20)))
    monkeypatch.setenv("LSTM_LAB_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(DataError, match="LSTM_LAB_DATA"):
        data("a.csv").read()
    monkeypatch.setenv("LSTM_LAB_DATA", str(tmp_path))
    assert len(data("a.csv").read().values) == 20
    with pytest.raises(DataError, match=r"b\.csv: no such file, neither.*LSTM_LAB_DATA=.*did you mean '.*a\.csv'"):
        data("b.csv").read()


@pytest.mark.skipif("LSTM_LAB_DATA" not in os.environ, reason="needs ETTh1.csv of ETT-small (zhouhaoyi/ETDataset) "
                    "as ett/ETTh1.csv below LSTM_LAB_DATA")  # fmt: skip
def test_a_real_file_reads_whole():
    columns = ("OT", "HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL")
    read = data("ett/ETTh1.csv", time="date", targets=columns).read()
    assert read.values.shape == (17_420, 7)


# Inputs and targets


@pytest.fixture
def noise(tmp_path) -> CSV:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 3)), columns=["f", "y", "z"])
    frame.to_csv(tmp_path / "noise.csv", index_label="t")
    return data(tmp_path / "noise.csv", targets=("y", "z"), features=("f",), window=12, horizon=5, seasons=(7, 3))


def splits(dataset: SeriesDataset):
    return {"train": dataset.train, "validation": dataset.validation, "test": dataset.test_split()}


def everything(windows):
    return windows.take(torch.arange(len(windows)))


def test_only_the_training_split_decides_the_scale(noise, tmp_path):
    lines = (tmp_path / "noise.csv").read_text().splitlines()
    train = int(200 * 0.7)
    spoilt = [*lines[: 1 + train], *(f"{t},1e6,-1e6,{t}e3" for t in range(train, 200))]
    (tmp_path / "other.csv").write_text("\n".join(spoilt))
    other = data(tmp_path / "other.csv", targets=("y", "z"), features=("f",), window=12, horizon=5, seasons=(7, 3))
    assert dataclasses.asdict(other.info) == dataclasses.asdict(noise.info)
    assert torch.equal(everything(other.train).x, everything(noise.train).x)
    assert torch.equal(everything(other.train).y, everything(noise.train).y)
    assert other.digest != noise.digest


def test_horizons_of_the_splits_share_no_row_and_are_in_order(noise):
    rows = {name: windows.target_rows() for name, windows in splits(noise).items()}
    assert rows["train"].max() < rows["validation"].min()
    assert rows["validation"].max() < rows["test"].min()


def test_every_row_of_the_test_split_is_forecast(noise):
    test, border = noise.test_split(), int(200 * 0.8)
    assert test.starts[0] == border - 12
    assert test.target_rows()[0, 0] == border
    assert test.target_rows()[-1, -1] == 199
    assert sorted(set(test.target_rows().flatten().tolist())) == list(range(border, 200))
    assert len(test) == 200 - border - 5 + 1


def test_training_and_validation_splits_do_not_contain_later_rows(noise):
    assert noise.train.values.shape[0] == 140
    assert noise.validation.values.shape[0] == 160


def test_features_are_inputs_but_not_targets(noise):
    for windows in splits(noise).values():
        batch = everything(windows)
        assert batch.x.shape[1:] == (12, 3)
        assert batch.y.shape[1:] == (5, 2)
        info = noise.info
        wanted = noise.series.values[windows.target_rows().numpy()][..., :2]
        scaled = (wanted - np.array(info.mean[:2])) / np.array(info.std[:2])
        np.testing.assert_allclose(batch.y.numpy(), scaled, rtol=1e-5, atol=1e-6)
        looked = noise.series.values[windows.starts.numpy()[:, None] + np.arange(12)]
        scaled = (looked - np.array(info.mean)) / np.array(info.std)
        np.testing.assert_allclose(batch.x.numpy(), scaled, rtol=1e-5, atol=1e-6)
    assert noise.info.targets == ("y", "z")
    assert noise.info.columns == ("y", "z", "f")


def test_a_column_that_is_constant_in_training_stays_small(tmp_path):
    content = table(range(60), [5.1] * 50 + [6.1] * 10)
    series(tmp_path / "a.csv", content)
    dataset = data(tmp_path / "a.csv")
    assert everything(dataset.train).y.abs().max() < 1e-6
    assert everything(dataset.test_split()).y.abs().max() == pytest.approx(1.0 / 5.1)
