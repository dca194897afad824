"""The LightningModule and the data module of a run in anybody's Trainer: logged, stopped, checkpointed, resumed."""

from __future__ import annotations

import csv
import math
import warnings

import pytest
import pytorch_lightning as pl
import torch
from conftest import DEMAND, REBER, VOWELS
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger

import lstm_lab as lab
from lstm_lab.config import ConfigError
from lstm_lab.data import SequenceDataModule
from lstm_lab.experiment import Experiment
from lstm_lab.training.learner import Learner
from lstm_lab.training.train import build

METRICS = {"train/loss", "train/grad_norm", "val/loss", "val/accuracy", "lr"}


def made(content=VOWELS, **overrides):
    """Learner and data module of an experiment, as `run.learner()` and `run.datamodule()` give them untrained."""
    experiment = Experiment.of(content).with_overrides(overrides)
    dataset = experiment.data.build()
    data = SequenceDataModule(dataset, experiment.data.batch_size, experiment.seed, experiment.data.augment)
    return build(experiment, dataset), data


@pytest.fixture
def trainer(tmp_path):
    """A Trainer with a CSVLogger and Lightning's own defaults."""

    def build(**options):
        logger = CSVLogger(tmp_path, name="logs")
        defaults = {"max_epochs": 3, "logger": logger, "accelerator": "cpu", "enable_progress_bar": False}
        return pl.Trainer(**{**defaults, "enable_model_summary": False, "log_every_n_steps": 1, **options})

    return build


def logged(trainer):
    """Rows of the CSVLogger, numbers where there are some."""
    with open(f"{trainer.logger.log_dir}/metrics.csv", encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


def test_every_epoch_reaches_the_trainers_logger(trainer):
    run = lab.train(Experiment.of(VOWELS), "trainer.max_epochs=3", wandb="disabled", progress=False)
    mine = trainer(gradient_clip_val=1.0)
    mine.fit(*made())
    rows = logged(mine)
    assert len(rows) == 3
    assert set(rows[0]) >= METRICS
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    for row, expected in zip(rows, run.rows(), strict=True):
        assert {name: row[name] for name in METRICS} == pytest.approx({name: expected[name] for name in METRICS})


def test_a_run_continues_in_another_trainer_from_its_best_epoch(trainer, recwarn):
    run = lab.train(Experiment.of(VOWELS), "trainer.max_epochs=2", wandb="disabled", progress=False)
    learner, data = run.learner(), run.datamodule()
    (validated,) = trainer().validate(learner, data, verbose=False)
    assert validated["val/loss"] == pytest.approx(run.best["val/loss"], rel=1e-5)
    assert not learner.training
    mine = trainer()
    mine.fit(learner, data)
    assert logged(mine)[0]["val/loss"] < run.best["val/loss"] * 1.1
    assert mine.global_step == 3 * len(data.train_dataloader())
    mine = trainer(max_epochs=1)  # The same learner once more: steps are counted from zero again.
    mine.fit(learner, data)
    assert logged(mine)[0]["train/grad_norm"] < 100
    unexpected = [str(w.message) for w in recwarn if "lstm_lab" in w.filename or "log" in str(w.message)]
    assert not unexpected


def test_early_stopping_and_checkpoints_on_the_validation_loss(trainer, tmp_path):
    learner, data = made(**{"optimizer.lr": 0.05})
    best = ModelCheckpoint(tmp_path, "best", monitor="val/loss")
    stopping = EarlyStopping("val/loss", patience=1, min_delta=10.0)  # Nothing is good enough after the first epoch.
    mine = trainer(max_epochs=9, callbacks=[best, stopping])
    mine.fit(learner, data)
    assert mine.current_epoch == 2
    assert float(best.best_model_score) == min(row["val/loss"] for row in logged(mine))
    weights = torch.load(best.best_model_path, weights_only=True)["state_dict"]
    again, data = made()
    again.load_state_dict(weights)
    (validated,) = trainer().validate(again, data, verbose=False)
    assert validated["val/loss"] == pytest.approx(float(best.best_model_score), rel=1e-5)


def test_resumed_from_lightnings_own_checkpoint_is_uninterrupted(trainer, tmp_path):
    whole, data = made()
    pl.seed_everything(0, verbose=False)
    one = trainer(max_epochs=3)
    one.fit(whole, data)
    first, data = made()
    pl.seed_everything(0, verbose=False)
    two = trainer(max_epochs=2, callbacks=[ModelCheckpoint(tmp_path, "last")])
    two.fit(first, data)
    second, data = made()
    three = trainer(max_epochs=3)
    three.fit(second, data, ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert logged(three)[-1] == logged(one)[-1]


@pytest.mark.parametrize("content", [DEMAND, REBER], ids=["forecast", "next_step"])
def test_other_tasks(trainer, content):
    learner, data = made(content)
    mine = trainer(max_epochs=1)
    mine.fit(learner, data)
    (row,) = logged(mine)
    assert math.isfinite(row["val/loss"])


def test_plain_loaders_without_validation_log_training(trainer):
    learner, data = made()
    mine = trainer(max_epochs=2)
    mine.fit(learner, data.train_dataloader())
    rows = logged(mine)
    assert [set(row) & METRICS for row in rows] == [{"train/loss", "train/grad_norm", "lr"}] * 2
    assert rows[1]["train/loss"] < rows[0]["train/loss"]


def test_metrics_are_of_the_steps_since_they_were_last_logged(trainer):
    """Validation twice an epoch, every other epoch, and gradients accumulated over batches."""
    norms = {}
    for name, options in {
        "each": {},
        "half": {"val_check_interval": 0.5},
        "other": {"check_val_every_n_epoch": 2},
        "accumulated": {"accumulate_grad_batches": 2},
    }.items():
        learner, data = made(**{"optimizer.lr": 1e-9})  # Weights stay, so that every norm is that of one gradient.
        mine = trainer(max_epochs=2, **options)
        mine.fit(learner, data)
        rows = logged(mine)
        assert len(rows) == {"each": 2, "half": 4, "other": 1, "accumulated": 2}[name]
        norms[name] = [row["train/grad_norm"] for row in rows]
    for name in ("half", "other"):
        assert sum(norms[name]) / len(norms[name]) == pytest.approx(norms["each"][0], rel=0.2)
    assert norms["accumulated"][0] == pytest.approx(norms["each"][0], rel=0.4)


def test_gradients_are_clipped_as_the_trainer_says(trainer):
    for algorithm, largest in (("norm", lambda g: torch.cat([x.flatten() for x in g]).norm()),
                               ("value", lambda g: max(x.abs().max() for x in g))):  # fmt: skip
        learner, data = made()
        mine = trainer(max_steps=1, max_epochs=-1, gradient_clip_val=0.01, gradient_clip_algorithm=algorithm)
        mine.fit(learner, data)
        gradients = [p.grad for p in learner.parameters()]
        assert float(largest(gradients)) == pytest.approx(0.01, rel=1e-4)
        assert mine.callback_metrics.get("train/grad_norm", 1.0) > 0.01


def test_no_limit_of_epochs_needs_a_schedule_that_needs_none(trainer):
    learner, data = made()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mine = trainer(max_epochs=-1, callbacks=[EarlyStopping("val/loss", patience=1, min_delta=10.0)])
        mine.fit(learner, data)
        assert mine.current_epoch == 2
        learner, data = made(**{"schedule": "cosine"})
        with pytest.raises(ConfigError, match="schedule 'cosine' needs the number of steps: give the Trainer max_ep"):
            trainer(max_epochs=-1).fit(learner, data)


def test_a_subclass_adds_its_own(trainer):
    class Noisy(Learner):
        def training_step(self, batch, batch_idx):
            loss = super().training_step(batch, batch_idx)
            self.log("mine", 1.0)
            return loss

    learner, data = made()
    learner.__class__ = Noisy
    mine = trainer(max_epochs=1)
    mine.fit(learner, data)
    assert any(row.get("mine") == 1.0 for row in logged(mine))


@pytest.mark.slow
def test_a_wandb_logger_receives_the_metrics(trainer, tmp_path):
    from pytorch_lightning.loggers import WandbLogger

    logger = WandbLogger(save_dir=tmp_path, mode="offline", project="lstm-lab")
    trainer(max_epochs=1, logger=logger).fit(*made())
    summary = dict(logger.experiment.summary)
    logger.experiment.finish()
    assert set(summary) >= METRICS
