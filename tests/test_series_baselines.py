"""What windows cost, baselines of forecasts, and the published sets."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from shops import data

from lstm_lab.config import ConfigError
from lstm_lab.data.kinds.series import Series, WindowedDataset
from lstm_lab.data.sources.ett import ETT
from lstm_lab.data.sources.ili import Illness
from lstm_lab.data.sources.m4 import M4
from lstm_lab.data.sources.weather import Weather
from lstm_lab.experiment import Experiment
from lstm_lab.tasks.forecast import Forecast

# What windows cost


class Long(WindowedDataset):
    """Three channels of noise; not registered."""

    def read(self):
        return Series(np.random.default_rng(0).normal(size=(20_000, 3)), ("a", "b", "c"), 3, "noise")

    def _split_ends(self, rows):
        return 12_000, 16_000, rows


def test_windows_are_views_and_cost_the_same_whatever_their_length():
    kept = {}
    for window in (8, 4000):
        found = Long(window=window, horizon=8, seasons=(), stride=1)
        _ = found._scaled
        tracemalloc.start()
        windows = found.train
        kept[window] = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert windows._views.untyped_storage().data_ptr() == found._scaled.untyped_storage().data_ptr()
        assert windows._views.untyped_storage().nbytes() == 20_000 * 3 * 4
        own = sum(part.untyped_storage().nbytes() for part in (windows.starts, windows.series, windows.origins))
        assert own <= 3 * 8 * 12_000
        batch = windows.take(torch.tensor([5]))
        assert batch.x.untyped_storage().nbytes() <= 4 * 3 * (window + 8)
    assert abs(kept[4000] - kept[8]) < 50_000


# Baselines


def test_the_linear_baseline_finds_a_linear_rule_and_uses_nothing_later():
    class Rule(WindowedDataset):
        def read(self):
            t = np.arange(400)  # Two sines are a linear function of their last four values.
            y = [np.sin(t / 5) + np.sin(t / 1.7), 9 * np.cos(t / 3) - np.sin(t / 1.3)]
            return Series(np.stack(y, 1), ("a", "b"), 2, "rule")

        def _split_ends(self, rows):
            return 240, 320, rows

    found = Rule(window=6, horizon=2, seasons=(), stride=1)
    scores = Forecast.Config().build(found.info).baselines(found.train, found.test_split())
    assert scores["linear"]["scaled_mse"] < 0.01 * scores["last value"]["scaled_mse"]
    before = Forecast.Config().build(found.info).baselines(found.train, found.validation)
    again = Rule(window=6, horizon=2, seasons=(), stride=1)
    again._scaled[320:] = 1e6
    assert Forecast.Config().build(again.info).baselines(again.train, again.validation) == before


@pytest.mark.slow
def test_classical_baselines_forecast_every_nth_window_by_name(tmp_path):
    pytest.importorskip("statsforecast")
    found = data(tmp_path, window=14)
    scores = Forecast.Config(classical=6).build(found.info).baselines(found.train, found.test_split())
    nth = -(-len(found.test_split()) // 6)
    for method in ("AutoETS", "AutoTheta"):
        row = scores[f"{method} (every {nth}th window)"]
        assert 0 < row["mase"] < 3
    assert set(row) == set(scores["last value"])


def test_without_statsforecast_the_way_out_is_said(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "statsforecast.models", None)
    found = data(tmp_path)
    with pytest.raises(ConfigError, match=r"pip install statsforecast"):
        Forecast.Config(classical=6).build(found.info).baselines(found.train, found.test_split())


# Published sets


@pytest.mark.parametrize(
    ("dataset", "rows", "borders", "tested"),
    [
        (ETT.Config(), (14_400, 7), (8640, 11_520, 14_400), 2880 - 96 + 1),
        (ETT.Config(subset="ETTh2", horizon=720), (14_400, 7), (8640, 11_520, 14_400), 2880 - 720 + 1),
        (ETT.Config(subset="ETTm1"), (57_600, 7), (34_560, 46_080, 57_600), 11_520 - 96 + 1),
        (Weather.Config(), (52_696, 21), (36_887, 42_157, 52_696), 10_539 - 96 + 1),
        (Illness.Config(), (966, 7), (676, 773, 966), 193 - 24 + 1),
    ],
)
def test_published_sets_are_parted_as_published(dataset, rows, borders, tested, readable):
    found = readable(dataset.build())
    assert found.series.values.shape == rows
    assert found._split_ends(len(found.series.values)) == borders
    assert len(found.test_split()) == tested
    assert np.isfinite(found.series.values).all()


@pytest.mark.parametrize(("name", "horizon", "season", "series"), [("hourly", 48, 24, 414), ("weekly", 13, 1, 359)])
def test_m4_tests_one_horizon_of_each_series_at_its_end(name, horizon, season, series, readable):
    found = readable(M4.Config(subset=name, horizon=horizon, seasons=(season,), window=2 * horizon).build())
    test = found.test_split()
    assert len(test) == series == len(found.validation)
    assert (test.target_rows()[:, -1] + 1).tolist() == [last for _, last in found.series.spans]
    naive = Forecast.Config().build(found.info).baselines(found.train, test)[f"seasonal naive ({season})"]
    assert naive["owa"] == pytest.approx(1.0)
    if name == "weekly":
        assert naive["smape"] == pytest.approx(
            9.161, abs=0.001
        )  # Naive2 as published: without a season, the last value


def test_the_horizon_of_the_competition_is_asked():
    with pytest.raises(ConfigError, match="the weekly series are tested on 13 rows"):
        Experiment.of({"data": {"name": "m4", "subset": "weekly"}, "task": "forecast"})
