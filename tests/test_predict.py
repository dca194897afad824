"""Predictions: which rows a forecast is for, what names each row, and the same values by command and in Python."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest
from tables import data
from typer.testing import CliRunner

import lstm_lab as lab
from lstm_lab.__main__ import app
from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.kinds.new_samples import on_training_scale

QUIET = {"wandb": "disabled", "progress": False}
ONE = {"trainer": {"max_epochs": 1}, "model": {"hidden_size": 3}}


def hours(rows, first="2024-01-01", **columns):
    """A daily wave of load, with further columns."""
    t = np.arange(rows)
    load = 50 + 10 * np.sin(2 * np.pi * t / 24) + np.random.default_rng(0).normal(size=rows)
    return pd.DataFrame({"time": pd.date_range(first, periods=rows, freq="h"), "load": load, **columns})


# ---- the rows to come ------------------------------------------------------------------------------------------------

WIDE = {"time": "time", "targets": ("load",), "window": 24, "horizon": 6}


def test_the_input_of_a_forecast_is_that_of_the_window_which_ends_there(tmp_path):
    """With everything that is known ahead, at any row, from rows of the file and from a file of their own."""
    holiday = np.random.default_rng(1).integers(0, 2, 300)
    whole = hours(300, holiday=holiday, wind=np.random.default_rng(2).normal(size=300))
    whole.to_csv(tmp_path / "a.csv", index=False)
    trained = data(tmp_path / "a.csv", **WIDE, features=("wind",), future=("holiday",), calendar=("hour", "weekday"))
    for end in (60, 131):
        expected = trained._windows(0).take(np.array([end - 24])).x
        coming = whole.iloc[end : end + 9]
        blank = pd.concat([whole[:end], coming.assign(load=np.nan, wind=np.nan)])
        for samples in (
            trained.read_new(blank, trained.info),
            trained.read_new(blank[::-1], trained.info),
            trained.read_with_future(whole[:end], coming[["time", "holiday"]], trained.info),
            trained.read_with_future(whole[:end], whole[["time", "holiday"]], trained.info),
        ):
            (batch,) = samples.batches
            np.testing.assert_allclose(batch.x, expected, atol=1e-6)
            assert [time for time, _ in samples.keys[0]] == whole["time"][end : end + 6].tolist()
            assert samples.columns == ("time", "ahead")


def test_calendars_are_computed_for_the_rows_to_come(tmp_path):
    whole = hours(300)
    whole.to_csv(tmp_path / "a.csv", index=False)
    trained = data(tmp_path / "a.csv", **WIDE, calendar=("hour",))
    (batch,) = trained.read_new(whole[:100], trained.info).batches
    np.testing.assert_allclose(batch.x, trained._windows(0).take(np.array([76])).x, atol=1e-6)


REFUSED = {
    "no row": (lambda f: (f[:100], None), r"holiday must be known for the 6 rows after the last observed target, "
               r"2024-01-05 04:00:00 to 2024-01-05 09:00:00, but there is no row for 2024-01-05 04:00:00: add rows"),
    "too few rows": (lambda f: (f[:100], f[["time", "holiday"]][:103]), "no row for 2024-01-05 07:00:00"),
    "an empty cell": (lambda f: (f[:100], f[["time", "holiday"]].assign(holiday=np.nan)), "a cell is empty"),
    "two values": (
        lambda f: (pd.concat([f[:100], f[100:110].assign(load=np.nan)]), f[["time"]].assign(holiday=3)),
        r"future: row 101, column 'holiday': is 3\.0 here, but \d\.0 in DataFrame at the same time",
    ),
    "no column": (lambda f: (f[:100], f[["time"]]), "future: no column 'holiday'"),
    "no target": (lambda f: (f.assign(load=np.nan), None), "has no value of load"),
    "too short": (lambda f: (f[:20], f), "20 rows, but the model reads 24"),
    "no order": (lambda f: (f.sample(frac=1, random_state=0), f), "is earlier than the row before it"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_known_is_refused_by_one_line(make, message, tmp_path):
    whole = hours(300, holiday=np.random.default_rng(1).integers(0, 2, 300))
    whole.to_csv(tmp_path / "a.csv", index=False)
    trained = data(tmp_path / "a.csv", **WIDE, future=("holiday",))
    new, future = make(whole)
    with pytest.raises(DataError, match=message) as fault:
        trained.read_new(new, trained.info) if future is None else trained.read_with_future(new, future, trained.info)
    assert len(str(fault.value).splitlines()) == 1


def test_future_values_that_nothing_reads_are_refused(tmp_path):
    hours(300).to_csv(tmp_path / "a.csv", index=False)
    trained = data(tmp_path / "a.csv", **WIDE, calendar=("hour",))
    with pytest.raises(ConfigError, match=r"future: data\.future names no columns .*: leave it out"):
        trained.read_with_future(hours(300), hours(300), trained.info)


@pytest.mark.parametrize("missing", ["forward_fill", "mask"])
def test_an_empty_known_cell_is_treated_as_in_training(missing, tmp_path):
    whole = hours(300, price=np.random.default_rng(1).normal(size=300))
    whole.loc[[50, 102], "price"] = np.nan
    whole.to_csv(tmp_path / "a.csv", index=False)
    trained = data(tmp_path / "a.csv", **WIDE, future=("price",), missing=missing)
    (batch,) = trained.read_with_future(whole[:100], whole[["time", "price"]], trained.info).batches
    np.testing.assert_allclose(batch.x, trained._windows(0).take(np.array([76])).x, atol=1e-6)


# ---- runs ------------------------------------------------------------------------------------------------------------


def by_command(folder, file, *options):
    found = CliRunner().invoke(app, ["predict", str(folder), str(file), *options])
    assert found.exit_code == 0, found.output
    return found.stdout


def same(run, file, memory, **times):
    """By command as CSV and JSON, and in Python from the file and in memory: the same table."""
    table = run.predict(str(file))
    read = pd.read_csv(io.StringIO(by_command(run.path, file)), float_precision="round_trip", **times)
    pd.testing.assert_frame_equal(read, table, check_exact=True, check_dtype=False)
    rows = json.loads(by_command(run.path, file, "--json"))
    assert [list(row) for row in rows] == [table.columns.tolist()] * len(table)
    assert [row[table.columns[-1]] for row in rows] == table.iloc[:, -1].tolist()
    pd.testing.assert_frame_equal(run.predict(memory), table, check_dtype=False)
    return table


def test_every_series_of_a_file_is_forecast_with_its_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    months = pd.date_range("2004-01-31", periods=90, freq="ME")
    rng = np.random.default_rng(0)
    frame = pd.concat([
        pd.DataFrame({"shop": name, "month": months[: 90 - 5 * name], "sold": 1e9 + rng.normal(size=90 - 5 * name)})
        for name in (3, 1, 2)
    ], ignore_index=True)  # fmt: skip
    frame.to_csv("a.csv", index=False)
    run = lab.train(lab.Experiment(
        data={"name": "csv", "path": "a.csv", "time": "month", "id": "shop", "targets": ["sold"], "window": 12,
              "horizon": 3, "batch_size": 2},
        task={"name": "forecast", "output": "normal"}, **ONE,
    ), **QUIET)  # fmt: skip
    table = same(run, "a.csv", frame, parse_dates=["month"])
    assert table.columns.tolist() == ["shop", "month", "ahead", "sold", *(f"sold {q}%" for q in (5, 10, 90, 95))]
    assert table["shop"].tolist() == [3] * 3 + [1] * 3 + [2] * 3
    for name, rows in table.groupby("shop"):
        first = 90 - 5 * name
        assert rows["month"].tolist() == pd.date_range("2004-01-31", periods=93, freq="ME")[first : first + 3].tolist()
    assert (table["sold"] - 1e9).abs().max() < 10
    assert table["sold"].nunique() == 9
    assert "month,ahead,sold" in by_command(run.path, "a.csv")
    assert "3,2010-04-30,1," in by_command(run.path, "a.csv")


def test_known_columns_come_from_a_file_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = hours(200, holiday=np.random.default_rng(1).integers(0, 2, 200))
    whole[:190].to_csv("a.csv", index=False)
    whole[["time", "holiday"]][190:].to_csv("coming.csv", index=False)
    run = lab.train(lab.Experiment(
        data={"name": "csv", "path": "a.csv", **WIDE, "future": ["holiday"], "calendar": ["hour"]}, task="forecast",
        **ONE,
    ), **QUIET)  # fmt: skip
    found = CliRunner().invoke(app, ["predict", str(run.path), "a.csv"])
    assert isinstance(found.exception, DataError)
    assert "--future FILE" in str(found.exception)
    table = run.predict("a.csv", future="coming.csv")
    assert by_command(run.path, "a.csv", "--future", "coming.csv").count("\n") == 7
    pd.testing.assert_frame_equal(run.predict(whole[:190], future=whole[190:]), table, check_dtype=False)
    assert table["time"].tolist() == whole["time"][190:196].tolist()
    forecaster = lab.Forecaster(horizon=6, window=24, hidden_size=3, max_epochs=1, calendar=["hour"], random_state=0)
    forecaster.fit(whole[:190], "load", time="time", future="holiday", features=())
    assert forecaster.predict(future=whole[190:]).index.tolist() == table["time"].tolist()
    assert forecaster.predict(whole[:150], future=whole).index[0] == whole["time"][150]


def test_times_and_ids_come_in_the_dtypes_of_a_frame(tmp_path):
    zoned = hours(200, "2024-03-20").assign(time=lambda f: f["time"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"))
    periods = hours(200).assign(time=pd.period_range("1990-01", periods=200, freq="M"))
    for frame in (zoned, periods, zoned.set_index("time"), periods.set_index("time")):
        trained = lab.Forecaster(horizon=3, window=24, hidden_size=3, max_epochs=1, run_folder=tmp_path, random_state=0)
        column = "time" if "time" in frame else None
        trained.fit(frame, "load", time=column)
        table = trained.run_.predict(frame)
        expected = frame["time"] if column else frame.index
        assert table["time"].dtype == expected.dtype
        assert table["time"].tolist() == trained.predict().index.tolist()


# ---- kinds of data ---------------------------------------------------------------------------------------------------


def waves(seed=0, count=48):
    """Sequences (T, 2) of two classes."""
    rng = np.random.default_rng(seed)
    return [np.sin(np.arange(rng.integers(5, 9))[:, None] * (1 + i % 2)) + rng.normal(size=2) / 9 for i in range(count)]


def of_series(folder):
    frame = hours(200, holiday=np.random.default_rng(1).integers(0, 2, 200))
    frame[:190].to_csv("a.csv", index=False)
    frame["load"] = frame["load"].where(frame.index < 190)
    frame.to_csv("new.csv", index=False)
    config = {"name": "csv", "path": "a.csv", **WIDE, "future": ["holiday"], "calendar": ["weekday"]}
    return config, {"name": "forecast", "conformal": True}, "new.csv", frame


def of_sequences(folder):
    rows = [(f"p{i % 7}-{i}", "ab"[i % 2], *row) for i, x in enumerate(waves()) for row in x.tolist()]
    frame = pd.DataFrame(rows, columns=["who", "kind", "u", "v"])
    frame.to_csv("a.csv", index=False)
    config = {"name": "csv_sequences", "path": "a.csv", "id": "who", "label": "kind", "channels": ["u", "v"]}
    return config, "classify", "a.csv", frame


def of_ts(folder):
    lines = [",".join(map(repr, x[:, 0].tolist())) + ":" + ",".join(map(repr, x[:, 1].tolist())) for x in waves()]
    head = "@problemName a\n@timeStamps false\n@missing false\n@univariate false\n@dimensions 2\n@equalLength false\n"
    rows = [f"{line}:{'ab'[i % 2]}" for i, line in enumerate(lines)]
    (folder / "a.ts").write_text(head + "@classLabel true a b\n@data\n" + "\n".join(rows))
    return {"name": "ts", "path": "a.ts"}, "classify", "a.ts", waves()


def of_arrays(target, task):
    def make(folder):
        X = waves()
        y = {
            "class": ["a", "b"] * 24,
            "value": 1e9 + np.arange(96.0).reshape(48, 2),
            "tag": [["ab"[i % 2]] * len(x) for i, x in enumerate(X)],
        }
        np.savez("new.npz", X=np.concatenate(X), lengths=[len(x) for x in X])
        config = lab.data.arrays(X, y[target], target=target, folder=folder)
        return config.model_dump(mode="json"), task, "new.npz", X

    return make


def of_texts(folder):
    texts = [f"w{i % 5} {('good', 'bad')[i % 2]} w{i % 3}, w{i}" for i in range(60)]
    pd.DataFrame({"text": texts, "label": ["+", "-"] * 30}).to_csv("a.csv", index=False)
    return {"name": "csv_text", "path": "a.csv"}, "classify", "a.csv", texts


def of_named_texts(folder):
    config, task, file, _ = of_texts(folder)
    frame = pd.read_csv(file).assign(message=range(100, 160))
    frame.to_csv(file, index=False)
    return {**config, "id": "message"}, task, file, frame.set_index("message")


KINDS = {
    "series": of_series, "sequences": of_sequences, "ts": of_ts, "classes": of_arrays("class", "classify"),
    "values": of_arrays("value", "regress"), "tags": of_arrays("tag", "tag"), "texts": of_texts,
    "named texts": of_named_texts,
}  # fmt: skip


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_the_command_and_python_give_the_same_values(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config, task, file, memory = make(tmp_path)
    run = lab.train(lab.Experiment(data=config, task=task, **ONE), **QUIET)
    dates = {"parse_dates": ["time"]} if config["name"] == "csv" else {}
    table = same(run, file, memory, **dates)
    if config.get("id"):
        assert table.columns[0] == config["id"]
        assert table.iloc[0, 0] in (100, "p0-0")
    probabilities = table.filter(like="probability")
    assert table.notna().all().all()
    assert len(table) == {"forecast": 6, "tag": sum(map(len, waves()))}.get(run.config.task.name, len(table))
    if probabilities.shape[1]:
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
        assert ("probability " + table["label"] == probabilities.idxmax(axis=1)).all()
    elif config["name"] == "arrays":
        assert table.columns.tolist() == ["sequence", "y1", "y2"]
        assert (table["y1"] - 1e9).abs().max() < 1000
        assert table["y1"].nunique() > 40


@pytest.mark.parametrize(
    ("config", "task"),
    [
        ({"name": "text_stream", "path": "a.txt"}, "next_step"),
        ({"name": "embedded_reber", "train_size": 20, "eval_size": 5}, "next_step"),
        ({"name": "parity", "train_size": 20, "eval_size": 5}, "tag"),
        ({"name": "adding", "train_size": 20, "eval_size": 5}, "regress"),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else value,
)
def test_data_without_files_of_new_samples_say_so(config, task, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("the cat sat on the mat. " * 60)
    run = lab.train(lab.Experiment(data=config, task=task, **ONE), **QUIET)
    dataset = run.config.data.build()
    assert dataset.restore_info(run.data["info"]) == dataset.info
    assert run.learner().task.output_size == dataset.info.input_size or task in ("tag", "regress")
    for options in ([], ["--future", "a.txt"]):
        found = CliRunner().invoke(app, ["predict", str(run.path), "a.txt", *options])
        assert isinstance(found.exception, ConfigError)
        assert len(str(found.exception).splitlines()) == 1
        assert ("in Python" in str(found.exception)) or options
    if task != "next_step":
        X = dataset.validation.take(np.arange(3)).x.numpy()
        assert run.predict(list(X)).columns[0] == "sequence"


@pytest.mark.parametrize(("mean", "std"), [((0.5,), ()), ((), (2.0,)), ((0.5,), (2.0, 1.0))])
def test_a_record_that_lost_a_part_of_the_scale_predicts_nothing(mean, std):
    with pytest.raises(DataError, match=rf"has {len(mean)} means and {len(std)} standard deviations: restore a copy"):
        on_training_scale([np.ones((3, 1))], 1, mean, std, "new.csv")
