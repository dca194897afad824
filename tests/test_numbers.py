"""Numbers that are read: thousands separators, sizes that overflow, digits that float32 does not have."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from tables import data, series, table

from lstm_lab.config import DataError, parse_overrides
from lstm_lab.data import Dataset, arrays
from lstm_lab.data.base import Batch
from lstm_lab.data.inspection import inspect
from lstm_lab.data.kinds.sequence_regression import RegressionInfo
from lstm_lab.data.preprocessing.scaling import standardization
from lstm_lab.tasks.base import score
from lstm_lab.tasks.forecast import Forecast
from lstm_lab.tasks.regress import Regress

# ---- thousands -------------------------------------------------------------------------------------------------------

COUNTS = ["987", "1,012", "1,003", "999"] * 10


@pytest.mark.parametrize(
    ("cells", "choices", "message"),
    [
        (
            COUNTS,
            {"separator": "\t", "decimal": ","},
            r"line 3, column 'y': '1,012' may be 1012 or 1\.012, as '987'",
        ),
        (["-987", "-1,012"] * 20, {"separator": ";", "decimal": ","}, "'-1,012' may be -1012 or"),
        (
            [cell.replace(",", ".") for cell in COUNTS],
            {},
            r"line 3, column 'y': '1\.012' may be 1012 or 1\.012, as '987'",
        ),
        (COUNTS, {"separator": ";"}, "'1,012' is not a number .*: if the comma separates thousands, set .*; if the"),
        (
            ["1,012,500", "3"] * 20,
            {"separator": ";"},
            r"'1,012,500' is not a number .*: if the comma separates thousands, set data.thousands=','$",
        ),
        (
            ["1,012.5", "3"] * 20,
            {"separator": ";"},
            r"'1,012\.5' is not a number .*: if the comma separates thousands, set data.thousands=','$",
        ),
        (["1.012.500", "3"] * 20, {"decimal": ",", "separator": ";"}, r"'1\.012\.500' is not a number"),
    ],
)
def test_thousands_are_not_read_as_decimals(cells, choices, message, tmp_path):
    mark = choices.get("separator", ",")
    content = table(range(40), cells).replace(",", mark, 1)
    content = "\n".join([f"t{mark}y", *(f"{t}{mark}{cell}" for t, cell in enumerate(cells)), ""])
    with pytest.raises(DataError, match=message) as fault:
        series(tmp_path / "a.csv", content, **choices)
    assert len(str(fault.value).splitlines()) == 1


DECIMALS = {
    "one with two decimals": ["1.012", "987", "3.25"],
    "one below one": ["1.012", "987", "0.125"],
    "all with three": ["1.012", "987.000", "4.500"],
    "one above a thousand": ["1.012", "1012", "5"],
    "zeros": ["1.012", "0", "12.500"],
    "no whole ones": ["45.362", "46.409", "41.284"],
    "exponents": ["1.012e3", "987", "1e3"],
}


@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("cells", DECIMALS.values(), ids=DECIMALS)
def test_decimals_are_read(cells, decimal, tmp_path):
    content = table(range(39), [cell.replace(".", decimal) for cell in cells * 13]).replace(",", ";", 1)
    lines = [f"{t};{cell.replace('.', decimal)}" for t, cell in enumerate(cells * 13)]
    content = "\n".join(["t;y", *lines, ""])
    found = series(tmp_path / "a.csv", content, separator=";", decimal=decimal)
    assert found.values[:3, 0].tolist() == [float(cell) for cell in cells]


def test_typed_numbers_have_no_marks(tmp_path):
    rows = [{"t": t, "y": (987, 1.012)[t % 2]} for t in range(40)]
    assert series(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows))).values[1, 0] == 1.012


def test_inspection_does_not_guess_what_a_comma_is(tmp_path):
    def write(name, columns):
        pd.DataFrame({"date": pd.date_range("2020-01-01", periods=60), **columns}).to_csv(
            tmp_path / name, sep="\t", index=False
        )
        return str(tmp_path / name)

    ambiguous = write("a.tsv", {"units": ["1,000", "1,049", "1,100"] * 20})
    with pytest.raises(
        DataError, match=r"'1,000' may be 1000 or 1\.000, and no row decides which: set thousands=',' or decimal=','"
    ):
        inspect(ambiguous)
    assert inspect(ambiguous, {"decimal": ","}).experiment["data"]["decimal"] == ","
    decided = write("b.tsv", {"units": ["1,000", "1,049", "1,100"] * 20, "price": ["0,5", "12,25", "3,1"] * 20})
    assert inspect(decided).experiment["data"]["decimal"] == ","


# ---- sizes -----------------------------------------------------------------------------------------------------------

HUGE = (1e300, -1e101)


@pytest.mark.parametrize("value", HUGE)
def test_numbers_whose_squares_overflow_are_refused_where_they_are_read(value, tmp_path):
    with pytest.raises(DataError, match=r"line 7, column 'y': '-?1e\+?\d+' is larger than 1e\+100 \(1 in total\)"):
        series(tmp_path / "a.csv", table(range(40), [*range(5), value, *range(34)]))
    X = np.random.default_rng(0).normal(size=(12, 5, 1))
    X[3, 2] = value
    with pytest.raises(DataError, match=r"X\[3\]: step 2, channel 0 is .*larger than 1e\+100"):
        arrays(X, ["a", "b"] * 6)
    np.savez(tmp_path / "a.npz", X=np.arange(40.0).reshape(20, 2, 1), y=[1.0, value, *range(18)])
    config = Dataset.members["arrays"].Config(path=str(tmp_path / "a.npz"), target="value")
    with pytest.raises(DataError, match=r"y\[1\]: is"):
        _ = config.build().info


@pytest.mark.parametrize("row", [5, 35])
def test_a_value_that_hides_all_others_is_refused(row, tmp_path):
    """In training, all others become one number in float32; behind it, the loss overflows."""
    values = list(np.random.default_rng(0).normal(50, 5, 40))
    values[row] = 1e40
    (tmp_path / "a.csv").write_text(table(range(40), values))
    found = data(tmp_path / "a.csv")
    message = "'y': has 1e.40, but half" if row < 28 else "row 36, column 'y': 1e.40 is .* standard deviations"
    with pytest.raises(DataError, match=message):
        _ = found.info, found.train, found.test_split()


def test_a_sequence_that_hides_all_others_is_refused():
    X = np.random.default_rng(0).normal(size=(40, 5, 2))
    X[7, 2, 1] = 1e40
    for y, target in (
        (["a", "b"] * 20, "class"),
        (np.arange(40.0), "value"),
        (np.tile([[0, 1, 0, 1, 1]], (40, 1)), "tag"),
    ):
        with pytest.raises(DataError, match=r"channel 2: (has 1e\+40|1e\+40 is)"):
            arrays(X, y, target=target).build().test_split()


def test_small_channels_keep_their_scale():
    X = [1e-12 * np.random.default_rng(0).normal(size=(50, 1)), np.ones((20, 1)) * 0]
    _, std = standardization(X)
    assert std == pytest.approx(np.concatenate(X).std(0))
    assert standardization([np.full((9, 2), 3.0)])[1].tolist() == [1, 1]


# ---- digits ----------------------------------------------------------------------------------------------------------


def test_targets_near_a_billion_keep_their_digits(tmp_path):
    values = 1e9 + np.random.default_rng(0).normal(size=60)
    (tmp_path / "a.csv").write_text(table(range(60), [repr(float(value)) for value in values]))
    found = data(tmp_path / "a.csv")
    task = Forecast(found.info, monitor="scaled_mse", loss="mse")
    batch = found.validation.take(torch.arange(len(found.validation)))
    rows = np.array(task.predictions(batch.y.flatten(1), batch))
    expected = values[found.validation.target_rows().numpy()]
    np.testing.assert_allclose(rows[..., 0], expected, atol=1e-6, rtol=0)
    content = task.examples([(batch.y.flatten(1), batch)])
    np.testing.assert_allclose(
        content["windows"][0]["target"], content["windows"][0]["predictions"][0], atol=1e-6, rtol=0
    )
    assert len(set(content["windows"][0]["past"])) == 3


def test_regression_targets_near_a_billion_keep_their_digits():
    y = 1e9 + np.random.default_rng(0).normal(size=(60, 1))
    found = arrays(np.random.default_rng(1).normal(size=(60, 4, 1)), y).build()
    task = Regress(found.info, monitor="mse")
    batch = found.train.take(torch.arange(len(found.train)))
    mean, std = found.info.target_mean[0], found.info.target_std[0]
    logits = ((batch.y - mean) / std).float()
    restored = task.postprocess(logits, batch)
    np.testing.assert_allclose(restored, batch.y, atol=1e-6, rtol=0)
    assert score(task.metrics(), restored, batch)["mae"] < 1e-6
    assert float(task.loss(restored + std, batch)) == pytest.approx(1, rel=1e-6)
    assert task.loss(restored, batch).dtype == torch.float32
    assert [row for (row,) in task.predictions(restored)] == restored.tolist()
    baselines = task.baselines(found.train, found.train)
    assert baselines["training mean"]["mse"] == pytest.approx(float(batch.y.var(correction=0)), rel=1e-6)
    plain = Regress(RegressionInfo(1, ("y",)), monitor="mse")
    assert plain.postprocess(logits, Batch(logits, logits, logits)) is logits


def test_an_inspection_shows_all_digits(tmp_path):
    values = [1000000000.026351, 999999999.0, 1234567.0] * 20
    (tmp_path / "a.csv").write_text(table(range(60), values))
    column = inspect(str(tmp_path / "a.csv"), {"targets": ["y"], "time": "t"}).columns[1]
    assert [column.low, column.high] == ["1234567", "1000000000.026351"]


@pytest.mark.parametrize("mark", ",;|-")
def test_a_mark_needs_no_quotes_that_a_shell_would_remove(mark):
    assert parse_overrides([f"data.decimal={mark}", "data.id=~"]) == [("data.decimal", mark), ("data.id", None)]
