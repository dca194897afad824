"""Texts through model and training: padding, resuming, new texts, and pretrained vectors."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pytest
import torch
from interruption import StopAt
from texts import corpus, write

from lstm_lab.config import ConfigError, DataError, Interrupted
from lstm_lab.data.loader import Loader
from lstm_lab.data.readers.vectors import read_vectors
from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.evaluation.predict import predict
from lstm_lab.records.run import MEASURED, Run
from lstm_lab.training.train import train

# ---- through model and training ----


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_other_samples_and_padding_never_change_the_output_of_a_text(own_texts, pooling):
    experiment = own_texts().with_overrides({"model.pooling": pooling, "model.bidirectional": True})
    data = experiment.data.build()
    task = experiment.task.build(data.info)
    torch.manual_seed(0)
    model = experiment.model.build(data.info, task).double().eval()
    batch = data.train.take(torch.arange(12))
    together = model(batch.x, batch.lengths).logits
    longer = torch.cat([batch.x, torch.full((12, 9), 7)], 1)  # the padding is not read
    longer[:, : batch.x.shape[1]][batch.x == 0] = 5
    torch.testing.assert_close(model(longer, batch.lengths).logits, together, rtol=1e-9, atol=1e-12)
    for i in range(12):
        alone = data.train.take(torch.tensor([i]))
        torch.testing.assert_close(model(alone.x, alone.lengths).logits, together[i : i + 1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("budget", [None, 80])
def test_resuming_inside_an_epoch_gives_the_remaining_batches(own_texts, budget):
    split = own_texts(max_length=20, tokens_per_batch=budget).data.build().train
    order = lambda loader: [batch.x.tolist() for batch in loader]  # noqa: E731
    whole = order(Loader(split, 8, seed=3))
    assert len(whole) == len(Loader(split, 8, seed=3))
    for k in range(len(whole)):
        first, rest = Loader(split, 8, seed=3), Loader(split, 8, seed=3)
        seen = [batch.x.tolist() for batch in islice(first, k)]
        rest.load_state_dict(first.state_dict())
        assert seen + order(rest) == whole


def test_a_resumed_run_equals_the_uninterrupted_one(own_texts, tmp_path):
    experiment = own_texts(tokens_per_batch=400).with_overrides({"model.embedding.dropout": 0.2})
    runs = [Run.create(tmp_path / name, experiment.dump(), command="", job_type="") for name in ("whole", "cut")]
    train(experiment, runs[0])
    with pytest.raises(Interrupted):
        train(experiment, runs[1], stop=StopAt(15))
    train(experiment, runs[1])
    rows = [[{key: row[key] for key in row if key not in MEASURED} for row in run.rows()] for run in runs]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 3


@pytest.fixture
def trained(own_texts, tmp_path):
    experiment = own_texts(keep="both", max_length=30).with_overrides({"trainer.max_epochs": 8})
    run = Run.create(tmp_path / "run", experiment.dump(), command="", job_type="")
    train(experiment, run)
    return run


def test_a_run_predicts_new_texts_without_its_data(trained, tmp_path):
    scores = evaluate(trained, "test")
    assert scores.model["accuracy"] > 0.9
    assert set(scores.baselines) == {"majority class", "TF-IDF + logistic regression"}
    assert scores.baselines["majority class"]["accuracy"] == 0.5
    assert scores.baselines["TF-IDF + logistic regression"]["accuracy"] > 0.8
    (tmp_path / "own.jsonl").unlink()
    texts, labels = zip(*corpus(30, seed=9), strict=True)
    files = {
        "new.csv": "text,other\n" + "".join(f'"{text}",1\n' for text in texts),
        "new.jsonl": "".join(json.dumps({"text": text}) + "\n" for text in texts),
        "new.txt": "".join(f"{text}\n\n" for text in texts),
    }
    predictions = []
    for name, content in files.items():
        (tmp_path / name).write_text(content)
        header, rows = predict(trained, tmp_path / name)
        assert header[:2] == ["text", "label"]
        assert [row[0] for row in rows] == list(range(1, 31))
        predictions.append([row[1] for row in rows])
    assert predictions[0] == predictions[1] == predictions[2]
    assert np.mean(np.array(predictions[0]) == labels) > 0.9


def test_a_run_on_a_published_data_set_reads_no_file(vowels, tmp_path):
    run = Run.create(tmp_path / "run", vowels.dump(), command="", job_type="")
    train(vowels.with_overrides({"trainer.max_epochs": 1}), run)
    with pytest.raises(
        ConfigError,
        match=r"japanese_vowels' takes no new samples.*: .*csv_folder,.* csv_text, ",
    ):
        predict(run, "new.csv")


# ---- pretrained vectors ----


def test_training_starts_from_pretrained_vectors_which_are_not_needed_later(own_texts, tmp_path):
    rng = np.random.default_rng(0)
    known = {word: rng.normal(size=8).round(3) for word in ("great", "awful", "w1", "absent")}
    lines = ["4 8", *(f"{word} {' '.join(map(str, vector))}" for word, vector in known.items())]
    (tmp_path / "vectors.txt").write_text("\n".join(lines))
    experiment = own_texts().with_overrides({"model.embedding.pretrained": "vectors.txt", "optimizer.lr": 1e-9})
    run = Run.create(tmp_path / "run", experiment.dump(), command="", job_type="")
    train(experiment, run)
    assert run.about["pretrained"] == {"file": "vectors.txt", "tokens": 3}
    weight = torch.load(run.best_checkpoint, weights_only=True)["state_dict"]["model.embedding.weight"]
    tokens = experiment.data.build().info.tokens
    for number, token in enumerate(tokens):
        if token in known:
            np.testing.assert_allclose(weight[number], known[token], atol=1e-6)
    assert weight[0].abs().max() == 0
    others = [number for number, token in enumerate(tokens) if token not in known and number]
    assert 0 < weight[others].abs().max() <= 0.11
    (tmp_path / "vectors.txt").unlink()
    (tmp_path / "new.txt").write_text("w1 great\n")
    assert predict(run, "new.txt")[1][0][1] in ("no", "yes")
    assert evaluate(run, "validation").model


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("great 1 2 3\n", "line 1: a word and 3 numbers, but model.embedding.dim is 2"),
        ("great 1 two\n", "line 1, word 'great': not all of it are finite numbers"),
        ("great 1 nan\n", "not all of it are finite"),
        ("other 1 2\n", "has a vector for none of the 2 tokens"),
        (b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_malformed_vectors_are_one_line(tmp_path, content, message):
    write(tmp_path / "v.txt", content)
    with pytest.raises(DataError) as fault:
        read_vectors(str(tmp_path / "v.txt"), {"great", "bad"}, 2)
    assert message in str(fault.value)
