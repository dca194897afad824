"""Tagging, next-step prediction and regression: losses and metrics by hand, over the targets alone."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.testing import assert_close

from lstm_lab.data.kinds.labelled import LabelledInfo
from lstm_lab.data.kinds.next_step import FrameInfo, SequenceSplit, TokenInfo
from lstm_lab.data.kinds.sequence_regression import RegressionInfo, RegressionSplit
from lstm_lab.data.kinds.tagged import TaggedSplit
from lstm_lab.models import SequenceModel
from lstm_lab.tasks.base import score
from lstm_lab.tasks.next_step import NextStep
from lstm_lab.tasks.regress import Regress
from lstm_lab.tasks.tag import REACH, Tag, neighbours

LENGTHS = (4, 7, 1, 5)
CLASSES, KEYS = ("a", "b", "c"), ("C", "D", "E", "F", "G")
TOKENS = ("<pad>", "x", "y", "z")


def draw(kind, seed=0, lengths=LENGTHS):
    """A split of a kind, small enough to score by hand."""
    rng = np.random.default_rng(seed)
    if kind == "tag":
        labels = [rng.integers(-1, 3, size=n).astype(np.int8) for n in lengths]
        return TaggedSplit([rng.normal(size=(n, 2)).astype(np.float32) for n in lengths], labels)
    if kind == "frames":
        return SequenceSplit([(rng.random((n, 5)) < 0.4).astype(np.uint8) for n in lengths], tokens=False)
    return SequenceSplit([rng.integers(1, 4, size=n) for n in lengths], tokens=True)


def build_task(kind, predict_first=False):
    if kind == "tag":
        return Tag(LabelledInfo(2, CLASSES), monitor="accuracy")
    info = FrameInfo(5, KEYS) if kind == "frames" else TokenInfo(4, TOKENS)
    return NextStep(info, monitor="nll", predict_first=predict_first)


def all_of(split):
    return split.take(torch.arange(len(split)))


def random_logits(task, batch, seed=0):
    torch.manual_seed(seed)
    return torch.randn(*batch.y.shape[:2], task.output_size, dtype=torch.float64)


def steps(kind, batch, first):
    """(sample, step) of every target, one at a time."""
    for i, length in enumerate(batch.lengths.tolist()):
        for t in range(length):
            if (kind == "tag" and batch.y[i, t] >= 0) or (kind != "tag" and (t > 0 or first)):
                yield i, t


CASES = [("tag", False), ("frames", False), ("frames", True), ("tokens", False), ("tokens", True)]
each_case = pytest.mark.parametrize(("kind", "first"), CASES)


def nats(kind, logits, y):
    """- log p(y) in plain Python."""
    if kind == "frames":
        p = [1 / (1 + math.exp(-value)) for value in logits.tolist()]
        return -sum(math.log(p) if on else math.log(1 - p) for p, on in zip(p, y.tolist(), strict=True))
    return -math.log(math.exp(logits[y]) / sum(math.exp(value) for value in logits.tolist()))


@each_case
def test_the_loss_is_the_mean_over_targets(kind, first):
    task, batch = build_task(kind, first), all_of(draw(kind))
    if kind == "frames":
        batch = batch._replace(y=batch.y.double())
    output = random_logits(task, batch)
    found = [nats(kind, output[i, t], batch.y[i, t]) for i, t in steps(kind, batch, first)]
    assert int(task.num_targets(batch)) == len(found)
    assert float(task.loss(output, batch)) == pytest.approx(sum(found) / len(found), rel=1e-12)


@each_case
@pytest.mark.parametrize("size", [1, 3, 4])
def test_metrics_equal_their_definition_in_any_chunks(kind, first, size):
    task, batch = build_task(kind, first), all_of(draw(kind))
    output, metrics = random_logits(task, batch), task.metrics()
    for at in range(0, len(output), size):
        metrics.update(output[at : at + size], batch.select(slice(at, at + size)))
    found = {name: float(value) for name, value in metrics.compute().items()}
    targets = list(steps(kind, batch, first))
    nll = sum(nats(kind, output[i, t].double(), batch.y[i, t]) for i, t in targets) / len(targets)
    guess = output.argmax(-1)
    right = sum(int(guess[i, t] == batch.y[i, t]) for i, t in targets) if kind != "frames" else 0
    if kind == "tag":
        f1 = []
        for label in range(3):
            predicted = {(i, t) for i, t in targets if guess[i, t] == label}
            was = {(i, t) for i, t in targets if batch.y[i, t] == label}
            f1.append(2 * len(predicted & was) / (len(predicted) + len(was)))
        index = tuple(torch.tensor(targets).T)
        p, true = output[index].softmax(-1).numpy(), batch.y[index].numpy()
        expected = {"accuracy": right / len(targets), "macro_f1": np.mean(f1)}
        expected["auroc"] = np.mean([roc_auc_score(true == k, p[:, k]) for k in range(3)])
        expected["ece"] = found["ece"]  # test_tasks.py holds it to its definition
    elif kind == "frames":
        on = {(i, t, k) for i, t in targets for k in range(5) if batch.y[i, t, k]}
        predicted = {(i, t, k) for i, t in targets for k in range(5) if output[i, t, k] > 0}
        expected = {"nll": nll, "accuracy": len(on & predicted) / len(on | predicted)}
    else:
        expected = {
            "nll": nll,
            "accuracy": right / len(targets),
            "perplexity": math.exp(nll),
            "bits": nll / math.log(2),
        }
    assert found == pytest.approx(expected, rel=1e-6)


@each_case
def test_steps_without_a_target_reach_neither_loss_nor_gradient_nor_metric(kind, first):
    task, batch = build_task(kind, first), all_of(draw(kind))
    clean = random_logits(task, batch).requires_grad_()
    mute = torch.ones(batch.y.shape[:2], dtype=torch.bool)
    for i, t in steps(kind, batch, first):
        mute[i, t] = False
    dirty = clean.detach().masked_fill(mute.unsqueeze(-1), math.nan).requires_grad_()
    values = [task.loss(output, batch) for output in (clean, dirty)]
    assert_close(*values, rtol=0, atol=0)
    slopes = [torch.autograd.grad(value, output)[0] for value, output in zip(values, (clean, dirty), strict=True)]
    assert_close(*slopes, rtol=0, atol=0)
    assert (slopes[1][mute] == 0).all()
    assert (slopes[1][~mute] != 0).any(-1).all()
    assert score(task.metrics(), clean.detach(), batch) == score(task.metrics(), dirty.detach(), batch)


@each_case
def test_a_sequence_scores_the_same_alone_and_in_a_padded_batch(kind, first):
    # What stands padding a sequence's end must not matter, through the whole model and down to its weights.
    task, split = build_task(kind, first), draw(kind)
    info = TokenInfo(4, TOKENS) if kind == "tokens" else LabelledInfo({"tag": 2, "frames": 5}[kind], ())
    model = SequenceModel.Config.model_validate({"hidden_size": 3, "embedding": {"dim": 2}}).build(info, task)
    together, totals = all_of(split), []
    if kind != "tokens":
        padding = torch.arange(max(LENGTHS)) >= together.lengths.unsqueeze(1)
        together = together._replace(x=together.x.masked_fill(padding.unsqueeze(-1), math.nan))
    for batches in ([together], [split.take(torch.tensor([i])) for i in range(len(split))]):
        losses = [task.loss(model(*task.model_inputs(batch)).logits, batch) for batch in batches]
        total = sum(loss * task.num_targets(batch) for loss, batch in zip(losses, batches, strict=True))
        totals.append((total, *torch.autograd.grad(total, list(model.parameters()))))
    assert_close(*totals, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["tag", "frames"])
def test_a_batch_without_targets_has_no_loss(kind):
    split = draw(kind, lengths=(1, 1))
    batch = all_of(split)
    if kind == "tag":
        batch = batch._replace(y=torch.full_like(batch.y, -1))
    task = build_task(kind)
    output = random_logits(task, batch).requires_grad_()
    loss = task.loss(output, batch)
    assert loss.item() == int(task.num_targets(batch)) == 0
    assert (torch.autograd.grad(loss, output)[0] == 0).all()


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_no_frame_is_read_before_it_is_predicted(cell):
    task, batch = build_task("frames"), all_of(draw("frames", lengths=(6, 6)))
    config = SequenceModel.Config.model_validate({"cell": cell, "hidden_size": 4, "num_layers": 2})
    torch.manual_seed(0)
    model = config.build(LabelledInfo(5, ()), task)
    x = batch.x.clone().requires_grad_()
    output = model(*task.model_inputs(batch._replace(x=x))).logits
    for t in range(6):
        slope = torch.autograd.grad(output[:, t].sum(), x, retain_graph=True)[0]
        assert (slope[:, t:] == 0).all()
        assert (slope[:, :t] != 0).all()


def test_no_token_is_read_before_it_is_predicted():
    task = build_task("tokens")
    torch.manual_seed(0)
    model = SequenceModel.Config.model_validate({"hidden_size": 4}).build(TokenInfo(4, TOKENS), task)
    batch = all_of(draw("tokens", lengths=(6,)))
    plain = model(*task.model_inputs(batch)).logits
    for t in range(5):
        x = batch.x.clone()
        x[0, t] = x[0, t] % 3 + 1
        other = model(*task.model_inputs(batch._replace(x=x))).logits
        assert torch.equal(plain[:, : t + 1], other[:, : t + 1])
        assert (plain[:, t + 1] != other[:, t + 1]).any()


def test_predictions_have_names():
    tag, frames, tokens = build_task("tag"), build_task("frames"), build_task("tokens")
    steps = torch.tensor([[[0.0, 2, 1], [3, 1, 2]]])
    assert tag.prediction_columns == ("label", "probability a", "probability b", "probability c")
    assert [row[0] for row in tag.predictions(steps)[0]] == ["b", "a"]
    assert [row[1:] for row in tag.predictions(steps)[0]] == steps[0].double().softmax(-1).tolist()
    assert frames.prediction_columns[:2] == ("probability C", "probability D")
    assert frames.predictions(torch.tensor([[[0.0] * 5]])) == [[[0.5] * 5]]
    assert tokens.prediction_columns == ("token", "probability")
    assert [row[0] for row in tokens.predictions(torch.tensor([[[0.0, 2, 1, 0], [0, 1, 2, 3]]]))[0]] == ["x", "z"]
    regress = Regress(RegressionInfo(2, ("sum", "product")), monitor="mse")
    assert regress.predictions(torch.tensor([[1.0, 2.0]])) == [[[1.0, 2.0]]]
    assert regress.prediction_columns == ("sum", "product")


# --- baselines --------------------------------------------------------------------------------------------------------


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
    assert {name: row["nll"] for name, row in found.items()} == pytest.approx(expected)
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
