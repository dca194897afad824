"""Forecaster: the rows that follow a DataFrame, at the right times and in its units, with intervals that cover."""

from __future__ import annotations

import doctest
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import lstm_lab as lab
import lstm_lab.estimators.forecaster

QUICK = {"horizon": 4, "window": 24, "hidden_size": 8, "lr": 0.02, "max_epochs": 2, "random_state": 0}
ROWS = 300


def series(rows=ROWS, seed=0, noise=0.5):
    """A daily wave around 200 in steps of an hour."""
    t = np.arange(rows)
    return 200 + 10 * np.sin(2 * np.pi * t / 24) + noise * np.random.default_rng(seed).normal(size=rows)


def hourly(rows=ROWS, **more):
    return pd.DataFrame({"load": series(rows)}, index=pd.date_range("2024-01-01", periods=rows, freq="h", **more))


@pytest.fixture(scope="module")
def fitted():
    return lab.Forecaster(**{**QUICK, "hidden_size": 16, "max_epochs": 12}).fit(hourly(600), "load")


def test_it_forecasts_in_the_units_of_the_data(fitted):
    expected = 200 + 10 * np.sin(2 * np.pi * np.arange(600, 604) / 24)
    forecast = fitted.predict()
    assert np.abs(forecast["load"] - expected).max() < 3
    assert forecast.index.tolist() == pd.date_range("2024-01-26", periods=4, freq="h").tolist()
    earlier = fitted.predict(hourly(600).iloc[:300])
    assert np.abs(earlier["load"] - (200 + 10 * np.sin(2 * np.pi * np.arange(300, 304) / 24))).max() < 3
    assert earlier.index[0] == pd.Timestamp("2024-01-13 12:00")


def test_it_equals_the_prediction_of_its_run(tmp_path):
    df = hourly()
    forecaster = lab.Forecaster(**QUICK, run_folder=tmp_path).fit(df, "load")
    expected = lab.load_run(tmp_path / "forecaster-1").predict(df)
    np.testing.assert_allclose(forecaster.predict()["load"], expected["load"], rtol=1e-6)
    assert len(forecaster.run_.metrics) == 2
    assert forecaster.run_.best["val/scaled_mse"] == forecaster.run_.metrics["val/scaled_mse"].min()


TIMES = {
    "hours": (pd.date_range("2024-01-01", periods=ROWS, freq="h"), "2024-01-13 12:00:00"),
    "time zone": (pd.date_range("2024-03-20", periods=ROWS, freq="h", tz="Europe/Berlin"), "2024-04-01 13:00:00+02:00"),
    "month ends": (pd.date_range("2000-01-31", periods=ROWS, freq="ME"), "2025-01-31 00:00:00"),
    "business days": (pd.date_range("2024-01-01", periods=ROWS, freq="B"), "2025-02-24 00:00:00"),
    "periods": (pd.period_range("2000-01", periods=ROWS, freq="M"), "2025-01"),
    "numbers": (pd.RangeIndex(ROWS), "300"),
    "half steps": (pd.Index(np.arange(ROWS) / 2), "150.0"),
    "text": (pd.date_range("2024-01-01", periods=ROWS, freq="D").strftime("%Y-%m-%d"), "2024-10-27 00:00:00"),
}


@pytest.mark.parametrize(("times", "first"), TIMES.values(), ids=TIMES)
def test_the_times_that_follow(times, first):
    df = pd.DataFrame({"load": series()}, index=times.rename("when"))
    forecast = lab.Forecaster(**{**QUICK, "max_epochs": 1}).fit(df, "load").predict()
    assert str(forecast.index[0]) == first
    assert len(forecast) == 4
    assert forecast.index.name == "when"
    column = lab.Forecaster(**{**QUICK, "max_epochs": 1}).fit(df.reset_index(), "load", time="when").predict()
    pd.testing.assert_frame_equal(column, forecast, check_freq=False)


def test_a_series_is_its_own_target():
    df = hourly()
    forecast = lab.Forecaster(**QUICK).fit(df["load"]).predict()
    pd.testing.assert_frame_equal(forecast, lab.Forecaster(**QUICK).fit(df, "load").predict())
    unnamed = lab.Forecaster(**QUICK).fit(df["load"].rename(None)).predict(df["load"])
    assert unnamed["y"].tolist() == forecast["load"].tolist()


# --- intervals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["point", "normal", {"name": "student_t"}, "quantile"])
def test_intervals_cover_the_validation_split_and_new_rows(output):
    df = hourly(700)
    forecaster = lab.Forecaster(**{**QUICK, "max_epochs": 4, "validation_fraction": 0.3}, output=output)
    forecaster.fit(df.iloc[:500], "load")
    inside = []
    for end in range(500, 690, 3):
        forecast = forecaster.predict(df.iloc[:end], levels=[80])
        y = df["load"].iloc[end : end + 4].to_numpy()
        inside.append((y >= forecast["load-lo-80"]) & (y <= forecast["load-hi-80"]))
    assert 0.65 < np.mean(inside) < 0.95
    assert forecaster.experiment_.task.monitor == ("scaled_mse" if output == "point" else "loss")


def test_levels_are_nested_around_the_forecast(fitted):
    forecast = fitted.predict(levels=[50, 80, 99.5])
    assert forecast.columns.tolist() == [
        "load", "load-lo-50", "load-hi-50", "load-lo-80", "load-hi-80", "load-lo-99.5", "load-hi-99.5",
    ]  # fmt: skip
    ordered = forecast[["load-lo-99.5", "load-lo-80", "load-lo-50", "load", "load-hi-50", "load-hi-80", "load-hi-99.5"]]
    assert (ordered.diff(axis=1).iloc[:, 1:] >= 0).all().all()
    assert (forecast["load-hi-80"] > forecast["load-lo-80"]).all()


def test_quantiles_that_were_not_trained_are_refused():
    forecaster = lab.Forecaster(**QUICK, output="quantile").fit(hourly(), "load")
    assert "load-hi-90" in forecaster.predict(levels=[90])
    with pytest.raises(
        ValueError, match=r"levels: 95 needs the quantiles 0\.025 and 0\.975, but the output was trained"
    ):
        forecaster.predict(levels=[95])


# --- columns ----------------------------------------------------------------------------------------------------------


def test_several_targets_and_features():
    df = hourly().assign(wind=series(seed=1) / 100, rain=series(seed=2))
    forecaster = lab.Forecaster(**QUICK).fit(df, ["load", "wind"], features="rain")
    forecast = forecaster.predict(levels=[80])
    assert forecast.columns.tolist() == ["load", "load-lo-80", "load-hi-80", "wind", "wind-lo-80", "wind-hi-80"]
    assert forecast["wind"].between(1, 3).all()
    with pytest.raises(ValueError, match="no column 'rain'"):
        forecaster.predict(df.drop(columns="rain"))


def test_what_is_known_in_advance_is_read():
    """The load follows a switch that no past tells."""
    switch = np.random.default_rng(0).integers(0, 2, 800).astype(float)
    df = pd.DataFrame({"load": 100 + 50 * switch, "switch": switch}, pd.date_range("2024-01-01", periods=800, freq="h"))
    options = {**QUICK, "hidden_size": 16, "max_epochs": 25, "window": 6, "patience": None}
    forecaster = lab.Forecaster(**options).fit(df.iloc[:700], "load", future="switch")
    coming = df.loc[:, ["switch"]].iloc[700:710]
    forecast = forecaster.predict(future=coming)
    assert np.abs(forecast["load"] - df["load"].iloc[700:704]).max() < 20
    assert forecast.index.equals(df.index[700:704])
    with pytest.raises(
        ValueError, match=r"switch must be known for the 4 rows after the last observed target, .* no row"
    ):
        forecaster.predict()
    with pytest.raises(ValueError, match="there is no row for 2024-01-30 06"):
        forecaster.predict(future=coming.iloc[:2])
    with pytest.raises(ValueError, match="future: no column 'switch'"):
        forecaster.predict(future=coming.rename(columns={"switch": "other"}))
    with pytest.raises(ValueError, match="names no columns that are known in advance"):
        lab.Forecaster(**QUICK).fit(df, "load").predict(future=coming)


def test_a_calendar_needs_no_rows_to_come():
    forecaster = lab.Forecaster(**QUICK, calendar=["hour", "weekday"]).fit(hourly(), "load")
    assert forecaster.info_.known == ("hour sine", "hour cosine", "weekday sine", "weekday cosine")
    assert forecaster.predict().shape == (4, 1)


def test_many_series():
    both = pd.concat([hourly().assign(site=site, size=size, load=series(seed=size) * size)
                      for site, size in (("north", 1), ("south", 5))])  # fmt: skip
    forecaster = lab.Forecaster(**QUICK).fit(both, "load", id="site", static="size")
    forecast = forecaster.predict(levels=[90])
    assert forecast.index.names == ["site", None]
    assert forecast.loc["north"].index[0] == forecast.loc["south"].index[0] == pd.Timestamp("2024-01-13 12:00")
    assert forecast.loc["north", "load"].between(150, 250).all()
    assert forecast.loc["south", "load"].between(750, 1250).all()
    assert forecaster.predict(both[both.site == "south"]).shape == (4, 1)


def test_missing_values_and_gaps():
    df = hourly()
    df.iloc[[5, 299], 0] = np.nan
    with pytest.raises(ValueError, match="empty"):
        lab.Forecaster(**QUICK).fit(df, "load")
    for missing in ("forward_fill", "mask"):
        forecaster = lab.Forecaster(**QUICK, missing=missing, gaps="fill").fit(df.drop(df.index[20:24]), "load")
        forecast = forecaster.predict(levels=[80])
        assert forecast.notna().all().all()
        assert forecast.index[0] == pd.Timestamp("2024-01-13 11:00")  # After the last observed target.


# --- errors and conventions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (lambda f: f.fit(hourly()), "target is missing: name the column"),
        (lambda f: f.fit(hourly(), "lod"), "no column 'lod'; it has"),
        (lambda f: f.fit(hourly(), "load", time="when"), "df: no column 'when'; it has load"),
        (lambda f: f.fit(series(), "load"), "df: ndarray is not a DataFrame"),
        (lambda f: f.fit(hourly(20), "load"), "20 rows leave"),
        (lambda f: f.fit(hourly().sample(frac=1, random_state=0), "load"), "sort the rows by time"),
        (lambda f: f.set_params(horizon=0).fit(hourly(), "load"), "horizon: must be greater than or equal to 1"),
        (lambda f: f.set_params(cell="gruu").fit(hourly(), "load"), "Forecaster: model.cell: .*did you mean 'gru'"),
        (lambda f: f.set_params(anchor="season").fit(hourly(), "load"), "name a season"),
        (lambda f: f.fit(hourly(), "load").predict(hourly(10)), "10 rows, but the model reads 24"),
        (lambda f: f.fit(hourly(), "load").predict(levels=[0.8, 100]), "each must be a percentage"),
    ],
)
def test_what_is_wrong_is_a_value_error(fit, message):
    with pytest.raises(ValueError, match=message):
        fit(lab.Forecaster(**QUICK))


def test_scikit_learns_conventions(fitted):
    other = clone(fitted)
    assert other.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        other.predict()
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(fitted)).predict(levels=[80]), fitted.predict(levels=[80]))
    assert len(pickle.dumps(fitted)) < 200_000
    assert "window=24" in repr(fitted)


def test_parameters_reach_the_experiment():
    forecaster = lab.Forecaster(
        **{**QUICK, "max_epochs": 1}, seasons=[12], anchor="season", cell="gru", experiment={"task.loss": "huber"}
    )
    found = forecaster.fit(hourly(), "load").experiment_
    assert (found.data.window, found.data.horizon, found.data.seasons, found.data.test) == (24, 4, (12,), 0.0)
    assert (found.task.anchor, found.task.loss, found.model.cell.name) == ("season", "huber", "gru")


def test_the_examples_run():
    failed, attempted = doctest.testmod(lstm_lab.estimators.forecaster)
    assert (failed, attempted > 2) == (0, True)
