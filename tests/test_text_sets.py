"""Published texts: their sizes, trees that are evaluated on sentences, reviews of a film in one split."""

from __future__ import annotations

import numpy as np
import pytest

from lstm_lab.config import DataError
from lstm_lab.data import Dataset
from lstm_lab.data.preprocessing.splits import assign_splits, class_indices
from lstm_lab.data.preprocessing.tokenizer import Tokenizer
from lstm_lab.data.readers.locate import locate
from lstm_lab.data.sources.sst import phrases_of


def test_a_missing_published_set_names_its_origin(tmp_path, monkeypatch):
    monkeypatch.delenv("LSTM_LAB_DATA", raising=False)
    with pytest.raises(DataError, match=r"imdb.parquet.*Maas et al. 2011.*set LSTM_LAB_DATA"):
        _ = Dataset.members["imdb"].Config().build().info
    monkeypatch.setenv("LSTM_LAB_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"sst_sentences.parquet: no such file.*Socher"):
        _ = Dataset.members["sst"].Config().build().info
    (tmp_path / "a").write_text("a")
    assert locate("a", "x", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb") == tmp_path / "a"
    with pytest.raises(DataError, match="is not the published file"):
        locate("a", "x", "0" * 64)


def test_every_phrase_of_a_tree():
    tree = "(3 (2 It) (4 (2 's) (3 (2 2) (4 good))))"
    assert [*phrases_of(tree)] == [(2, "It"), (2, "'s"), (2, "2"), (4, "good"), (3, "2 good"), (4, "'s 2 good"),
                                  (3, "It 's 2 good")]  # fmt: skip


@pytest.mark.parametrize("phrases", [False, True])
@pytest.mark.parametrize("classes", [2, 5])
def test_a_treebank_is_evaluated_on_whole_sentences(tmp_path, monkeypatch, phrases, classes):
    import pandas as pd

    trees = [f"({i % 5} (4 great) ({i % 2} (2 film) (2 {name}{i})))" for i, name in enumerate(["a", "b"] * 30)]
    parts = ["train"] * 40 + ["validation"] * 10 + ["test"] * 10
    (tmp_path / "sst").mkdir()
    pd.DataFrame({"split": parts, "tree": trees}).to_parquet(tmp_path / "sst" / "sst_sentences.parquet")
    monkeypatch.setenv("LSTM_LAB_DATA", str(tmp_path))
    data = Dataset.members["sst"].Config(classes=classes, phrases=phrases).build()
    whole = [i for i in range(60) if classes == 5 or i % 5 != 2]
    assert data.validation.features() == [f"great film {'ab'[i % 2]}{i}" for i in whole if 40 <= i < 50]
    assert data.test_split().features() == [f"great film {'ab'[i % 2]}{i}" for i in whole if i >= 50]
    learnt = [f"great film {'ab'[i % 2]}{i}" for i in whole if i < 40]
    if phrases:
        assert set(learnt) < set(data.train.features())
        assert data.train.features().count("great") == 1
        assert "film b39" in data.train.features()
    else:
        assert data.train.features() == learnt
    labels = [data.info.classes[label] for label in data.validation.labels.tolist()]
    degrees = ["very negative", "negative", "neutral", "positive", "very positive"]
    names = degrees if classes == 5 else ["negative", "negative", "", "positive", "positive"]
    assert [label.lstrip("01234 ") for label in labels] == [names[i % 5] for i in whole if 40 <= i < 50]


def published(name, **choices):
    data = Dataset.members[name].Config(**choices).build()
    try:
        data.files()
    except DataError as error:
        pytest.skip(str(error))
    return data


@pytest.mark.parametrize(
    ("name", "choices", "sizes", "classes"),
    [
        ("sst", {}, (6920, 872, 1821), 2),
        ("sst", {"classes": 5}, (8544, 1101, 2210), 5),
        ("sms_spam", {"tokenizer": "character"}, (3897, 553, 1124), 2),
        ("mr", {"tokenizer": "bpe"}, (7464, 1066, 2132), 2),
    ],
    ids=["sst", "sst five", "sms_spam", "mr"],
)
def test_published_sets_are_as_published(name, choices, sizes, classes):
    if isinstance(choices.get("tokenizer"), str):
        choices = {**choices, "tokenizer": Tokenizer.members[choices["tokenizer"]].Config()}
    data = published(name, **choices)
    assert (len(data.train), len(data.validation), len(data.test_split())) == sizes
    assert len(data.info.classes) == classes
    assert set(data.train.labels.tolist()) == set(range(classes))


def test_reviews_of_a_film_stay_in_one_split():
    data = published("imdb")
    found = data.read()
    names, labels = class_indices(found.labels, found.splits, found.path)
    parts = assign_splits(labels, found.groups, found.splits, data.fractions, found.path, "texts")
    assert names == ("against", "for")
    assert np.bincount(labels[parts == 2]).tolist() == [12500, 12500]
    assert not set(found.groups[parts == 0]) & set(found.groups[parts == 1])
    share = np.bincount(labels[parts == 1]) / 12500
    assert np.abs(share - 0.1).max() < 0.01
