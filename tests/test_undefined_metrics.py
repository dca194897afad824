"""Metrics where they are not defined: series and classes are left out and named; the unit of the data changes none."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.base import Batch
from lstm_lab.data.kinds.tagged import TaggedSplit
from lstm_lab.data.preprocessing.scaling import series_scale, standardization
from lstm_lab.data.sources.csv_series import CSV
from lstm_lab.tasks.classification import ClassificationMetrics
from lstm_lab.tasks.forecast import Forecast
from lstm_lab.workflow import read_splits

ROWS, RELATIVE = 120, ("mase", "owa", "smape", "scaled_mse", "scaled_mae")


def wave(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=ROWS)
    return 50 + 10 * np.sin(2 * np.pi * np.arange(ROWS) / 7) + noise


def late(values: np.ndarray) -> np.ndarray:
    """Constant in training, other values afterwards."""
    return np.where(np.arange(ROWS) < 0.7 * ROWS, values[0], values)


SERIES = {
    "noisy": wave(0),
    "constant": late(wave(1)),
    "zero": late(np.where(np.arange(ROWS) < 0.7 * ROWS, 0.0, wave(2))),
    "intermittent": np.where(np.arange(ROWS) % 5 == 0, 3.0, 0.0) * (1 + np.arange(ROWS) % 3),
}


def build(path, series, missing="error", **options):
    """A data set of series of one target: name -> (N,); or of several targets, as columns."""
    times = pd.date_range("2024-01-01", periods=ROWS)
    if isinstance(series, pd.DataFrame):
        frame, more = series.assign(time=times), {"targets": list(series.columns)}
    else:
        frame = pd.concat([pd.DataFrame({"id": k, "time": times, "y": v}) for k, v in series.items()])
        more = {"targets": ["y"], "id": "id"}
    frame.to_csv(path / "t.csv", index=False)
    options = {"window": 21, "horizon": 3, "seasons": [7], **options}
    return CSV.Config(path=str(path / "t.csv"), time="time", missing=missing, **more, **options).build()


def baselines(dataset, split="validation"):
    task = Forecast.Config().build(dataset.info)
    return task.baselines(dataset.train, dataset.validation if split == "validation" else dataset.test_split())


def notes_of(dataset, split):
    """What the metrics say after scoring a split."""
    metrics = Forecast.Config().build(dataset.info).metrics()
    batch = split.take(torch.arange(len(split)))
    metrics.update(torch.zeros(len(split), metrics.info.horizon * len(metrics.info.targets)), batch)
    return {name: float(value) for name, value in metrics.compute().items()}, metrics.notes()


@pytest.mark.parametrize("factor", [1e-12, 1e-6, 1e-3, 1e3, 1e9, 1e12])
def test_the_unit_of_the_data_changes_no_relative_metric(tmp_path, factor):
    for number, chosen in enumerate([SERIES, {"noisy": SERIES["noisy"]}, {"intermittent": SERIES["intermittent"]}]):
        folders = [tmp_path / f"{number}-{unit}" for unit in (1, factor)]
        for folder in folders:
            folder.mkdir()
        scaled = {name: values * factor for name, values in chosen.items()}
        ours, theirs = (baselines(build(*pair)) for pair in zip(folders, (chosen, scaled), strict=True))
        for name, row in ours.items():
            for metric in RELATIVE & row.keys():
                assert theirs[name][metric] == pytest.approx(row[metric], rel=1e-4, abs=1e-6), (name, metric)
            assert theirs[name]["mae"] == pytest.approx(factor * row["mae"], rel=1e-4), name


def test_series_that_are_constant_in_training_are_left_out_of_mase_and_named(tmp_path):
    found = build(tmp_path, SERIES)
    assert found.info.num_unscaled == (2,)
    scores, notes = notes_of(found, found.validation)
    assert notes == [
        "mase and owa leave out 2 of 4 series of y: the seasonal naive forecast has no error in the training split "
        "(constant or exactly periodic)"
    ]
    assert scores["mase"] < 100
    rest = build(tmp_path, {name: SERIES[name] for name in ("noisy", "intermittent")})
    assert scores["mase"] == pytest.approx(notes_of(rest, rest.validation)[0]["mase"])


@pytest.mark.parametrize("values", [np.full(ROWS, 7.0), np.zeros(ROWS), np.sin(2 * np.pi * np.arange(ROWS) / 7)])
def test_mase_of_a_series_without_naive_error_is_not_a_number_and_no_choice_for_monitor(tmp_path, values):
    found = build(tmp_path, {"only": values})
    scores, notes = notes_of(found, found.validation)
    assert math.isnan(scores["mase"])
    assert math.isfinite(scores["scaled_mse"])
    assert notes[0].startswith("mase leaves out y: the seasonal naive forecast has no error")
    with pytest.raises(ConfigError, match=r"^task.monitor=mase is not defined"):
        Forecast.Config(monitor="mase").build(found.info)


def test_smape_of_zeros_is_zero(tmp_path):
    found = build(tmp_path, {"zero": np.zeros(ROWS), "noisy": SERIES["noisy"]})
    only = found.validation.take(torch.nonzero(found.validation.series == 0).flatten())
    metrics = Forecast.Config().build(found.info).metrics()
    metrics.update(torch.zeros(len(only.y), 3), only)
    assert float(metrics.compute()["smape"]) == 0


def test_scales_are_relative_to_the_values():
    rounding = 1e9 * (1 + 1e-16 * np.arange(20.0))[:, None]
    assert series_scale(rounding, ())[1:].flatten().tolist() == pytest.approx([1e9, 0.0])
    assert series_scale(np.zeros((5, 1)), ())[1:].flatten().tolist() == [0.0, 0.0]
    tiny = 1e-12 * wave(0)[:, None]
    assert series_scale(tiny, (7,))[:, 0] == pytest.approx(1e-12 * series_scale(wave(0)[:, None], (7,))[:, 0])
    _, std = standardization([tiny, tiny])
    assert std == pytest.approx(1e-12 * wave(0).std())
    assert standardization([np.full((9, 2), 0.1, np.float32)])[1].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("split", ["training", "validation"])
def test_a_split_without_a_value_is_refused_before_training(tmp_path, split):
    values = wave(0)
    values[slice(0, 84) if split == "training" else slice(84, 96)] = np.nan
    with pytest.raises(DataError, match=rf"t.csv: no value of y in the {split} split: provide values there"):
        read_splits(build(tmp_path, {"only": values}, missing="mask"))


def test_a_target_without_a_value_in_a_split_is_named_and_the_other_is_scored(tmp_path):
    two = pd.DataFrame({"a": wave(0), "b": wave(1)})
    for rows, split in ((slice(84, 96), "validation"), (slice(96, 120), "test")):
        dead = two.copy()
        dead.loc[dead.index[rows], "b"] = np.nan
        found = build(tmp_path, dead, missing="mask")
        read_splits(found)
        assert found.notes == (f"no value of b in the {split} split: it is not scored there",)
        scored = found.validation if split == "validation" else found.test_split()
        scores, notes = notes_of(found, scored)
        assert notes == ["b is not scored: it has no value in this split"]
        alone = build(tmp_path, two[["a"]])
        expected = notes_of(alone, alone.validation if split == "validation" else alone.test_split())[0]
        assert scores["mse"] == pytest.approx(expected["mse"])
        assert all(math.isfinite(row["mse"]) for row in baselines(found, split).values())


def test_a_target_without_a_value_in_training_is_neither_learned_nor_scored(tmp_path):
    two = pd.DataFrame({"a": wave(0), "b": wave(1)})
    two.loc[two.index[:84], "b"] = np.nan
    found = build(tmp_path, two, missing="mask")
    assert found.info.untrained == ("b",)
    assert found.notes == ("no value of b in the training split: it is neither learned nor scored",)
    task, batch = Forecast.Config().build(found.info), found.validation.take(torch.arange(4))
    wrong = torch.zeros(4, 3, 2)
    wrong[..., 1] = 1e6
    assert task.loss(wrong.flatten(1), batch) == task.loss(torch.zeros(4, 6), batch)
    scores, notes = notes_of(found, found.validation)
    assert notes == ["b is not scored: it has no value in the training split"]
    assert math.isfinite(scores["mse"])


def classification(y, classes=3):
    metrics = ClassificationMetrics([str(i) for i in range(classes)])
    torch.manual_seed(0)
    metrics.update(torch.randn(len(y), classes), Batch(torch.empty(0), torch.empty(0), torch.tensor(y)))
    return metrics.compute(), metrics.notes()


def test_classes_that_do_not_occur_are_left_out_of_auroc_and_counted():
    scores, notes = classification([0, 1, 0, 1])
    assert math.isfinite(scores["auroc"])
    assert notes == ["auroc leaves out 1 of 3 classes, which do not occur in this split"]
    scores, notes = classification([1, 1, 1])
    assert math.isnan(scores["auroc"])
    assert notes == ["auroc is not defined: one class alone occurs in this split"]
    assert classification([0, 1, 2])[1] == []


def test_labels_that_are_all_missing_are_no_targets():
    steps = [np.zeros((5, 2), np.float32)] * 3
    assert not TaggedSplit(steps, [np.full(5, -1)] * 3).has_targets
    assert TaggedSplit(steps, [np.full(5, -1)] * 2 + [np.zeros(5, np.int64)]).has_targets
