"""Losses of tasks equal their formulas."""

from __future__ import annotations

import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from conftest import DEMAND
from torch.testing import assert_close

from lstm_lab.config import ConfigError
from lstm_lab.data import Batch
from lstm_lab.data.kinds.labelled import LabelledInfo
from lstm_lab.data.kinds.next_step import FrameInfo, TokenInfo
from lstm_lab.data.kinds.sequence_regression import RegressionInfo
from lstm_lab.experiment import Experiment
from lstm_lab.tasks.base import Task
from lstm_lab.tasks.classify import Classify
from lstm_lab.tasks.multi_label import MultiLabel
from lstm_lab.tasks.next_step import Frames, NextStep
from lstm_lab.tasks.number_losses import Huber, Pinball
from lstm_lab.tasks.regress import Regress
from lstm_lab.tasks.tag import Tag

CLASSES = ("a", "b", "c", "d")
TWO = LabelledInfo(3, ("no", "yes"), (6, 4))


def test_binary_cross_entropy_is_that_of_keras_dense_1_sigmoid():
    """-(y log s + (1 - y) log(1 - s)), s = sigmoid(z), the mean over a batch (keras.losses.BinaryCrossentropy)."""
    task, other = Classify(TWO, "loss", loss="binary_cross_entropy"), Classify(TWO, "loss")
    assert (task.output_size, other.output_size) == (1, 2)
    z, y = torch.randn(20, 1, dtype=torch.float64, requires_grad=True), torch.randint(2, (20,))
    batch = Batch(torch.empty(0), torch.empty(0), y)
    logits, s = task.postprocess(z, batch), torch.sigmoid(z[:, 0])
    loss, formula = task.loss(logits, batch), -(y * s.log() + (1 - y) * (1 - s).log()).mean()
    assert_close(loss, formula)
    assert_close(*(torch.autograd.grad(each, z, retain_graph=True)[0] for each in (loss, formula)))
    assert_close(loss, F.binary_cross_entropy_with_logits(z[:, 0], y.double()))
    # Everything behind the loss reads a logit of each class.
    rows = [row for (row,) in task.predictions(logits.detach(), batch)]
    assert [row[2] for row in rows] == pytest.approx(s.tolist())
    assert [row[0] == "yes" for row in rows] == [value > 0.5 for value in s.tolist()]
    weighted = Classify(TWO, "loss", (1.0, 3.0), loss="binary_cross_entropy")
    assert_close(weighted.loss(logits, batch), -(3 * y * s.log() + (1 - y) * (1 - s).log()).mean())
    with pytest.raises(ConfigError, match="binary_cross_entropy is for two classes, and there are 4"):
        Classify(LabelledInfo(3, CLASSES), "loss", loss="binary_cross_entropy")


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_is_the_formula_and_has_a_gradient_everywhere(gamma):
    """-(1 - p)^gamma log p (Lin et al. 2017, equation 4)."""
    task = Classify(LabelledInfo(3, CLASSES), "loss", loss="focal", gamma=gamma)
    logits, y = torch.randn(9, 4, dtype=torch.float64), torch.randint(4, (9,))
    p = logits.softmax(-1)[torch.arange(9), y]
    batch = Batch(torch.empty(0), torch.empty(0), y)
    assert_close(task.loss(logits, batch), (-((1 - p) ** gamma) * p.log()).mean())
    sure = F.one_hot(y, 4).float().mul(200).requires_grad_()
    task.loss(sure, batch).backward()
    assert sure.grad.isfinite().all()
    tag = Tag(LabelledInfo(3, CLASSES), "loss", loss="focal", gamma=gamma)
    steps = Batch(torch.empty(0), torch.empty(0), torch.stack([y, torch.full_like(y, -1)]))
    assert_close(tag.loss(torch.stack([logits, logits]), steps), task.loss(logits, batch))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"gamma": 1.0}, "gamma=1 would do nothing: loss is cross_entropy"),
        ({"loss": "focal", "label_smoothing": 0.1}, "label_smoothing=0.1: the focal loss is of one right class"),
        ({"loss": "hinge"}, r"task\.loss"),
    ],
)
def test_fields_of_a_loss_that_has_no_use_for_them_are_refused(vowels, fields, said):
    with pytest.raises(ConfigError, match=said):
        vowels.with_overrides({f"task.{key}": value for key, value in fields.items()})


def pinball(z, y, q=0.5):
    return torch.where(y > z, q * (y - z), (1 - q) * (z - y)).mean()


NUMBER_LOSSES = {
    "mse": ({}, F.mse_loss),
    "mae": ({}, F.l1_loss),
    "huber": ({"delta": 0.3}, partial(F.huber_loss, delta=0.3)),
    "quantile": ({"quantile": 0.9}, partial(pinball, q=0.9)),
}


@pytest.mark.parametrize("name", NUMBER_LOSSES)
def test_losses_of_regression_are_of_standardised_values(name):
    fields, error = NUMBER_LOSSES[name]
    info = RegressionInfo(3, ("a", "b"), target_mean=(1.0, 2.0), target_std=(4.0, 0.5))
    y, z = torch.randn(7, 2, dtype=torch.float64), torch.randn(7, 2, dtype=torch.float64)
    batch = Batch(torch.empty(0), torch.empty(0), y)
    task = Regress(info, "mse", name, **fields)
    mean, std = torch.tensor([1.0, 2.0], dtype=torch.float64), torch.tensor([4.0, 0.5], dtype=torch.float64)
    assert_close(task.loss(task.postprocess(z, batch), batch), error(z, (y - mean) / std).float())


def test_the_quantile_loss_is_least_at_that_quantile():
    y = torch.arange(101, dtype=torch.float64)
    costs = [float(Pinball(0.9)(torch.full_like(y, z), y).mean()) for z in range(101)]
    assert costs.index(min(costs)) == 90


def test_huber_is_quadratic_up_to_delta_and_linear_beyond():
    z = torch.tensor([0.0, 0.5, 2.0, -3.0])
    assert Huber(2.0)(z, torch.zeros(4)).tolist() == [0.0, 0.125, 2.0, 4.0]
    forecast = DEMAND | {"task": {"name": "forecast", "loss": "huber", "delta": 0.25}}
    assert Experiment.of(forecast).task.delta == 0.25


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"delta": 0.5}, "delta=0.5 would do nothing: loss is mse; leave it out, or choose huber"),
        ({"loss": "huber", "quantile": 0.9}, "quantile=0.9 would do nothing: loss is huber"),
        ({"loss": "quantile", "quantile": 1.0}, r"task\.quantile"),
        ({"loss": "quantile", "output": "normal"}, "loss=quantile would do nothing: output normal has its own loss"),
    ],
)
def test_fields_of_a_number_loss_that_has_no_use_for_them_are_refused(fields, said):
    with pytest.raises(ConfigError, match=said):
        Experiment.of(DEMAND | {"task": {"name": "forecast", **fields}})


# --- over steps -------------------------------------------------------------------------------------------------------


def steps_of(task, dtype=torch.float64):
    """Logits, and a batch of three sequences of 4, 1 and 0 targets."""
    y = torch.tensor([[0, 1, 2, 3], [1, -1, -1, -1], [-1, -1, -1, -1]])
    return torch.randn(3, 4, task.output_size, dtype=dtype), Batch(torch.empty(0), torch.tensor([4, 1, 4]), y)


def test_the_sum_over_steps_is_a_mean_over_sequences():
    tasks = [Tag(LabelledInfo(3, CLASSES), "loss", reduction=each) for each in ("mean", "sum")]
    logits, batch = steps_of(tasks[0])
    nll = -logits.log_softmax(-1).gather(-1, batch.y.clamp(min=0).unsqueeze(-1)).squeeze(-1).masked_fill(batch.y < 0, 0)
    mean, summed = (task.loss(logits, batch) for task in tasks)
    assert_close(mean, nll.sum() / 5)
    assert_close(summed, nll.sum(1).mean())
    assert [int(task.num_targets(batch)) for task in tasks] == [5, 3]
    # Any split of a batch gives the same mean over its sequences: what accumulation and several workers rely on.
    rows = [slice(2), slice(2, 3)]
    parts = [batch.select(row) for row in rows]
    losses = [tasks[1].loss(logits[row], part) * len(part.y) for row, part in zip(rows, parts, strict=True)]
    assert_close(losses[0] + losses[1], 3 * summed)


def test_the_sum_over_steps_of_frames_and_tokens():
    for info, y in (
        (FrameInfo(3, ("a", "b", "c")), torch.randint(2, (3, 4, 3)).double()),
        (TokenInfo(3, ("a", "b", "c")), torch.randint(3, (3, 4))),
    ):
        mean, summed = (NextStep(info, "nll", False, reduction) for reduction in ("mean", "sum"))
        batch, logits = Batch(y, torch.tensor([4, 2, 3]), y), torch.randn(3, 4, 3, dtype=torch.float64)
        assert_close(summed.loss(logits, batch) * 3, mean.loss(logits, batch) * 6)  # 3 + 1 + 2 steps behind the first.


# --- gradients without autograd ---------------------------------------------------------------------------------------

FOUR = LabelledInfo(3, CLASSES)
NUMBERS = RegressionInfo(3, ("a", "b"), target_mean=(1.0, 2.0), target_std=(4.0, 0.5))
WEIGHTS = (1.0, 2.0, 0.5, 3.0)
LABELS = SimpleNamespace(labels=("a", "b", "c"), counts=(4, 5, 6), num_samples=9)
CLOSED_FORMS = {
    "classes": Classify(FOUR, "loss"),
    "weighted": Classify(FOUR, "loss", WEIGHTS),
    "smoothed": Classify(FOUR, "loss", label_smoothing=0.2),
    "weighted, smoothed": Classify(FOUR, "loss", WEIGHTS, 0.2),
    "one logit": Classify(TWO, "loss", (1.0, 3.0), loss="binary_cross_entropy"),
    "tags": Tag(FOUR, "loss", WEIGHTS, 0.1),
    "summed tags": Tag(FOUR, "loss", reduction="sum"),
    "frames": NextStep(FrameInfo(3, ("a", "b", "c")), "nll", True),
    "summed frames": NextStep(FrameInfo(3, ("a", "b", "c")), "nll", False, "sum"),
    "tokens": NextStep(TokenInfo(3, ("a", "b", "c")), "nll", False),
    "labels": MultiLabel(LABELS, "loss"),
    "weighted labels": MultiLabel(LABELS, "loss", pos_weight="balanced"),
    **{f"{name} of numbers": Regress(NUMBERS, "mse", name, **fields) for name, (fields, _) in NUMBER_LOSSES.items()},
    "numbers as they are": Regress(RegressionInfo(3, ("a", "b")), "mse", "quantile", quantile=0.2),
}


def random_batch(task, dtype):
    """Logits and a batch that the task reads."""
    B, T, K = 6, 4, task.output_size
    lengths = torch.tensor([4, 1, 2, 4, 3, 4])
    y = {
        Classify: lambda: torch.randint(max(K, 2), (B,)),
        Regress: lambda: torch.randn(B, K, dtype=torch.float64),
        MultiLabel: lambda: torch.randint(2, (B, K)).to(dtype),
        Tag: lambda: torch.randint(-1, K, (B, T)),
        NextStep: lambda: torch.randint(2, (B, T, K)).to(dtype) if task.form is Frames else torch.randint(K, (B, T)),
    }[type(task)]()
    shape = (B, T, K) if task.per_step else (B, K)
    return torch.randn(shape, dtype=dtype), Batch(y, lengths, y)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_gradients_of_losses_are_autograds(name, dtype):
    task = CLOSED_FORMS[name]
    assert task.has_loss_gradient
    logits, batch = random_batch(task, dtype)
    found, expected = task.loss_gradient(logits, batch), Task.loss_gradient(task, logits, batch)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])
    assert found[1].is_contiguous()
    assert found[1].dtype == dtype


def test_the_focal_loss_has_autograds_gradient():
    for task in (Classify(FOUR, "loss", loss="focal"), Tag(FOUR, "loss", loss="focal")):
        assert not task.has_loss_gradient
        logits, batch = random_batch(task, torch.float32)
        assert torch.equal(task.loss_gradient(logits, batch)[1], Task.loss_gradient(task, logits, batch)[1])


def test_gradients_of_forecasts_with_unknown_targets():
    experiment = Experiment.of(DEMAND | {"task": {"name": "forecast", "loss": "huber", "delta": 0.5}})
    dataset = experiment.data.build()
    task, batch = experiment.task.build(dataset.info), dataset.train.take(torch.arange(5))
    logits = torch.randn(5, task.output_size)
    for complete in (True, False):
        task.complete = complete
        if not complete:
            batch.y[1, 2] = batch.y[3, 0] = math.nan
        found, expected = task.loss_gradient(logits, batch), Task.loss_gradient(task, logits, batch)
        assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


def test_a_task_with_a_loss_of_its_own_does_not_inherit_the_gradient_of_another():
    class Cubed(Regress):
        """The loss alone is overridden."""

        def loss(self, logits, batch):
            return (logits - batch.y).abs().pow(3).mean()

    task = Cubed(RegressionInfo(1, ("y", "z")), "mse")
    batch = Batch(torch.zeros(3, 1, 1), torch.ones(3), torch.zeros(3, 2))
    logits = torch.tensor([[1.0, -2.0], [0.5, 3.0], [0.0, 1.0]])
    assert Regress(RegressionInfo(1, ("y", "z")), "mse").is_closed_form
    assert not task.is_closed_form
    assert_close(task.loss_gradient(logits, batch)[1], 3 * logits * logits.abs() / 6)
