"""Baselines of tasks with an answer per step, and of regression, by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from test_step_tasks import CLASSES, all_of, build_task, draw

from lstm_lab.data import Dataset
from lstm_lab.data.kinds.labelled import LabelledInfo
from lstm_lab.data.kinds.sequence_regression import RegressionInfo, RegressionSplit
from lstm_lab.data.kinds.tagged import TaggedSplit
from lstm_lab.tasks.base import score
from lstm_lab.tasks.regress import Regress
from lstm_lab.tasks.tag import Tag
from lstm_lab.tasks.tag_metrics import REACH, neighbours


def test_tag_baselines_by_hand():
    labels = [np.array(row, np.int8) for row in ([0, 1, 1, -1], [1, -1], [2, 0, 0, -1, -1])]
    train = TaggedSplit([np.zeros((len(row), 1), np.float32) for row in labels], labels)  # a and b tie: the first
    train.labels.values[2] = 0
    rows = [np.array(row, np.int8) for row in ([0, -1, 0], [2, 1])]
    split = TaggedSplit([np.zeros((len(row), 1), np.float32) for row in rows], rows)
    found = Tag(LabelledInfo(1, CLASSES), monitor="accuracy").baselines(train, split)
    assert found["most frequent label"]["accuracy"] == pytest.approx(2 / 4)
    assert found["most frequent label"]["macro_f1"] == pytest.approx((2 * 2 / (4 + 2)) / 3)
    assert len(found) == 2


def test_the_logistic_regression_reads_neighbours_within_the_sequence_alone():
    split = TaggedSplit(
        [np.arange(1, n + 1, dtype=np.float32)[:, None] + 10 * n for n in (3, 8)], [np.zeros(3), np.zeros(8)]
    )
    found = neighbours(split, np.array([0, 2, 3, 10]))
    own = [[31, 32, 33], [81, 82, 83, 84, 85, 86, 87, 88]]
    for row, (values, at) in zip(found, [(own[0], 0), (own[0], 2), (own[1], 0), (own[1], 7)], strict=True):
        padded = [0] * REACH + values + [0] * REACH
        assert row.tolist() == padded[at : at + 2 * REACH + 1]


def test_the_logistic_regression_learns_from_neighbours():
    rng = np.random.default_rng(0)

    def part(n):
        x = [rng.normal(size=(12, 1)).astype(np.float32) for _ in range(n)]
        return TaggedSplit(x, [np.append(-1, row[:-1, 0] > 0).astype(np.int8) for row in x])

    found = Tag(LabelledInfo(1, ("no", "yes")), monitor="accuracy").baselines(part(200), part(20))
    assert (
        found[f"logistic regression, {2 * REACH + 1} steps"]["accuracy"]
        > 0.95
        > found["most frequent label"]["accuracy"]
    )


@pytest.mark.parametrize("first", [False, True])
def test_frame_baselines_by_hand(first):
    train, split = draw("frames"), draw("frames", seed=1)
    found = build_task("frames", first).baselines(train, split)
    pairs = [pairs_of(part, first) for part in (train, split)]

    def share(rows):
        return (sum(rows) + 1) / (len(rows) + 2)

    def expected(p):
        surprise = hits = tries = 0
        for before, now in pairs[1]:
            for k in range(5):
                q = p(k, before[k])
                surprise -= math.log(q if now[k] else 1 - q)
                hits, tries = hits + (q > 0.5 and now[k]), tries + (q > 0.5 or now[k])
        return {"nll": surprise / len(pairs[1]), "accuracy": hits / tries}

    assert set(found) == {"share of each channel", "last frame, smoothed", "each channel after itself"}
    assert found["share of each channel"] == pytest.approx(
        expected(lambda k, was: share([now[k] for _, now in pairs[0]])), rel=1e-5
    )
    assert found["last frame, smoothed"] == pytest.approx(
        expected(lambda k, was: share([n for b, now in pairs[0] for a, n in zip(b, now, strict=True) if a == was])),
        rel=1e-5,
    )
    assert found["each channel after itself"] == pytest.approx(
        expected(lambda k, was: share([now[k] for before, now in pairs[0] if before[k] == was])), rel=1e-5
    )


def pairs_of(split, first):
    batch = all_of(split)
    found = []
    for row, length in zip(batch.x, batch.lengths.tolist(), strict=True):
        known = [*([torch.zeros_like(row[0])] if first else []), *row[:length]]
        found += [(a.tolist(), b.tolist()) for a, b in pairwise(known)]
    return found


def seen_of(split, first):
    """Each target token and the four before it, the last one first, 0 where there is none."""
    batch = all_of(split)
    for row, length in zip(batch.x.tolist(), batch.lengths.tolist(), strict=True):
        for t in range(0 if first else 1, length):
            yield tuple(row[t - k] if t >= k else 0 for k in range(1, 5)), row[t]


def witten_bell(seen, p, w, h):
    seen, chance = list(seen), p[w]
    for k in range(1, 5):
        padding = [now for before, now in seen if before[:k] == h[:k]]
        if padding:
            kinds = len(set(padding))
            chance = (padding.count(w) + kinds * chance) / (len(padding) + kinds)
    return chance


@pytest.mark.parametrize("first", [False, True])
def test_token_baselines_by_hand(first):
    train, split = draw("tokens", lengths=(9, 8, 7)), draw("tokens", seed=1)
    found = build_task("tokens", first).baselines(train, split)
    seen, targets = pairs_of(train, first), pairs_of(split, first)
    p = {w: (sum(now == w for _, now in seen) + 1) / (len(seen) + 3) for w in (1, 2, 3)}

    def after(w, v, k, less=0):
        before = [now for b, now in seen if b == v]
        return (before.count(w) - less + k * p[w]) / (len(before) - less + k)

    strengths = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)
    k = max(strengths, key=lambda k: sum(math.log(after(w, v, k, 1)) for v, w in seen))
    unigram = -sum(math.log(p[w]) for _, w in targets) / len(targets)
    bigram = -sum(math.log(after(w, v, k)) for v, w in targets) / len(targets)
    ngram = -sum(math.log(witten_bell(seen_of(train, first), p, w, h)) for h, w in seen_of(split, first)) / len(targets)
    expected = {"unigram": unigram, "bigram": bigram, "5-gram": ngram}
    assert {name: found[name]["nll"] for name in expected} == pytest.approx(expected)
    assert found["bigram"]["perplexity"] == pytest.approx(math.exp(bigram))
    assert found["bigram"]["accuracy"] == pytest.approx(
        np.mean([w == max(p, key=lambda w: after(w, v, k)) for v, w in targets])
    )


def test_regression_by_hand():
    rng = np.random.default_rng(0)
    parts = [
        RegressionSplit([rng.normal(size=(n, 2)).astype(np.float32) for n in (3, 5, 2, 4)], rng.normal(size=(4, 2)))
        for _ in range(2)
    ]
    task, batch = Regress(RegressionInfo(2, ("p", "q")), monitor="mse"), all_of(parts[1])
    output = torch.randn(4, 2)
    error = (output - batch.y).double().numpy()
    assert score(task.metrics(), output, batch) == pytest.approx({"mse": (error**2).mean(), "mae": abs(error).mean()})
    assert float(task.loss(output, batch)) == pytest.approx((error**2).mean())
    rest = batch.y.double().numpy() - all_of(parts[0]).y.double().numpy().mean(0)
    found = task.baselines(*parts)
    assert found["training mean"] == pytest.approx({"mse": (rest**2).mean(), "mae": abs(rest).mean()}, rel=1e-5)


def test_the_linear_regression_fits_linear_targets():
    rng = np.random.default_rng(0)

    def part(n):
        x = [rng.normal(size=(6, 2)).astype(np.float32) for _ in range(n)]
        return RegressionSplit(x, np.array([[row[-1, 0] - row[0, 1]] for row in x]))

    found = Regress(RegressionInfo(2, ("d",)), monitor="mse").baselines(part(60), part(20))
    assert found["linear regression"]["mse"] < 1e-8 < found["training mean"]["mse"]


def test_baselines_of_two_classes_have_both_where_the_model_has_one_logit():
    data = Dataset.members["parity"].Config(train_size=20, eval_size=10, length=8).build()
    task = Tag(data.info, "accuracy", loss="binary_cross_entropy")
    assert task.output_size == 1
    scores = task.baselines(data.train, data.validation)
    assert all(0 <= each["accuracy"] <= 1 for each in scores.values())
