"""Series without a time, dates that only their steps decide, and what else a table of series may leave open."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from tables import data as csv

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.inspection import inspect
from lstm_lab.data.kinds.windows import RowRange, Windows
from lstm_lab.experiment import Experiment
from lstm_lab.tasks.forecasting.baselines import linear

Y = [f"{np.sin(i / 3) * 9 + i % 4:.2f}" for i in range(200)]


def opened(path, choices=None):
    """What is proposed for a file, and the data set that reads it."""
    found = inspect(str(path), choices)
    return found, Experiment.of(found.experiment).data.build()


def test_one_column_of_numbers_is_a_series_without_a_time(tmp_path):
    (tmp_path / "a.csv").write_text("\n".join(["load", *Y]))
    found, data = opened(tmp_path / "a.csv")
    assert found.experiment["data"]["time"] is None
    assert any("no column of times" in line for line in found.warnings)
    new = data.read_new(tmp_path / "a.csv", data.info)
    assert new.columns == ("row", "ahead")
    assert new.keys[0][0] == (200, 1)
    frame = data.read_new(pd.DataFrame({"load": [float(y) for y in Y]}), data.info)
    assert torch.equal(next(frame.batches).x, next(data.read_new(tmp_path / "a.csv", data.info).batches).x)


def test_rows_of_each_series_are_counted(tmp_path):
    cells = [f"{'ab'[i % 2]},{y}" for i, y in enumerate(Y * 2)]
    (tmp_path / "a.csv").write_text("\n".join(["shop,load", *cells]))
    with pytest.raises(DataError, match="set it by time=COLUMN, or by time=null"):
        inspect(str(tmp_path / "a.csv"))
    _, data = opened(tmp_path / "a.csv", {"time": None, "id": "shop"})
    assert data.series.rows == (200, 200)
    assert [key[0] for key in data.read_new(tmp_path / "a.csv", data.info).keys] == [("a", 200, 1), ("b", 200, 1)]


def test_what_needs_times_is_refused_without_them(tmp_path):
    for fields in ({"calendar": ["hour"]}, {"gaps": "ignore"}):
        with pytest.raises(ConfigError, match=f"{next(iter(fields))} needs times, but time is null"):
            Experiment.of({"data": {"name": "csv", "path": "a.csv", "time": None, "targets": "y", **fields},
                           "task": "forecast"})  # fmt: skip


@pytest.mark.parametrize(
    ("times", "form", "second"),
    [
        (pd.date_range("2009-01-01 00:10", periods=200, freq="30min"), "%d.%m.%Y %H:%M:%S", "2009-01-01 00:40"),
        (pd.date_range("2009-01-01 00:10", periods=200, freq="30min"), "%m/%d/%Y %H:%M", "2009-01-01 00:40"),
        (pd.date_range("2009-01-01 00:10", periods=200, freq="30min")[::-1], "%d.%m.%Y %H:%M", "2009-01-05 03:10"),
    ],
    ids=["day first", "month first", "day first, newest first"],
)
def test_steps_decide_whether_the_day_comes_first(tmp_path, times, form, second):
    rows = [f"{time},{y}" for time, y in zip(times.strftime(form), Y, strict=True)]
    (tmp_path / "a.csv").write_text("\n".join(["t,y", *rows]))
    found, data = opened(tmp_path / "a.csv")
    assert found.statistics["step"] == "00:30:00"
    read = data._times(data._new_table(str(tmp_path / "a.csv"), ("y",)))
    assert read.local[1] == pd.Timestamp(second)


def test_months_and_days_that_are_both_regular_are_refused(tmp_path):
    rows = [f"{month:02d}/01/2020,{month}" for month in range(1, 13)]
    (tmp_path / "a.csv").write_text("\n".join(["t,y", *rows]))
    with pytest.raises(DataError, match=r"may be 2020-.* and neither a row nor the steps"):
        csv(tmp_path / "a.csv").read()


def test_the_linear_baseline_is_fitted_on_every_window_whatever_the_stride():
    values = torch.randn(300, 2, generator=torch.Generator().manual_seed(0)).cumsum(0)
    split = Windows(values, 6, 2, 2, [RowRange(0, 220, 300)])
    fits = [linear(Windows(values[:220], 6, 2, 2, [RowRange(0, 0, 220)], stride), split, values) for stride in (1, 7)]
    assert torch.equal(*fits)


def test_none_is_the_name_of_a_series_and_no_empty_cell(tmp_path):
    days = pd.date_range("2020-01-01", periods=100).strftime("%Y-%m-%d")
    rows = [f"{name},{day},{i}.5" for name in ("a", "none") for i, day in enumerate(days)]
    (tmp_path / "a.csv").write_text("\n".join(["unique_id,ds,y", *rows]))
    found, data = opened(tmp_path / "a.csv")
    assert {column.name: column.empty for column in found.columns}["unique_id"] == 0
    assert data.series.names == ("a", "none")


def test_a_series_that_is_far_shorter_than_the_others_is_left_out(tmp_path):
    days = pd.date_range("2020-01-01", periods=300).strftime("%Y-%m-%d")
    rows = [f"{name},{days[i]},{i % 7}.5" for name, n in (("a", 300), ("b", 300), ("c", 30)) for i in range(n)]
    (tmp_path / "a.csv").write_text("\n".join(["unique_id,ds,y", *rows]))
    found, data = opened(tmp_path / "a.csv")
    assert found.experiment["data"].items() >= {"short_series": "drop", "window": 96, "horizon": 7}.items()
    assert data.series.names == ("a", "b")
    line = next(line for line in found.warnings if "short_series: drop" in line)
    assert line.startswith("1 of 3 series have too few rows for window=96")
    assert opened(tmp_path / "a.csv", {"window": 10, "horizon": 3})[1].series.names == ("a", "b", "c")


def test_columns_of_a_table_without_a_header_are_chosen_by_number(tmp_path):
    days = pd.date_range("2020-01-01", periods=200).strftime("%Y-%m-%d")
    (tmp_path / "a.csv").write_text("\n".join(f"{day},{y}" for day, y in zip(days, Y, strict=True)))
    found, data = opened(tmp_path / "a.csv", {"time": 0, "targets": [1]})
    assert found.experiment["data"]["time"] == "0"
    assert data.info.targets == ("1",)
    (tmp_path / "b.tsv").write_text("".join(f"{'ab'[i % 2]}\tsome words of the text {i}\n" for i in range(40)))
    found, data = opened(tmp_path / "b.tsv", {"text": 1, "label": 0})
    assert data.info.classes == ("a", "b")
