"""Tagging, next-step prediction and regression: losses and metrics by hand, over the targets alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.testing import assert_close

from lstm_lab.data.kinds.labelled import LabelledInfo
from lstm_lab.data.kinds.next_step import FrameInfo, SequenceSplit, TokenInfo
from lstm_lab.data.kinds.sequence_regression import RegressionInfo
from lstm_lab.data.kinds.tagged import TaggedSplit
from lstm_lab.models import SequenceModel
from lstm_lab.tasks.base import score
from lstm_lab.tasks.next_step import NextStep
from lstm_lab.tasks.regress import Regress
from lstm_lab.tasks.tag import Tag

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
