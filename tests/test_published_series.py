"""Forecasts for new rows of the series that others published: their data are not read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lstm_lab.config import DataError
from lstm_lab.data.kinds.series import SeriesInfo
from lstm_lab.experiment import Experiment


def info(*targets, num_series=1):
    K = len(targets)
    return SeriesInfo(input_size=K, window=12, horizon=4, targets=targets, columns=targets, seasons=(), mean=(1.0,) * K,
                      std=(2.0,) * K, naive_mae=(1.0,) * K, num_series=num_series)  # fmt: skip


def rows(*targets, count=20):
    return pd.DataFrame({name: np.arange(count) + 100.0 * k for k, name in enumerate(targets)})


def build(name, **more):
    return Experiment.of({"data": {"name": name, **more}, "task": "forecast"}).data.build()


@pytest.mark.parametrize("name", ["ett", "weather", "ili"])
def test_rows_with_a_date(tmp_path, name):
    frame = rows("a", "b")
    frame.insert(0, "date", pd.date_range("2020-01-01", periods=20, freq="h"))
    frame.to_csv(tmp_path / "new.csv", index=False)
    new = build(name).read_new(str(tmp_path / "new.csv"), info("a", "b"))
    assert new.columns == ("date", "ahead")
    assert [str(time) for time, _ in new.keys[0]] == [f"2020-01-01 {hour}:00:00" for hour in range(20, 24)]
    x = next(new.batches).x[0].numpy() * 2 + 1
    np.testing.assert_allclose(x, frame[["a", "b"]].to_numpy()[-12:])


def test_rows_without_a_time():
    new = build("taylor").read_new(rows("demand"), info("demand"))
    assert (new.columns, new.keys[0][0]) == (("row", "ahead"), (20, 1))
    both = pd.concat([rows("y").assign(id="H1"), rows("y", count=15).assign(id="H2")])
    new = build("m4").read_new(both, info("y", num_series=5))
    assert new.columns == ("id", "row", "ahead")
    assert [keys[0] for keys in new.keys] == [("H1", 20, 1), ("H2", 15, 1)]


def test_rows_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="no column 'HUFL'"):
        build("ett").read_new(rows("a").assign(date=pd.date_range("2020-01-01", periods=20)), info("HUFL"))
    with pytest.raises(DataError, match="5 rows, but the model reads 12"):
        build("taylor").read_new(rows("demand", count=5), info("demand"))
