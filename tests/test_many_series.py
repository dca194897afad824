"""Many series in one data set, columns known in advance, calendars and gaps."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from shops import HORIZON, SHOPS, T, data, everything, shop, splits
from torch.testing import assert_close

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.kinds.windows import RowRange, Windows
from lstm_lab.data.sources.csv_series import CSV
from lstm_lab.evaluation.predict import predict
from lstm_lab.experiment import Experiment
from lstm_lab.models.seq2seq import Seq2Seq
from lstm_lab.records.run import Run
from lstm_lab.tasks.base import score
from lstm_lab.tasks.forecast import Forecast
from lstm_lab.training.train import train


def test_every_window_is_in_one_series_and_its_horizon_in_one_split(tmp_path):
    found = data(tmp_path)
    assert [len(part) for part in (found.series.names, found.series.rows)] == [3, 3]
    seen = []
    for name, windows in splits(found).items():
        for start, ahead, series in zip(windows.starts, windows.target_rows(), windows.series, strict=True):
            first, last = found.series.spans[series]
            borders = (0, *found._split_ends(last - first))
            part = list(splits(found)).index(name)
            assert first <= start
            assert first + borders[part] <= ahead[0] <= ahead[-1] < first + borders[part + 1] <= last
        seen.append(set(windows.target_rows().flatten().tolist()))
    assert not seen[0] & seen[1]
    assert not seen[1] & seen[2]
    assert not seen[0] & seen[2]


def test_each_series_has_the_scale_of_its_own_training_rows(tmp_path):
    found = data(tmp_path)
    for name, windows in splits(found).items():
        batch = everything(windows)
        for series, (shop_, rows) in enumerate(SHOPS.groupby("store")["sales"]):
            sales = rows.to_numpy()
            known = sales[: found._split_ends(len(sales))[0]]
            own = windows.series == series
            mean, std, naive = batch.scale[own][0, :, 0].tolist()
            expected = (known.mean(), known.std(), np.abs(known[7:] - known[:-7]).mean())
            assert (mean, std, naive) == pytest.approx(expected), (name, shop_)
            first = found.series.spans[series][0]
            wanted = sales[windows.target_rows()[own].numpy() - first]
            np.testing.assert_allclose(batch.y[own][..., 0] * std + mean, wanted, rtol=1e-5)


def test_rows_after_the_training_split_change_no_scale(tmp_path):
    spoilt = SHOPS.copy()
    for _, rows in SHOPS.groupby("store"):
        spoilt.loc[rows.index[int(len(rows) * 0.7) :], "sales"] = 1e6
    before, after = data(tmp_path), data(tmp_path, spoilt)
    assert before.info == after.info
    assert torch.equal(everything(before.train).x, everything(after.train).x)
    assert before.digest != after.digest


def test_metrics_of_many_series_equal_a_loop_and_a_naive_forecast_has_an_owa_of_one(tmp_path):
    found = data(tmp_path, window=9)
    made, windows = Forecast.Config().build(found.info), found.test_split()
    batch = everything(windows)
    torch.manual_seed(0)
    output = torch.randn(len(windows), HORIZON)
    smape, mase, squared = [], [], []
    for said, y, scale in zip(output, batch.y[..., 0], batch.scale[..., 0], strict=True):
        mean, std, naive = scale.tolist()
        for f, truth in zip(said.tolist(), y.tolist(), strict=True):
            f, truth = f * std + mean, truth * std + mean
            smape.append(200 * abs(f - truth) / (abs(f) + abs(truth)))
            mase.append(abs(f - truth) / naive)
            squared.append((f - truth) ** 2)
    found_scores = score(made.metrics(), output, batch)
    assert found_scores["smape"] == pytest.approx(np.mean(smape), rel=1e-4)
    assert found_scores["mase"] == pytest.approx(np.mean(mase), rel=1e-4)
    assert found_scores["mse"] == pytest.approx(np.mean(squared), rel=1e-4)
    baselines = made.baselines(found.train, windows)
    assert baselines["seasonal naive (7)"]["owa"] == pytest.approx(1.0)
    assert set(baselines) == {"last value", "seasonal naive (7)", "training mean", "linear"}


def test_series_of_a_parquet_file_equal_those_of_the_csv(tmp_path):
    csv = data(tmp_path)
    SHOPS.to_parquet(tmp_path / "shops.parquet")
    parquet = CSV.Config(
        path=str(tmp_path / "shops.parquet"), time="day", targets=("sales",), id="store", window=T, horizon=HORIZON
    ).build()
    assert torch.equal(csv._scaled, parquet._scaled)
    assert parquet.series.names == ("s0", "s1", "s2")


# Known in advance


def test_over_the_horizon_a_model_reads_known_columns_alone(tmp_path):
    known = data(tmp_path, future="holiday", calendar=["weekday"], static="size")
    spoilt = SHOPS.copy()
    test_rows = np.concatenate([rows.index[int(len(rows) * 0.8) :] for _, rows in SHOPS.groupby("store")])
    spoilt.loc[test_rows, "sales"] += 777.0
    assert known.info.known == ("size", "holiday", "weekday sine", "weekday cosine")
    assert known.info.columns == ("sales", *known.info.known)
    first = torch.tensor([int((known.test_split().series == s).nonzero()[0]) for s in range(3)])
    batch = known.test_split().take(first)
    assert batch.x.shape == (3, T + HORIZON, known.info.input_size) == (3, 9, 6)
    assert batch.lengths.tolist() == [T + HORIZON] * 3
    other = data(tmp_path, spoilt, future="holiday", calendar=["weekday"], static="size")
    assert torch.equal(other.test_split().take(first).x, batch.x)  # the horizon's own sales are nowhere in x
    assert not torch.equal(other.test_split().take(first).y, batch.y)
    assert (batch.x[:, T:, 0] == 0).all()
    assert (batch.x[:, :, -1] == (torch.arange(9) >= T)).all()  # the flag
    series = known.series
    rows = known.test_split().starts[first].unsqueeze(1) + torch.arange(9)
    angle = 2 * np.pi * pd.DatetimeIndex(SHOPS["day"]).weekday.to_numpy()[rows] / 7
    column = series.columns.index("weekday sine")
    mean, std = known.info.mean[column], known.info.std[column]
    np.testing.assert_allclose(batch.x[..., column] * std + mean, np.sin(angle), atol=1e-5)
    assert batch.x[:, 0, 1].unique().numel() == 3  # sizes share one scale, so that they distinguish series


def test_a_model_learns_from_a_holiday_that_is_known_in_advance(tmp_path):
    frame = shop(0, 600)[["day", "sales", "holiday"]]
    frame["holiday"] = np.random.default_rng(0).integers(0, 2, 600)
    frame["sales"] = 10 + 5 * frame["holiday"] + np.random.default_rng(1).normal(size=600) * 0.1
    frame.to_csv(tmp_path / "one.csv", index=False)
    errors = {}
    for known in ([], ["holiday"]):
        content = {"name": "csv", "path": str(tmp_path / "one.csv"), "time": "day", "targets": "sales", "window": 4,
                   "horizon": 1, "future": known}  # fmt: skip
        experiment = Experiment.of(
            {"data": content, "task": "forecast", "model": {"hidden_size": 8}, "optimizer": {"lr": 0.02},
             "trainer": {"max_epochs": 8}}
        )  # fmt: skip
        run = Run.create(tmp_path / f"run-{len(known)}", experiment.dump())
        errors[len(known)] = train(experiment, run).value
        if known:  # The forecast is for the rows after the known ones: with a holiday, and without.
            for holiday, wanted in ((1, 15), (0, 10)):
                future = frame.iloc[:50].copy().astype({"sales": object})
                future.loc[49, "sales"] = ""
                future.loc[49, "holiday"] = holiday
                future.to_csv(tmp_path / "future.csv", index=False)
                names, rows = predict(run, tmp_path / "future.csv")
                assert names == ["day", "ahead", "sales"]
                assert str(rows[0][0]) == f"{frame['day'][49]}"
                assert rows[0][2] == pytest.approx(wanted, abs=1.0)
    assert errors[1] < 0.1 * errors[0]


def test_calendar_features_are_angles_of_the_local_time(tmp_path):
    times = pd.date_range("2024-02-28 12:00", periods=60, freq="6h", tz="Europe/Berlin")
    frame = pd.DataFrame({"day": times, "sales": np.arange(60.0)})
    read = data(tmp_path, frame, calendar=["hour", "weekday", "month", "year"], seasons=[]).read()
    wall, values = times.tz_localize(None), dict(zip(read.columns, read.values.T, strict=True))
    hour = wall.hour.to_numpy() / 24
    turns = {"hour": hour, "weekday": (wall.weekday + hour) / 7, "month": (wall.day - 1 + hour) / wall.days_in_month,
             "year": (wall.dayofyear - 1 + hour) / 366}  # fmt: skip
    for name, turn in turns.items():
        np.testing.assert_allclose(values[f"{name} sine"], np.sin(2 * np.pi * turn), atol=1e-12)
        np.testing.assert_allclose(values[f"{name} cosine"], np.cos(2 * np.pi * turn), atol=1e-12)


# Missing values


def holed(*rows):
    frame = SHOPS.copy()
    frame.loc[list(rows), "sales"] = np.nan
    return frame


def test_an_empty_cell_is_an_error_unless_missing_is_set(tmp_path):
    with pytest.raises(DataError, match="line 12, column 'sales': the cell is empty"):
        data(tmp_path, holed(10)).read()
    filled = data(tmp_path, holed(10, 11, 65), missing="forward_fill").read().values[:, 0]
    wanted = SHOPS["sales"].to_numpy().copy()
    wanted[[10, 11, 65]] = wanted[[9, 9, 64]]
    np.testing.assert_allclose(filled, wanted)
    with pytest.raises(DataError, match=r"line 62, column 'sales': .*there is no earlier value"):
        data(tmp_path, holed(60), missing="forward_fill").read()  # the first of its series: not the shop before it
    words = holed(10).astype({"sales": object})
    words.loc[10, "sales"] = "many"
    with pytest.raises(DataError, match="'many' is not a number"):
        data(tmp_path, words, missing="mask").read()


def test_masked_values_are_not_in_scales_and_losses(tmp_path):
    gaps = [5, 20, 21, 75, 190]
    found = data(tmp_path, holed(*gaps), missing="mask", future="holiday")
    assert found.info.num_mask_channels == 2
    assert found.info.input_size == 4
    for windows in splits(found).values():
        batch = everything(windows)
        rows = windows.starts.unsqueeze(1) + torch.arange(T + HORIZON)
        gone = torch.isin(rows, torch.tensor(gaps))
        gone[:, T:] = True
        assert torch.equal(batch.x[..., 2] == 1, gone)
        assert (batch.x[..., 0][gone] == 0).all()
        assert (batch.x[..., 3] == 0).all()
        assert torch.equal(batch.y[..., 0].isnan(), torch.isin(windows.target_rows(), torch.tensor(gaps)))
    sales = SHOPS["sales"].to_numpy()[:42]
    sales = np.delete(sales, [5, 20, 21])
    assert found._scales[0, :2, 0] == pytest.approx([sales.mean(), sales.std()])
    made = Forecast.Config().build(found.info)
    assert all(
        math.isfinite(v) for row in made.baselines(found.train, found.test_split()).values() for v in row.values()
    )


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"static": "size", "id": None}, "there is one series; set id"),
        ({"calendar": ["hour", "hour"]}, "names a cycle twice"),
        ({"future": "sales"}, "'sales' is named twice"),
        ({"missing": "zero"}, "data.missing"),
    ],
)
def test_fields_that_do_not_fit_are_refused(choices, said):
    content = {"name": "csv", "path": "x", "time": "day", "targets": "sales", "id": "store", **choices}
    with pytest.raises(ConfigError, match=said):
        Experiment.of({"data": content, "task": "forecast"})


def test_anchors_that_are_not_possible_are_refused():
    content = {"name": "csv", "path": "x", "time": "day", "targets": "sales", "seasons": [7]}
    task = {"name": "forecast", "anchor": "last"}
    with pytest.raises(ConfigError, match="needs a value in every row"):
        Experiment.of({"data": {**content, "missing": "mask"}, "task": task})


def test_a_seasonal_anchor_leaves_columns_that_are_known_ahead_as_they_are(tmp_path):
    found = data(tmp_path, future="holiday", window=10, seasons=[7])
    task, batch = Forecast.Config(anchor="season").build(found.info), everything(found.train)
    x, lengths = task.model_inputs(batch)
    assert x.shape[1] == 10 - 7 + HORIZON
    assert (lengths == x.shape[1]).all()
    assert_close(x[:, :3, 0], batch.x[:, 7:10, 0] - batch.x[:, :3, 0])
    assert_close(x[..., 1:], batch.x[:, 7:, 1:])
    assert (x[:, 3:, 0] == 0).all()
    naive = task.postprocess(torch.zeros(len(x), HORIZON), batch)
    assert_close(naive, batch.x[:, 3 : 3 + HORIZON, 0])
    model = Seq2Seq.Config(hidden_size=3).build(found.info, task)  # It reads the rows ahead, which the window ends at.
    assert model(x, lengths).logits.shape == (len(x), HORIZON)


def test_errors_of_many_series_name_the_line_and_the_series(tmp_path):
    frame = SHOPS.copy()
    frame.loc[100, "size"] = 11.0
    with pytest.raises(DataError, match="line 102, column 'size': differs from line 62"):
        data(tmp_path, frame, static="size").read()
    with pytest.raises(DataError, match=r"line 101, column 'day': .*rows missing: 1"):
        data(tmp_path, SHOPS.drop(index=99)).read()
    with pytest.raises(DataError, match="series 's0': 60 rows leave 42 for the training split"):
        _ = data(tmp_path, window=40).info
    with pytest.raises(DataError, match="line 2, column 'day': '0' is a number, which has no calendar"):
        data(tmp_path, SHOPS.assign(day=range(len(SHOPS))), calendar=["hour"]).read()


def test_windows_over_a_range_of_rows():
    values = torch.arange(40.0).view(20, 2)
    windows = Windows(values, 3, 2, 1, [RowRange(0, 4, 12)])
    assert windows.starts.tolist() == list(range(1, 8))
    assert_close(windows.take(torch.tensor([0])).y.flatten(), values[4:6, 0])
