"""Series from memory: DataFrames become plain configurations of files named by their content."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from test_runs_of_arrays import trained

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data import Dataset, frame
from lstm_lab.evaluation.predict import predict
from lstm_lab.experiment import Experiment


def hours(n=120, **more):
    t = np.arange(n)
    index = pd.date_range("2024-01-01", periods=n, freq="h")
    return pd.DataFrame({"load": np.sin(t / 24 * 2 * np.pi), "wind": np.cos(t / 11.0), **more}, index=index)


SMALL = {"window": 12, "horizon": 3}


def test_a_frame_is_the_data_of_a_csv_of_it(tmp_path):
    df = hours()
    df.to_csv(tmp_path / "a.csv", index_label="when")
    read = Dataset.members["csv"].Config(
        path=str(tmp_path / "a.csv"), time="when", targets=("load",), features=("wind",), calendar=("hour",), **SMALL
    ).build()  # fmt: skip
    config = frame(df, targets="load", features=["wind"], calendar=["hour"], **SMALL)
    made = config.build()
    assert made.info == read.info
    assert made.digest == read.digest
    named = frame(df.rename_axis("when"), targets="load", features=["wind"], calendar=["hour"], **SMALL)
    assert named.time == "when"
    column = frame(df.reset_index(names="at"), targets="load", features=["wind"], time="at", calendar=["hour"], **SMALL)
    assert column.build().digest == named.build().digest == read.digest
    experiment = Experiment(data=config, task="forecast")
    assert Experiment.of(experiment.dump()) == experiment
    assert frame(df, targets="load", features=["wind"], calendar=["hour"], **SMALL) == config


@pytest.mark.parametrize(
    "index",
    [
        pd.period_range("2020-01", periods=60, freq="M"),
        pd.date_range("2020-10-24", periods=60, freq="h", tz="Europe/Berlin"),
        pd.RangeIndex(60),
        pd.Index(np.arange(60) * 10),
    ],
    ids=["months", "time zone", "numbers", "tens"],
)
def test_indices_of_many_kinds_are_times(index):
    df = pd.DataFrame({"y": np.arange(60.0)}, index=index)
    data = frame(df, targets="y", window=5, horizon=2).build()
    assert data.series.values[:, 0].tolist() == df["y"].tolist()


def test_series_of_a_frame_are_separated_by_their_column():
    both = pd.concat([hours(90).assign(site=name, height=k) for k, name in enumerate(("north", "south"))])
    data = frame(
        both.reset_index(names="when"), time="when", targets="load", id="site", static="height", **SMALL
    ).build()
    assert data.series.names == ("north", "south")
    assert data.info.num_series == 2
    assert data.info.known == ("height",)


BAD_FRAMES = {
    "no frame": (lambda: frame([1, 2], targets="y"), "^data: list is not a DataFrame"),
    "no column": (lambda: frame(hours(), targets="lod", **SMALL), "^DataFrame: no column 'lod'; it has"),
    "no target": (lambda: frame(hours(), targets=[], **SMALL), "^data.frame: targets is empty"),
    "twice": (lambda: frame(hours(), targets="load", features="load", **SMALL), "'load' is named twice"),
    "NaN": (lambda: frame(hours(hole=[np.nan] + [1.0] * 119), targets="hole", **SMALL), "row 1, column 'hole'"),
    "words": (lambda: frame(hours(site="a"), targets="site", **SMALL), "row 1, column 'site': 'a' is not a num"),
    "a gap": (lambda: frame(hours().drop(index=hours().index[50]), targets="load", **SMALL), "rows missing: 1"),
    "no order": (lambda: frame(hours().sample(frac=1, random_state=0), targets="load", **SMALL), "is earlier than the"),
    "too short": (lambda: frame(hours(20), targets="load", window=30, horizon=2), "^DataFrame: 20 rows leave 14"),
    "no rows": (lambda: frame(hours(0), targets="load", **SMALL), "^DataFrame: has no rows"),
    "two columns": (
        lambda: frame(pd.concat([hours(), hours()[["load"]]], axis=1), targets="load", **SMALL), "^DataFrame: 2 columns"
    ),
    "an option": (lambda: frame(hours(), targets="load", windw=3), "^data.frame: windw: no such field.*'window'"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "message"), BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_a_frame_that_does_not_fit_is_one_line_and_writes_nothing(make, message, tmp_path):
    with pytest.raises((DataError, ConfigError), match=message) as fault:
        make()
    assert len(str(fault.value).splitlines()) == 1
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_forecast_follows_a_frame_as_it_does_a_file(tmp_path):
    df = hours(200)
    config = frame(df, targets="load", features="wind", window=24, horizon=4, batch_size=64, folder=tmp_path / "data")
    run = trained(config, "forecast", tmp_path / "run", trainer={"max_epochs": 1})
    (file,) = (tmp_path / "data").iterdir()
    file.unlink()
    df.to_csv(tmp_path / "new.csv", index_label="time")
    expected = predict(run, tmp_path / "new.csv").rows
    step = df.index[1] - df.index[0]
    assert [row[:2] for row in expected] == [[df.index[-1] + n * step, n] for n in (1, 2, 3, 4)]
    for same in (df, df.rename_axis("time"), df.reset_index(names="time")):
        assert predict(run, same).rows == expected
    with pytest.raises(DataError, match="DataFrame: no column 'wind'; it has 'load'"):
        predict(run, df[["load"]])
    with pytest.raises(DataError, match="DataFrame: 9 rows, but the model reads 24"):
        predict(run, df[:9])
    with pytest.raises(ConfigError, match="takes no new samples from arrays, which have no time"):
        predict(run, np.zeros((1, 24, 2)))


def test_a_series_without_a_test_split_trains_up_to_its_end():
    data = frame(pd.DataFrame({"load": np.arange(60.0)}), targets="load", window=6, horizon=2, test=0.0).build()
    assert len(data.train) == 54 - 6 - 2 + 1
    assert data.validation.take(torch.tensor([len(data.validation) - 1])).y.flatten().tolist() == pytest.approx(
        [(value - data.info.mean[0]) / data.info.std[0] for value in (58, 59)]
    )
    with pytest.raises(DataError, match="data 'csv' has no test split"):
        data.test_split()
