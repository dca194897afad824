"""Sequences with a class for each step, as people keep them: words or numbers, in rows or in lists."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.inspection import inspect
from lstm_lab.evaluation.predict import predict
from lstm_lab.experiment import Experiment
from lstm_lab.records.run import Run
from lstm_lab.training.train import train

VERBS, NOUNS = ["runs", "sits", "eats"], ["cat", "dog", "bird", "cow"]


def sentences(n=40, seed=0):
    rng = np.random.default_rng(seed)
    words = [[str(rng.choice(["a", "the"])), str(rng.choice(NOUNS)), str(rng.choice(VERBS)), f"now{i}"][: 3 + i % 2]
             for i in range(n)]  # fmt: skip
    return words, [[{"a": "D", "the": "D"}.get(w, "N" if w in NOUNS else "V" if w in VERBS else "O") for w in s]
                   for s in words]  # fmt: skip


def write(form):
    words, tags = sentences()
    if form == "jsonl":
        rows = [{"tokens": s, "tags": t} for s, t in zip(words, tags, strict=True)]
        Path("s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return "s.jsonl"
    rows = [(i, w, t) for i, (s, ts) in enumerate(zip(words, tags, strict=True)) for w, t in zip(s, ts, strict=True)]
    pd.DataFrame(rows, columns=["sentence", "token", "tag"]).to_csv("s.csv", index=False)
    return "s.csv"


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_words_with_a_class_for_each_are_recognised_and_split(tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    found = inspect(write(form))
    words, tags = sentences()
    assert (found.experiment["task"], found.experiment["data"]["target"]) == ("tag", "tag")
    assert sum(found.classes.values()) == sum(map(len, words))
    data = Experiment.of(found.experiment).data.build()
    assert [s.tolist() for s in data.sequences] == words
    assert [t.tolist() for t in data.step_labels] == tags
    assert data.classes == ("D", "N", "O", "V")
    assert data.info.tokens[:2] == ("[PAD]", "[UNK]")
    assert set(data.info.tokens[2:]) <= {"a", "the", *NOUNS, *VERBS}
    for split, raw in ((data.train, data.raw.train), (data.test_split(), data.raw.test)):
        batch = split.take(torch.arange(len(split)))
        assert batch.x.dtype == torch.int64
        for x, sentence in zip(batch.x.tolist(), raw.sequences, strict=True):
            for number, word in zip(x, sentence.tolist(), strict=False):
                assert data.info.tokens[number] == (word if word in data.info.tokens else "[UNK]")
    assert any("are unknown" in note for note in data.notes)


def test_a_run_tags_new_words_and_names_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = inspect(write("csv")).experiment
    content["model"] = {"hidden_size": 8, "bidirectional": True, "embedding": {"dim": 8}}
    experiment = Experiment.of({**content, "optimizer": {"lr": 0.03}, "trainer": {"max_epochs": 12}})
    run = Run.create(tmp_path / "run", experiment.dump())
    train(experiment, run)
    Path("s.csv").unlink()
    pd.DataFrame({"sentence": ["p"] * 3 + ["q"] * 2, "token": ["the", "cow", "runs", "a", "unheard"]}).to_csv("n.csv")
    table = predict(run, "n.csv")
    assert table.header[:4] == ["sentence", "step", "word", "label"]
    assert [row[:4] for row in table.rows[:3]] == [["p", 1, "the", "D"], ["p", 2, "cow", "N"], ["p", 3, "runs", "V"]]
    assert predict(run, [["the", "cow"], ["a"]]).rows[2][:3] == [2, 1, "a"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"channels": ["a"]}, "words=token and channels=['a'] exclude each other"),
        ({"target": "class"}, "words=token needs target=tag"),
        ({"missing": "mask"}, "missing=mask would have no effect on words"),
    ],
)
def test_words_that_do_not_go_with_other_fields_are_refused(more, message):
    data = {"name": "csv_sequences", "path": "a.csv", "id": "s", "label": "tag", "words": "token", "target": "tag"}
    with pytest.raises(ConfigError, match=re.escape(message)):
        Experiment.of({"data": {**data, **more}, "task": "tag"})


def test_the_baseline_of_words_reads_the_words_beside_each(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiment = Experiment.of(inspect(write("csv")).experiment)
    data = experiment.data.build()
    scores = experiment.task.build(data.info).baselines(data.train, data.validation)
    assert scores["logistic regression, 3 steps"]["accuracy"] > 0.9 > scores["most frequent label"]["accuracy"]


def test_numbers_with_a_class_for_each_step_are_recognised(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"id": np.repeat(np.arange(20), 6), "t": np.tile(np.arange(6), 20),
                          "ax": rng.normal(size=120)})  # fmt: skip
    frame.assign(state=np.where(frame["ax"] > 0, "on", "off")).to_csv("a.csv", index=False)
    found = inspect("a.csv")
    fields = found.experiment["data"]
    assert (fields["target"], fields["label"], fields["channels"]) == ("tag", "state", ["ax"])
    assert found.experiment["task"] == "tag"


def test_arrays_of_an_hdf5_file(tmp_path):
    h5py = pytest.importorskip("h5py")
    X, y = np.random.default_rng(0).normal(size=(20, 5, 2)), np.array(["slow", "fast"] * 10)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["X"] = X
        file["y"] = y.astype(object)
    found = inspect(str(tmp_path / "a.h5"))
    assert found.classes == {"slow": 10, "fast": 10}
    data = Experiment.of(found.experiment).data.build()
    np.testing.assert_array_equal(data.sequences, X)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["data"] = X
    with pytest.raises(DataError, match=r"has no array X: write the sequences under this name, .*; it has 'data'"):
        inspect(str(tmp_path / "b.h5"))
    (tmp_path / "c.h5").write_bytes(b"\x89HDF\r\n\x1a\n rubbish")
    with pytest.raises(DataError, match="cannot be read as HDF5"):
        inspect(str(tmp_path / "c.h5"))
