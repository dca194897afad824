"""Tables with a row for each series and a column for each step."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.inspection import inspect
from lstm_lab.experiment import Experiment

LENGTHS = (60, 70, 80)
DAYS = [f"{day.month}/{day.day}/{day.year % 100}" for day in pd.date_range("2020-01-22", periods=80)]


def wide(names):
    """A row for each series of `LENGTHS`, whose value at step t is 100 s + t; and the names of its columns."""
    rows = [[100 * s + t if t < length else np.nan for t in range(80)] for s, length in enumerate(LENGTHS)]
    return pd.DataFrame(rows, columns=names)


def build(path, frame, **choices):
    frame.to_csv(path, index=False)
    content = {"name": "csv_wide_series", "path": str(path), "window": 12, "horizon": 4, **choices}
    return Experiment.of({"data": content, "task": "forecast"}).data.build()


def test_a_row_is_a_series_up_to_its_last_value(tmp_path):
    frame = wide([f"V{k}" for k in range(2, 82)])
    frame.insert(0, "V1", ["H1", "H2", "H3"])
    found = build(tmp_path / "m4.csv", frame, id="V1", steps="V")
    assert (found.series.names, found.series.rows) == (("H1", "H2", "H3"), LENGTHS)
    np.testing.assert_allclose(found.series.values[:, 0], np.concatenate([100 * s + np.arange(n) for s, n in
                                                                          enumerate(LENGTHS)]))  # fmt: skip
    new = found.read_new(frame, found.info)
    assert new.columns == ("V1", "time", "ahead")
    assert [keys[0] for keys in new.keys] == [("H1", 62, 1), ("H2", 72, 1), ("H3", 82, 1)]


def test_dates_in_the_header_are_the_times_and_other_columns_are_left_out(tmp_path):
    frame = wide(DAYS)
    frame.insert(0, "Lat", [1.5, 2.5, 3.5])
    frame.insert(0, "Country", ["Chad", "Peru", "Fiji"])
    found = build(tmp_path / "covid.csv", frame, id="Country", calendar=["weekday"])
    assert found.series.step == "1 day"
    assert found.info.known == ("weekday sine", "weekday cosine")
    keys = found.read_new(str(tmp_path / "covid.csv"), found.info).keys
    assert [str(time) for _, time, _ in keys[2][:2]] == ["2020-04-11 00:00:00", "2020-04-12 00:00:00"]


def test_static_words_and_unnamed_rows(tmp_path):
    frame = wide([f"d_{k}" for k in range(1, 81)])
    frame["kind"] = ["food", "toys", "food"]
    found = build(tmp_path / "m5.csv", frame, steps="d", static=["kind"], categorical=["kind"])
    assert found.series.names == ("1", "2", "3")
    assert [name for name in found.info.known if name.startswith("kind")] == list(found.info.known)


@pytest.mark.parametrize(
    ("change", "choices", "message"),
    [
        (lambda f: f.assign(d_3=[1, "x", 3]), {}, "line 3, column 'd_3': 'x' is not a number"),
        (lambda f: f.assign(d_3=[1, np.nan, 3]), {}, "line 3, column 'd_3': the cell is empty"),
        (lambda f: f.assign(name=["a", "b", "a"]), {}, "line 4, column 'name': 'a' is also the series of line 2"),
        (lambda f: f, {"steps": "week"}, "no column is a step, as week1 would be"),
        (lambda f: f.assign(**dict.fromkeys(f.columns[1:], np.nan)), {}, "no step of the series has a value"),
        (lambda f: f, {"window": 60}, "series 'a': 60 rows leave 42 for the training split"),
    ],
)
def test_errors_name_the_row_and_the_step(tmp_path, change, choices, message):
    frame = wide([f"d_{k}" for k in range(1, 81)])
    frame.insert(0, "name", ["a", "b", "c"])
    with pytest.raises(DataError, match=message):
        _ = build(tmp_path / "x.csv", change(frame), **{"id": "name", "steps": "d", **choices}).info


def test_empty_cells_within_a_series_are_filled(tmp_path):
    frame = wide([f"d_{k}" for k in range(1, 81)])
    frame.loc[1, "d_3"] = np.nan
    values = build(tmp_path / "x.csv", frame, steps="d", missing="forward_fill").series.values[:, 0]
    assert values[60 + 2] == values[60 + 1]


def test_fields_that_do_not_fit_are_refused():
    for more, said in (
        ({"categorical": "kind"}, "names 'kind', which is not in static"),
        ({"gaps": "fill"}, "missing=error refuses"),
        ({"id": "a", "static": "a"}, "'a' is named twice in id and static"),
    ):
        with pytest.raises(ConfigError, match=said):
            Experiment.of({"data": {"name": "csv_wide_series", "path": "x", **more}, "task": "forecast"})


@pytest.mark.parametrize(
    ("names", "first", "fields"),
    [
        (DAYS, "Country", {"id": "Country"}),
        ([str(year) for year in range(1940, 2020)], "Country Name", {"id": "Country Name"}),
        ([f"V{k}" for k in range(2, 82)], "V1", {"id": "V1", "steps": "V"}),
        ([f"d_{k}" for k in range(1, 81)], "id", {"id": "id", "steps": "d"}),
    ],
)
def test_inspect_recognises_series_in_rows(tmp_path, monkeypatch, names, first, fields):
    monkeypatch.chdir(tmp_path)
    frame = wide(names)
    frame.insert(0, first, ["Chad", "Peru", "Fiji"])
    frame.to_csv("x.csv", index=False)
    data = inspect("x.csv").experiment["data"]
    assert {"name": "csv_wide_series", **fields}.items() <= data.items()
    assert ("steps" in data) == ("steps" in fields)
    built = Experiment.of({"data": data, "task": "forecast"}).data.build()
    assert len(built.train)
    assert len(built.validation)
    assert len(built.test_split())


def test_a_table_with_a_class_is_still_one_of_labelled_sequences(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pd.concat([wide([f"t{k}" for k in range(80)]).fillna(0)] * 4)
    frame.insert(0, "label", ["a", "b", "c"] * 4)
    frame.to_csv("x.csv", index=False)
    assert inspect("x.csv").experiment["data"]["name"] == "csv_wide"
