"""Gradients accumulated over batches are those of one large batch."""

from __future__ import annotations

import pytest
import torch
from conftest import REBER, VOWELS
from interruption import StopAt
from test_distributed import same, trained
from test_training import assert_same, start, uninterrupted, weights
from torch.testing import assert_close

from lstm_lab.config import ConfigError, Interrupted
from lstm_lab.experiment import Experiment
from lstm_lab.models.base import Output
from lstm_lab.optimizers.clipping import ClipByNorm
from lstm_lab.training.train import train
from lstm_lab.training_step import TrainingStep

SGD = {"optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9}, "schedule": "cosine", "trainer.max_epochs": 2}
PLAIN = {"model.dropout": {"input": 0.0, "output": 0.0}}
CASES = {
    # 216 sequences: the last step has one batch of 16 and one of 8. With a penalty, which is no mean over targets.
    "sequences": (VOWELS, {**PLAIN, "regularizers": ["l2"]}, 32, 16, 2),
    # Each sequence has a target at each of its steps: batches of equal size have different numbers of targets.
    "steps": (REBER, {}, 50, 25, 2),
    "all samples": (VOWELS, PLAIN, 216, 32, "full"),
}


@pytest.mark.parametrize("case", CASES)
def test_small_batches_accumulated_equal_a_large_one(tmp_path, case):
    content, changes, large, small, batches = CASES[case]
    experiment = Experiment.of(content).with_overrides({**SGD, **changes})
    whole = start(tmp_path / "large", one := experiment.with_overrides({"data.batch_size": large}))
    parts = start(tmp_path / "small", many := experiment.with_overrides(
        {"data.batch_size": small, "trainer.accumulate_grad_batches": batches}))  # fmt: skip
    train(one, whole)
    train(many, parts)
    for ours, theirs in zip(parts.rows(), whole.rows(), strict=True):
        assert ours["step"] == theirs["step"]
        for name in ("train/loss", "train/grad_norm", "val/loss", "lr"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4), name
    assert_close(weights(parts), weights(whole), rtol=1e-4, atol=1e-5)


def test_batches_weigh_as_many_targets_as_they_have():
    class Squares:
        def loss(self, logits, batch):
            return logits.square().mean()

        def num_targets(self, batch):
            return len(batch)

    model = torch.nn.Linear(2, 1, bias=False)
    x = torch.randn(7, 2)
    step = TrainingStep(model, Squares())
    for rows in (slice(0, 1), slice(1, 4), slice(4, 7)):
        loss, n = step.loss(Output(model(x[rows])), x[rows])
        assert not step.is_accumulating or rows.start
        (loss * step.accumulate(n)).backward()
    step.clip(ClipByNorm(), torch.optim.SGD(model.parameters(), 0.1))
    assert not step.is_accumulating
    (expected,) = torch.autograd.grad(model(x).square().mean(), model.weight)
    assert_close(model.weight.grad, expected)
    # A batch without targets, whose loss is 0, weighs nothing.
    model.zero_grad()
    (model(x[:1]).sum() * 0 * step.accumulate(0)).backward()
    (step.loss(Output(model(x)), x)[0] * step.accumulate(torch.tensor(7))).backward()
    step.clip(ClipByNorm(), torch.optim.SGD(model.parameters(), 0.1))
    assert_close(model.weight.grad, expected)


@pytest.mark.parametrize(("looks", "steps"), [(0, 1), (4, 2)])
def test_an_interruption_waits_for_the_step_in_progress(tmp_path, looks, steps):
    """A checkpoint holds no gradients; the run that is resumed equals the one that was not."""
    experiment = Experiment.of(VOWELS).with_overrides({"trainer.accumulate_grad_batches": 3, "trainer.max_epochs": 2})
    whole, _ = uninterrupted(tmp_path, experiment)
    assert whole.rows()[0]["step"] == 3  # Seven batches: three, three and one.
    run = start(tmp_path / "cut", experiment)
    with pytest.raises(Interrupted):
        train(experiment, run, stop=StopAt(looks))
    content = torch.load(run.checkpoints / "last.ckpt", weights_only=True)
    assert content["global_step"] == steps
    train(experiment, run)
    assert_same(run, whole)


@pytest.mark.slow
def test_two_workers_equal_one(tmp_path):
    experiment = Experiment.of(VOWELS).with_overrides({"trainer.accumulate_grad_batches": 3, "trainer.max_epochs": 2})
    same(trained(tmp_path / "two", experiment, 2), trained(tmp_path / "one", experiment))


def test_a_wrong_number_is_refused(vowels):
    for wrong in (0, "all", 1.5):
        with pytest.raises(ConfigError, match=r"accumulate_grad_batches: must be a number of batches, or full, got"):
            vowels.with_overrides({"trainer.accumulate_grad_batches": wrong})
    with pytest.raises(ConfigError, match=r"batch_size: a step from all samples is trainer\.accumulate_grad_batches"):
        vowels.with_overrides({"data.batch_size": "full"})
