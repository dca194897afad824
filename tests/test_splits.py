"""How own data are split: at dates and rows, by files, by groups, and with classes that the training split lacks."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from texts import corpus

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.preprocessing.splits import assign_splits
from lstm_lab.experiment import Experiment


def build(task="classify", **data):
    return Experiment.of({"data": data, "task": task}).data.build()


# --- series -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def days(tmp_path):
    """A year of days without the first of May."""
    frame = pd.DataFrame({"date": pd.date_range("2017-01-01", "2017-12-31"), "y": np.arange(365.0)})
    frame.drop(index=120).to_csv(tmp_path / "days.csv", index=False)
    return {"name": "csv", "path": str(tmp_path / "days.csv"), "time": "date", "targets": ["y"], "window": 7,
            "horizon": 2, "missing": "mask", "gaps": "fill"}  # fmt: skip


POINTS = {
    "dates": {"validation_from": "2017-07-01", "test_from": "2017-10-01", "until": "2017-12-01"},
    "rows": {"validation_from": 181, "test_from": 273, "until": 334},
}


@pytest.mark.parametrize("split", POINTS.values(), ids=POINTS)
def test_a_series_is_split_at_dates_or_at_rows_and_a_tail_is_left_out(days, split):
    data = build("forecast", **days, split=split)
    assert data.split_ends(data.series) == [(181, 273, 334)]
    mean, std = data.info.mean[0], data.info.std[0]
    splits = {"train": data.train, "validation": data.validation, "test": data.test_split()}
    found = {name: one.take(torch.arange(len(one))).y * std + mean for name, one in splits.items()}
    assert found["train"].nan_to_num(0).max().round() == 180
    assert (found["validation"].min().round(), found["validation"].max().round()) == (181, 272)
    assert (found["test"].min().round(), found["test"].max().round()) == (273, 333)


def test_each_of_many_series_is_split_at_the_same_date_and_a_file_to_predict_at_none(tmp_path, days):
    frame = pd.read_csv(days["path"])
    both = pd.concat([frame.assign(id="a"), frame.iloc[100:].assign(id="b")])
    both.to_csv(tmp_path / "two.csv", index=False)
    options = {**days, "path": str(tmp_path / "two.csv"), "id": "id"}
    data = build("forecast", **options, split=POINTS["dates"])
    assert data.split_ends(data.series) == [(181, 273, 334), (81, 173, 234)]
    new = frame.iloc[:20].assign(id="a")
    assert len(data.read_new(new, data.info).keys) == 1


def test_without_test_from_there_is_no_test_split_and_a_late_end_leaves_nothing_out(days):
    data = build("forecast", **days, split={"validation_from": "2017-07-01", "until": "2019-01-01"})
    assert data.split_ends(data.series) == [(181, 365, 365)]
    assert not data.has_test_split


WRONG = {
    "order": ({"validation_from": 9, "test_from": 5}, "test_from=5 is not after validation_from=9"),
    "mixed": ({"validation_from": 9, "test_from": "2017-10-01"}, "mixes dates and numbers of rows"),
    "no date": ({"validation_from": "July"}, "'July' is neither a number of rows nor a date"),
    "outside": (
        {"validation_from": "2030-01-01"},
        "data.split.validation_from=2030-01-01 is outside of the rows, 2017",
    ),
    "rows outside": ({"validation_from": 900}, "data.split.validation_from=900 is outside of the rows, 0 to 364"),
}


@pytest.mark.parametrize(("split", "message"), WRONG.values(), ids=WRONG)
def test_points_that_cannot_be_are_one_line(days, split, message):
    with pytest.raises((ConfigError, DataError), match=message):
        _ = build("forecast", **days, split=split).series


def test_points_and_fractions_exclude_each_other_and_dates_need_dates(days):
    with pytest.raises(ConfigError, match="validation and test, which are fractions, have no effect beside split"):
        build("forecast", **days, split={"validation_from": 181}, test=0.3)
    with pytest.raises(DataError, match=r"taylor: data.split.validation_from=2017-07-01 is a date, but the data have"):
        _ = build("forecast", name="taylor", split={"validation_from": "2017-07-01"}).series


# --- groups -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [3, 4, 5, 10])
@pytest.mark.parametrize("classes", [1, 2, 4])
def test_few_groups_are_split_and_none_is_torn_apart(groups, classes):
    group = np.repeat(np.arange(groups), 12)
    labels = np.tile(np.arange(12) % classes, groups)
    splits = assign_splits(labels, group, None, (0.1, 0.2), "t.csv", "sequences")
    assert set(splits) == {0, 1, 2}
    assert all(len(set(splits[group == one])) == 1 for one in range(groups))
    assert (splits == 0).sum() >= len(splits) / 3
    assert set(labels[splits == 0]) == set(range(classes))


def test_a_class_of_one_group_stays_in_training_where_it_can():
    labels, group = np.array([0, 1, 0, 1, 2, 2, 0, 1]), np.array([0, 0, 1, 1, 2, 2, 3, 3])
    splits = assign_splits(labels, group, None, (0.1, 0.2), "t.csv", "sequences")
    assert set(splits) == {0, 1, 2}
    assert set(splits[labels == 2]) == {0}


def test_two_groups_are_too_few_for_three_splits():
    with pytest.raises(DataError, match=r"t.csv: 2 groups of texts leave none for the test or the training split"):
        assign_splits(np.arange(8) % 2, np.arange(8) // 4, None, (0.1, 0.2), "t.csv", "texts")


# --- files ------------------------------------------------------------------------------------------------------------


def write(path, rows):
    pd.DataFrame(rows, columns=["text", "label"]).to_csv(path, index=False)


def test_files_of_texts_give_the_splits(tmp_path):
    rows = corpus(60)
    for name, part in (("train", rows[:40]), ("dev", rows[40:50]), ("test", rows[50:])):
        write(tmp_path / f"{name}.csv", part)
    options = {"name": "csv_text", "path": str(tmp_path / "train.csv"), "test_path": str(tmp_path / "test.csv")}
    data = build(**options, validation_path=str(tmp_path / "dev.csv"))
    assert data.train.texts() == [text for text, _ in rows[:40]]
    assert data.validation.texts() == [text for text, _ in rows[40:50]]
    assert data.test_split().texts() == [text for text, _ in rows[50:]]
    drawn = build(**options)
    assert len(drawn.train) + len(drawn.validation) == 40
    assert data.digest != drawn.digest
    with pytest.raises(ConfigError, match=r"test=0.5 has no effect beside test_path"):
        build(**options, test=0.5)


def test_folders_of_texts_give_the_splits(tmp_path):
    for number, (text, label) in enumerate(corpus(40)):
        folder = tmp_path / ("one" if number < 30 else "two") / label
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.txt").write_text(text)
    data = build(name="text_folder", path=str(tmp_path / "one"), test_path=str(tmp_path / "two"))
    assert (len(data.train) + len(data.validation), len(data.test_split())) == (30, 10)


def test_a_named_split_and_a_file_of_it_exclude_each_other(tmp_path):
    frame = pd.DataFrame(corpus(40), columns=["text", "label"])
    frame.assign(part=["train", "train", "test", "test"] * 10).to_csv(tmp_path / "a.csv", index=False)
    write(tmp_path / "b.csv", corpus(10, seed=1))
    options = {"name": "csv_text", "path": str(tmp_path / "a.csv"), "split": "part"}
    with pytest.raises(DataError, match=r"names a test split, but data.test_path names a file of it"):
        _ = build(**options, test_path=str(tmp_path / "b.csv")).info
    data = build(**options, validation_path=str(tmp_path / "b.csv"))
    assert (len(data.train), len(data.validation), len(data.test_split())) == (20, 10, 20)


# --- classes and groups that given splits tear apart -----------------------------------------------------------------


def test_a_class_of_the_test_split_alone_counts_as_an_error_and_is_said(tmp_path):
    rows = corpus(40)
    write(tmp_path / "train.csv", rows[:30])
    write(tmp_path / "test.csv", [*rows[30:], ("neither good nor bad", "neutral")])
    data = build(name="csv_text", path=str(tmp_path / "train.csv"), test_path=str(tmp_path / "test.csv"))
    assert data.info.classes == ("neutral", "no", "yes")
    assert data.info.counts[0] == 0
    assert data.notes[0] == "class 'neutral' is not in the training split: samples of it count as errors"
    assert Counter(data.test_split().labels.tolist())[0] == 1
    task = Experiment.of({"data": {"name": "japanese_vowels"}, "task": "classify"}).task.build(data.info)
    scores = task.baselines(data.train, data.test_split())
    assert scores["TF-IDF + logistic regression"]["accuracy"] <= 10 / 11


def test_a_group_in_two_named_splits_is_one_line(tmp_path):
    frame = pd.DataFrame(corpus(40), columns=["text", "label"])
    frame.assign(part=["train", "train", "test", "test"] * 10, who="ada").to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match="group 'ada' is in both the train and the test split"):
        _ = build(name="csv_text", path=str(tmp_path / "a.csv"), split="part", group="who").info
