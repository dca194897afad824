"""Several labels for each text: read as people write them, learned, scored, predicted and shown."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

import lstm_lab as lab
from lstm_lab.config import ConfigError, DataError
from lstm_lab.data.base import Batch
from lstm_lab.data.inspection import inspect
from lstm_lab.data.inspection.languages import joined_labels
from lstm_lab.evaluation.predict import predict
from lstm_lab.experiment import Experiment
from lstm_lab.records.examples import LabelExamples
from lstm_lab.records.run import Run
from lstm_lab.report import write_report
from lstm_lab.report.parts.multi_label import per_label
from lstm_lab.tasks.multi_label_metrics import MultiLabelMetrics

NAMES = ("politics", "sport", "weather")


def rows(n=90):
    """Texts, and which of the words that they have are labels."""
    rng = np.random.default_rng(0)
    found = []
    for i in range(n):
        flags = [bool(i & 1), bool(i & 2), i % 5 == 0]
        words = [*(f"about{name}" for name, flag in zip(NAMES, flags, strict=True) if flag),
                 *rng.choice(["the", "a", "of", "and"], 4), f"w{i}"]  # fmt: skip
        found.append((" ".join(rng.permutation(words)), flags))
    return found


def chosen(flags):
    return [name for name, flag in zip(NAMES, flags, strict=True) if flag]


def frames():
    """The same texts and labels in every form that people write."""
    texts = [text for text, _ in rows()]
    sets = [chosen(flags) for _, flags in rows()]
    flags = pd.DataFrame([flags for _, flags in rows()], columns=[*NAMES])
    yield "words.csv", pd.DataFrame({"text": texts, "topics": [";".join(labels) for labels in sets]})
    yield "words.tsv", pd.DataFrame({"text": texts, "label": ["|".join(labels) for labels in sets]})
    yield "lists.csv", pd.DataFrame({"text": texts, "topics": [json.dumps(labels) for labels in sets]})
    yield "python.csv", pd.DataFrame({"text": texts, "topics": [str(labels) for labels in sets]})
    yield "lists.jsonl", pd.DataFrame({"text": texts, "topics": sets})
    yield "lists.parquet", pd.DataFrame({"text": texts, "topics": sets})
    yield "flags.csv", pd.concat([pd.DataFrame({"text": texts}), flags.astype(int)], axis=1)
    yield "booleans.csv", pd.concat([pd.DataFrame({"id": range(len(texts)), "text": texts}), flags], axis=1)


def write(frame, path):
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def test_every_way_to_write_labels_is_recognised_and_gives_the_same_data(tmp_path):
    digests = {}
    for name, frame in frames():
        found = inspect(str(write(frame, tmp_path / name)))
        assert found.experiment["task"] == {"name": "multi_label", "monitor": "loss"}, name
        assert found.statistics["labels"] == 3
        data = Experiment.of(found.experiment).data.build()
        assert data.info.labels == NAMES
        digests[name] = data.digest
        text, flags = data.train.texts()[0], data.train.take(torch.tensor([0])).y[0].tolist()
        assert flags == [float(f"about{label}" in text) for label in NAMES]
    assert len(set(digests.values())) == 1, digests


def test_splits_have_the_same_share_of_each_label(tmp_path):
    frame = pd.concat([dict(frames())["words.csv"]] * 2)
    frame["text"] += [f" v{i}" for i in range(len(frame))]
    data = experiment(write(frame, tmp_path / "a.csv")).data.build()
    shares = [split.targets.mean(0) for split in (data.train, data.validation, data.test_split())]
    assert all((share > 0).all() for share in shares)
    assert max(float((share - shares[0]).abs().max()) for share in shares) < 0.15


def test_a_city_with_its_state_is_one_class():
    assert joined_labels(["Buffalo, NY", "Albany, NY", "Austin, TX"] * 9) is None
    assert joined_labels(["1,5", "2,5", "1,2"]) is None
    assert joined_labels(["bad|slow", "good", "good|warm", "bad"]) == ("bad|slow", "|")


def test_metrics_are_those_of_scikit_learn_where_they_are_defined():
    torch.manual_seed(0)
    logits, y = torch.randn(40, 4), (torch.rand(40, 4) < torch.tensor([0.5, 0.2, 0.0, 1.0])).float()
    metrics = MultiLabelMetrics(["a", "b", "never", "always"])
    for part in (slice(15), slice(15, None)):
        metrics.update(logits[part], Batch(torch.empty(0), torch.empty(0), y[part]))
    found = {name: float(value) for name, value in metrics.compute().items()}
    p, t = logits.sigmoid().numpy(), y.numpy()
    some = [0, 1, 3]
    assert found["micro_f1"] == pytest.approx(f1_score(t, p > 0.5, average="micro"))
    assert found["macro_f1"] == pytest.approx(f1_score(t[:, some], p[:, some] > 0.5, average="macro"))
    expected = np.mean([average_precision_score(t[:, k], p[:, k]) for k in some])
    assert found["mean_average_precision"] == pytest.approx(expected)
    assert found["auroc"] == pytest.approx(np.mean([roc_auc_score(t[:, k], p[:, k]) for k in (0, 1)]))
    assert found["subset_accuracy"] == pytest.approx(((p > 0.5) == t).all(1).mean())
    assert len(metrics.notes()) == 2
    never = metrics.details()["labels"][2]
    assert (never["n"], never["average_precision"], never["auroc"]) == (0, None, None)


def experiment(path, **task):
    data = {
        "name": "csv_text",
        "path": str(path),
        "labels": "topics",
        "label_separator": ";",
        "max_length": 8,
        "batch_size": 8,
    }
    model = {"hidden_size": 12, "pooling": "max", "embedding": {"dim": 12}}
    return Experiment.of({
        "data": data, "task": {"name": "multi_label", **task}, "model": model, "optimizer": {"lr": 0.03},
        "trainer": {"max_epochs": 14},
    })  # fmt: skip


def test_labels_are_learned_predicted_and_shown(tmp_path):
    path = write(dict(frames())["words.csv"], tmp_path / "a.csv")
    run = lab.train(experiment(path), wandb="disabled", progress=False)
    table = predict(Run(run.path), ["aboutsport of the", "aboutpolitics and aboutsport"])
    assert table.header == ["text", "labels", *(f"probability {name}" for name in NAMES)]
    for row in table.rows:
        assert row[1] == ";".join(name for name, p in zip(NAMES, row[2:], strict=True) if p > 0.5)
    assert run.evaluate().model["micro_f1"] > 0.8
    page = write_report(run.path, "markdown").read_text()
    assert [len(re.findall(rf"\| {name} \| \d+ \| [\d.]+ % \|", page)) for name in NAMES] == [2, 2, 2]  # of two splits


def test_weights_and_thresholds_have_an_effect(tmp_path):
    path = write(dict(frames())["words.csv"], tmp_path / "a.csv")
    build = lambda **task: (found := experiment(path, **task)).task.build(found.data.build().info)  # noqa: E731
    logits, y = torch.zeros(1, 3), torch.tensor([[1.0, 0.0, 0.0]])
    batch = Batch(torch.empty(0), torch.ones(1), y)
    plain, balanced = build().loss(logits, batch), build(pos_weight="balanced")
    n = balanced.pos_weight
    assert n[2] > n[0]
    assert float(balanced.loss(logits, batch)) == pytest.approx(float(plain) * (float(n[0]) + 2) / 3)
    assert float(build(pos_weight=[3, 1, 1]).loss(logits, batch)) == pytest.approx(math.log(2) * 5 / 3, rel=1e-5)
    assert build(threshold=0.4).predictions(logits)[0][0][0] == "politics;sport;weather"
    with pytest.raises(ConfigError, match=r"task\.pos_weight has 2 numbers, but there are 3 labels"):
        build(pos_weight=[1, 2])


def test_baselines_are_the_prior_rate_and_a_classifier_for_each_label(tmp_path):
    path = write(dict(frames())["words.csv"], tmp_path / "a.csv")
    data = experiment(path).data.build()
    found = experiment(path).task.build(data.info).baselines(data.train, data.validation)
    assert found["prior rate"]["auroc"] == 0.5
    assert found["TF-IDF + logistic regression"]["mean_average_precision"] == 1.0


@pytest.mark.parametrize(
    ("header", "cells", "choices", "message"),
    [
        ("text,a,b", ["x,1,2"] * 9, {"labels": ["a", "b"]}, "line 2, column 'b': '2' is neither 0 nor 1 (9 in total)"),
        ("text,a,b", ["x,1,"] * 9, {"labels": ["a", "b"]}, "column 'b': the cell is empty"),
        ("text,a", ["x,u v"] * 9, {"labels": "a"}, "'u v' is not a JSON list"),
        ("text,a", ["x,u"] * 9, {"labels": "a", "label_separator": ";"}, "has 1 labels ('u'), but several need"),
        ("text,a", [f"x,{i};{i}a" for i in range(9)], {"labels": "a", "label_separator": ";"}, "has 18 labels for 9"),
    ],
)
def test_labels_that_cannot_be_read_are_one_line(tmp_path, header, cells, choices, message):
    (tmp_path / "a.csv").write_text("\n".join([header, *cells]))
    data = {"name": "csv_text", "path": str(tmp_path / "a.csv"), **choices}
    dataset = Experiment.of({"data": data, "task": "multi_label"}).data.build()
    with pytest.raises(DataError) as raised:
        _ = dataset.info
    assert message in str(raised.value)


def test_fields_without_effect_and_a_task_without_labels_are_refused():
    data = {"name": "csv_text", "path": "a.csv"}
    with pytest.raises(ConfigError, match="label_separator=';' would have no effect: set labels"):
        Experiment.of({"data": {**data, "label_separator": ";"}, "task": "classify"})
    with pytest.raises(ConfigError, match="label=kind has no effect beside labels"):
        Experiment.of({"data": {**data, "label": "kind", "labels": ["a", "b"]}, "task": "multi_label"})
    with pytest.raises(ConfigError, match=r"choose classify, or set data\.labels where"):
        Experiment.of({"data": data, "task": "multi_label"})


def test_the_page_has_a_row_for_each_label():
    label = {"n": 4, "predicted": 5, "correct": 2, "average_precision": 0.5, "auroc": None}
    examples = LabelExamples.model_validate({
        "split": "validation", "epoch": 1, "samples": 9, "total": 9, "labels": [{"name": "a<b", **label}],
    })  # fmt: skip
    cells = [[cell.text for cell in row] for row in per_label(examples.labels, "validation").rows]
    assert cells == [["a<b", "4", "40.0 %", "50.0 %", "0.444", "0.500", "–"]]
