"""Steps of the training: what hooks see and change, and when."""

from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch
from conftest import VOWELS
from test_step_tasks import build_task, draw, random_logits

from lstm_lab.data import SequenceDataModule
from lstm_lab.evaluation.evaluate import load_weights, scores_of
from lstm_lab.experiment import Experiment
from lstm_lab.models.base import Output
from lstm_lab.optimizers.clipping import ClipByNorm, ClipByValue
from lstm_lab.records.run import Run
from lstm_lab.training.learner import Learner
from lstm_lab.training.train import build, train
from lstm_lab.training_step import StepHook, TrainingStep


class Recorder(StepHook):
    """Writes down its calls, and adds a penalty of 3 |w| on the bias of the head."""

    def __init__(self):
        self.calls, self.keys, self.biases = [], [], []

    def before(self, model, key):
        self.calls.append("before")
        self.keys.append(key)

    def loss(self, model, output, batch):
        self.calls.append("loss")
        return 3 * model.head.bias.sum()

    def gradient(self, model, key):
        self.calls.append("gradient")
        self.biases.append(model.head.bias.detach().clone())

    def after(self, model, key):
        self.calls.append("after")
        assert not torch.equal(model.head.bias, self.biases[-1])

    def state_dict(self):
        return {"steps": len(self.keys)}

    def load_state_dict(self, state):
        self.loaded = state["steps"]


def fitted(hooks, checkpoint=None, max_epochs=1, **options):
    experiment = Experiment.of(VOWELS).with_overrides({"optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.0}})
    dataset = experiment.data.build()
    base = build(experiment, dataset)
    learner = Learner(base.model, base.task, base.optimizer, base.schedule, hooks=hooks)
    trainer = pl.Trainer(
        max_epochs=max_epochs, limit_train_batches=4, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, **options,
    )  # fmt: skip
    trainer.fit(learner, SequenceDataModule(dataset, 32, 7), ckpt_path=checkpoint, weights_only=True)
    return learner, trainer


def test_hooks_take_part_in_every_step_and_in_checkpoints(tmp_path):
    plain, _ = fitted([])
    hook = Recorder()
    learner, trainer = fitted([hook])
    assert hook.calls == ["before", "loss", "gradient", "after"] * 4
    assert [key.step for key in hook.keys] == [0, 1, 2, 3]
    assert hook.keys[0]._replace(step=0) == (7, 0, 0, 1, 32)
    assert (
        float((plain.model.head.bias - learner.model.head.bias).detach().min()) > 0.5
    )  # 4 steps of 0.1 * 3, less the rest
    assert trainer.callback_metrics["train/loss"] > 0  # the task's own loss, which the penalty is no part of
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    resumed = Recorder()
    fitted([resumed], tmp_path / "a.ckpt", 2)
    assert resumed.loaded == 4
    assert [key.step for key in resumed.keys] == [4, 5, 6, 7]


def test_accumulated_batches_share_one_gradient():
    hook = Recorder()
    fitted([hook], accumulate_grad_batches=2)
    assert hook.calls == ["before", "loss", "before", "loss", "gradient", "after"] * 2


@pytest.mark.parametrize(("clipping", "clipped"), [(ClipByNorm(1.0), [0.6, 0.8]), (ClipByValue(1.0), [1.0, 1.0]),
                                               (ClipByNorm(), [3.0, 4.0])])  # fmt: skip
def test_clipping_returns_the_norm_before(clipping, clipped):
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(3)]
    for parameter, gradient in zip(parameters, (3.0, 4.0), strict=False):  # The third has none.
        parameter.grad = torch.tensor([gradient])
    assert float(clipping.clip(parameters)) == pytest.approx(5.0)
    assert [float(p.grad) for p in parameters[:2]] == pytest.approx(clipped)


# --- recorded averages ------------------------------------------------------------------------------------------------


def test_the_training_loss_is_the_mean_over_all_targets_whatever_the_batches():
    split, task = draw("tag"), build_task("tag")
    whole = split.take(torch.arange(4))
    logits = random_logits(task, whole)
    step = TrainingStep(torch.nn.Linear(1, 1), task)
    for rows in (torch.tensor([0, 1, 2]), torch.tensor([3])):
        batch = split.take(rows)
        step.loss(Output(logits[rows, : batch.y.shape[1]]), batch)
    assert float(step.sums["loss"] / step.sums["samples"]) == pytest.approx(float(task.loss(logits, whole)), rel=1e-6)


def test_recorded_losses_are_those_of_the_whole_splits(tmp_path):
    """With weights that do not change, the averages over batches of unequal size are the losses over all samples."""
    still = {"optimizer": {"name": "sgd", "lr": 1e-12}, "trainer.max_epochs": 1, "data.batch_size": 150,
             "model.dropout": {"input": 0.0, "output": 0.0}}  # fmt: skip
    experiment = Experiment.of(VOWELS).with_overrides(still)
    run = Run.create(tmp_path / "run", experiment.dump(), command="")
    train(experiment, run)
    (row,) = run.rows()
    dataset = experiment.data.build()
    learner = build(experiment, dataset)
    load_weights(learner, run)
    for name, split in (("train", dataset.train), ("val", dataset.validation)):
        scores, _ = scores_of(learner, split, 64)
        assert row[f"{name}/loss"] == pytest.approx(scores["loss"], rel=1e-5), name
