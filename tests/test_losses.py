"""Losses of tasks equal their formulas."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from lstm_lab.config import ConfigError
from lstm_lab.data import Batch
from lstm_lab.data.kinds.labelled import LabelledInfo
from lstm_lab.data.kinds.sequence_regression import RegressionInfo
from lstm_lab.tasks.classify import Classify
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
        ({"loss": "hinge"}, "task.loss"),
    ],
)
def test_fields_of_a_loss_that_has_no_use_for_them_are_refused(vowels, fields, said):
    with pytest.raises(ConfigError, match=said):
        vowels.with_overrides({f"task.{key}": value for key, value in fields.items()})


@pytest.mark.parametrize(("name", "error"), [("mae", F.l1_loss), ("huber", F.huber_loss)])
def test_losses_of_regression_are_of_standardised_values(name, error):
    info = RegressionInfo(3, ("a", "b"), target_mean=(1.0, 2.0), target_std=(4.0, 0.5))
    y, z = torch.randn(7, 2, dtype=torch.float64), torch.randn(7, 2, dtype=torch.float64)
    batch = Batch(torch.empty(0), torch.empty(0), y)
    task = Regress(info, "mse", name)
    mean, std = torch.tensor([1.0, 2.0], dtype=torch.float64), torch.tensor([4.0, 0.5], dtype=torch.float64)
    assert_close(task.loss(task.postprocess(z, batch), batch), error(z, (y - mean) / std).float())
