"""Words in tables of users are channels; series that are short."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tables import data, series

from lstm_lab.config import ConfigError, DataError, Notice
from lstm_lab.config.validation import validate
from lstm_lab.data.sources.csv_series import CSV


def with_words(n=60, **columns):
    words = {"weather": ["sun", "rain", "none"], "promo": ["True", "False"], **columns}
    repeated = {name: [cells[i % len(cells)] for i in range(n)] for name, cells in words.items()}
    return pd.DataFrame({"t": range(n), "y": np.arange(n) % 7 + 0.5, **repeated})


def test_words_are_channels_of_the_training_rows(tmp_path):
    frame = with_words()
    frame.loc[50, "weather"] = "hail"
    frame.to_csv(tmp_path / "a.csv", index=False)
    dataset = data(tmp_path / "a.csv", features="promo,weather", categorical="weather")
    assert dataset.info.columns == ("y", "promo", "weather=none", "weather=rain", "weather=sun")
    theirs = pd.get_dummies(frame["weather"], dtype=float)[["none", "rain", "sun"]]
    np.testing.assert_array_equal(dataset.series.values[:, 2:], theirs)
    np.testing.assert_array_equal(dataset.series.values[:, 1], frame["promo"] == "True")
    assert "column 'weather': 'hail' (1 rows) is not among the words of the training rows" in dataset.notes[0]


def test_a_forecast_has_the_channels_of_training(tmp_path):
    with_words().to_csv(tmp_path / "a.csv", index=False)
    dataset = data(tmp_path / "a.csv", features=("weather",), future=("promo",), categorical=("weather", "promo"),
                   missing="mask")  # fmt: skip
    new = with_words(65, weather=["hail", "sun", ""])
    new.loc[60:, "y"] = np.nan
    new.to_csv(tmp_path / "b.csv", index=False)
    with pytest.warns(Notice, match=r"'hail' \(22 rows\) is not among the words"):
        batch = next(iter(dataset.read_new(str(tmp_path / "b.csv"), dataset.info).batches))
    names, info = list(dataset.info.columns), dataset.info
    values = batch.x[0, :, : len(names)].double().numpy() * info.std + info.mean
    masked = batch.x[0, :, len(names) :].bool().numpy()
    sun, promo = names.index("weather=sun"), names.index("promo=True")
    assert values[:3, sun].round(6).tolist()[:2] == [0, 1]
    assert masked[:3, sun].tolist() == [False, False, True]
    assert values[3:, promo].round(6).tolist() == [1, 0]


def test_words_that_cannot_be_channels_are_refused(tmp_path):
    with_words().to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match=r"line 2, column 'weather': 'sun' is a word: .*data\.categorical"):
        data(tmp_path / "a.csv", features="weather").read()
    with pytest.raises(ConfigError, match="names 'weather', which is none of features, static and future"):
        validate(CSV.Config, {"path": "a.csv", "time": "t", "targets": "y", "categorical": "weather"}, "x.yaml")
    with_words(900, weather=[f"w{i}" for i in range(900)]).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(DataError, match="column 'weather' has 630 different values in the training rows"):
        data(tmp_path / "b.csv", features="weather", categorical="weather").read()


def test_words_that_are_constant_within_a_series(tmp_path):
    frames = [with_words(40).assign(shop=shop, town=town) for shop, town in (("a", "Ulm"), ("b", "Ulm"), ("c", "Bonn"))]
    pd.concat(frames).to_csv(tmp_path / "a.csv", index=False)
    dataset = data(tmp_path / "a.csv", id="shop", static="town", categorical="town")
    assert dataset.info.known == ("town=Bonn", "town=Ulm")
    assert dataset.series.values[[0, 40, 80], 1:].tolist() == [[0, 1], [0, 1], [1, 0]]


def test_short_series_are_left_out_by_choice(tmp_path):
    lengths = {"long": 60, "short": 8, "other": 50}
    (tmp_path / "a.csv").write_text(
        "i,t,y\n" + "".join(f"{name},{t},{t % 7}\n" for name, rows in lengths.items() for t in range(rows))
    )
    with pytest.raises(DataError, match=r"series 'short': 8 rows leave .*or set data\.short_series=drop"):
        _ = data(tmp_path / "a.csv", id="i").series
    dataset = data(tmp_path / "a.csv", id="i", window=10, short_series="drop")
    assert dataset.series.names == ("long", "other")
    assert dataset.notes[0] == "1 of 3 series have too few rows and are left out: 'short'"
    with pytest.warns(
        Notice, match="1 series have fewer rows than the 10 that the model reads and are left out: 'short'"
    ):
        keys = dataset.read_new(str(tmp_path / "a.csv"), dataset.info).keys
    assert [key[0][:2] for key in keys] == [("long", 60), ("other", 50)]
    with pytest.raises(DataError, match="series 'long': 60 rows leave"):
        _ = data(tmp_path / "a.csv", id="i", window=100, short_series="drop").series
    with pytest.raises(ConfigError, match="short_series=drop would have no effect"):
        validate(CSV.Config, {"path": "a.csv", "time": "t", "targets": "y", "short_series": "drop"}, "x.yaml")


def test_a_row_of_data_that_skipfooter_leaves_out_is_said(tmp_path):
    with pytest.warns(Notice, match=r"line 4 is written as the rows beside it, but data.skipfooter=1 leaves it out"):
        _ = series(tmp_path / "x.csv", "t,y\n0,1.5\n1,-2\n2,3\n", skipfooter=1)
