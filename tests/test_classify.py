"""Classification: metrics, weighted loss and baselines equal their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from test_tasks import CLASSES, in_chunks, labelled
from torch.testing import assert_close

from lstm_lab.config import ConfigError
from lstm_lab.data import Batch, Dataset
from lstm_lab.data.kinds.labelled import LabelledInfo, summary_features
from lstm_lab.tasks.base import score
from lstm_lab.tasks.classification import ClassificationMetrics
from lstm_lab.tasks.classify import Classify
from lstm_lab.tasks.tag import Tag


def classify(**choices):
    return Classify(LabelledInfo(3, CLASSES), **{"monitor": "accuracy", **choices})


@pytest.mark.parametrize("size", [1, 7, 50])
def test_classification_metrics_equal_their_definition(size):
    torch.manual_seed(0)
    output, y = torch.randn(50, 4), torch.randint(3, (50,))  # class d is never true
    output[:, 3] -= 9  # and never random_logits: F1 is averaged over the classes that occur
    batch = Batch(torch.zeros(50, 1, 3), torch.ones(50, dtype=torch.int64), y)
    guess, true = output.argmax(1).numpy(), y.numpy()
    f1 = []
    for label in range(3):
        hits = ((guess == label) & (true == label)).sum()
        f1.append(2 * hits / ((guess == label).sum() + (true == label).sum()))
    p = output.softmax(1).numpy()
    auroc = np.mean([roc_auc_score(true == label, p[:, label]) for label in range(3)])
    confidence, bins = p.max(1), np.minimum((p.max(1) * 15).astype(int), 14)
    off = [
        abs((guess == true)[bins == b].mean() - confidence[bins == b].mean()) * (bins == b).mean() for b in set(bins)
    ]
    expected = {"accuracy": (guess == true).mean(), "macro_f1": np.mean(f1), "auroc": auroc, "ece": sum(off)}
    assert in_chunks(classify().metrics(), output, batch, size) == pytest.approx(expected, rel=1e-5)
    assert_close(classify().loss(output, batch), -output.log_softmax(1)[torch.arange(50), y].mean())
    rows = [row for (row,) in classify().predictions(output)]
    assert [row[0] for row in rows] == [CLASSES[i] for i in guess]
    np.testing.assert_allclose([row[1:] for row in rows], p, rtol=1e-5)


@pytest.mark.parametrize("size", [1, 7, 50])
def test_the_confusion_matrix_counts_every_prediction_once(size):
    torch.manual_seed(0)
    output, y = torch.randn(50, 4), torch.randint(-1, 4, (50,))
    metrics = classify().metrics()
    for at in range(0, 50, size):
        metrics.update(output[at : at + size], Batch(torch.empty(0), torch.empty(0), y[at : at + size]))
    expected = np.zeros((4, 4), int)
    for true, guess in zip(y.tolist(), output.argmax(1).tolist(), strict=True):
        if true >= 0:
            expected[true, guess] += 1
    assert metrics.details() == {"confusion": {"classes": list(CLASSES), "counts": expected.tolist()}}


def test_logits_that_look_like_probabilities_are_still_logits():
    output, y = torch.tensor([[0.2, 0.9], [0.8, 0.1]]), torch.tensor([1, 0])
    found = score(ClassificationMetrics(["a", "b"]), output, Batch(torch.empty(0), torch.empty(0), y))
    confidence = output.softmax(1).max(1).values.mean()
    assert found["ece"] == pytest.approx(float(1 - confidence), rel=1e-5)


CHOICES = [("none", 0.0), ("balanced", 0.0), ((0.5, 2.0, 1.0, 3.0), 0.1), ("none", 0.2), ("balanced", 0.3)]


@pytest.mark.parametrize(("weights", "smoothing"), CHOICES)
@pytest.mark.parametrize("size", [1, 3, 10])
def test_the_weighted_loss_equals_its_definition_in_batches_of_any_size(weights, smoothing, size):
    torch.manual_seed(0)
    output, y, counts = torch.randn(10, 4, dtype=torch.float64), torch.arange(10) % 4, (10, 20, 5, 5)
    task = Classify(LabelledInfo(3, CLASSES, counts), "loss", weights, smoothing)
    w = {"none": [1.0] * 4, "balanced": [40 / (4 * n) for n in counts]}.get(weights, weights)
    nll = -output.log_softmax(1)
    expected = 0.0
    for i, true in enumerate(y.tolist()):
        spread = sum(smoothing / 4 * w[k] * nll[i, k] for k in range(4))
        expected += float((1 - smoothing) * w[true] * nll[i, true] + spread) / 10
    found = 0.0
    for at in range(0, 10, size):
        part = Batch(torch.empty(0), torch.empty(0), y[at : at + size])
        found += float(task.loss(output[at : at + size], part)) * int(task.num_targets(part)) / 10
    assert found == pytest.approx(expected, rel=1e-5)
    tag = Tag(LabelledInfo(3, CLASSES, counts), "loss", weights, smoothing)
    ragged = Batch(torch.empty(0), torch.empty(0), torch.stack([y, torch.full_like(y, -1)]))
    assert float(tag.loss(torch.stack([output, output]), ragged)) == pytest.approx(expected, rel=1e-5)


def test_balanced_weights_equalise_classes_and_a_list_must_fit():
    train = labelled([0] * 12 + [1] * 2 + [2] * 4 + [3] * 2)
    counts = tuple(train.labels.bincount().tolist())
    task = Classify(LabelledInfo(3, CLASSES, counts), "loss", "balanced")
    batch = train.take(torch.arange(20))
    total = torch.zeros(4).index_add(0, batch.y, task.cross_entropy(torch.zeros(20, 4), batch.y))
    assert_close(total, torch.full((4,), 5 * math.log(4)))
    with pytest.raises(ConfigError, match="2 numbers, but there are 4 classes: a, b, c, d"):
        Classify(LabelledInfo(3, CLASSES), "loss", (1.0, 2.0))


@pytest.mark.parametrize("name", ["japanese_vowels", "parity"])
def test_class_counts_are_of_the_training_split(name):
    data = Dataset.members[name].Config(**({"train_size": 9, "eval_size": 5} if name == "parity" else {})).build()
    labels = data.train.take(torch.arange(len(data.train))).y
    assert data.info.counts == tuple(labels[labels >= 0].bincount(minlength=len(data.info.classes)).tolist())


def test_majority_class_and_learned_baselines():
    train, part = labelled([0] * 9 + [1] * 7 + [2] * 5 + [3] * 5), labelled([0, 0, 1, 1, 1, 2, 2, 3, 3, 3], seed=1)
    found = classify().baselines(train, part)
    assert found["majority class"]["accuracy"] == pytest.approx(0.2)
    # Classes four deviations apart: whatever learns at all, learns them.
    assert len(found) > 1
    for name in set(found) - {"majority class"}:
        assert found[name]["accuracy"] > 0.8, name


def test_summary_features_read_valid_steps_only():
    split = labelled([0, 1, 2, 3, 0])
    batch = split.take(torch.arange(5))
    dirty = batch.x.masked_fill((torch.arange(batch.x.shape[1]) >= batch.lengths.unsqueeze(1)).unsqueeze(-1), torch.nan)
    expected = []
    for start, length in zip(split.inputs.starts.tolist(), split.inputs.lengths.tolist(), strict=True):
        rows = split.inputs.values[start : start + length].numpy()
        expected.append(np.concatenate([rows.mean(0), rows.std(0), rows[0], rows[-1]]))
    np.testing.assert_allclose(summary_features(batch._replace(x=dirty)), expected, atol=1e-5)
