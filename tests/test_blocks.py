"""Several steps of the optimizer in one step of Lightning's loop: the same run, bit for bit, as in single steps."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import DEMAND, REBER, VOWELS
from interruption import StopAt
from pytorch_lightning.callbacks import Callback

from lstm_lab.config import Interrupted
from lstm_lab.data import loader
from lstm_lab.data.kinds.windows import RowRange, Windows
from lstm_lab.data.loader import Loader
from lstm_lab.experiment import Experiment
from lstm_lab.records.run import Run
from lstm_lab.training import block_learner
from lstm_lab.training.block_learner import BlockLearner, blocks_suffice
from lstm_lab.training.train import train

SETTINGS = {"trainer.max_epochs": 2, "trainer.gradient_clip_val": 0.3, "schedule": "cosine"}
CASES = {
    "classes, augmented, dropout": (VOWELS, {"data.augment.jitter": 0.1, "model.dropout.output": 0.3}),
    "forecast": (DEMAND, {"optimizer": "adamw"}),
    "next step": (REBER, {}),
    "truncated": (REBER, {"trainer.truncated_bptt_steps": 3}),
}


class EveryBatch(Callback):
    """Has the training take single steps; counts them."""

    batches = 0

    def on_train_batch_end(self, *_):
        self.batches += 1


def trained(folder, content, overrides, callbacks=(), **options):
    experiment = Experiment.of(content).with_overrides({**SETTINGS, **overrides})
    run = Run.create(folder, experiment.dump(), command="", job_type="train") if not folder.exists() else Run(folder)
    train(experiment, run, callbacks=callbacks, **options)
    return run


def state(run):
    """What a run's last checkpoint holds, and its record without times."""
    content = torch.load(run.checkpoints / "last.ckpt", weights_only=True)
    rows = [{k: v for k, v in row.items() if "second" not in k and "memory" not in k} for row in run.rows()]
    return content, rows


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def assert_same(run, other):
    (content, rows), (expected, expected_rows) = state(run), state(other)
    assert rows == expected_rows
    for key in ("state_dict", "optimizer_states", "learner", "global_step", "epoch"):
        assert equal(content[key], expected[key]), key
    progress, counted = (each["loops"]["fit_loop"]["epoch_loop.batch_progress"] for each in (content, expected))
    assert progress == counted


@pytest.mark.parametrize("case", CASES)
def test_blocks_equal_single_steps(tmp_path, case):
    content, overrides = CASES[case]
    single = EveryBatch()
    assert not blocks_suffice("32", [single])
    blocks = trained(tmp_path / "blocks", content, overrides)
    steps = trained(tmp_path / "steps", content, overrides, [single])
    assert single.batches == steps.rows()[-1]["step"]
    assert_same(blocks, steps)


@pytest.mark.parametrize("first", ["blocks", "steps"])
def test_stopped_within_an_epoch_and_resumed(tmp_path, first):
    """Also where the run goes on in the other way: of Lightning's two counters of steps each has its own."""
    whole = trained(tmp_path / "whole", VOWELS, {})
    callbacks = [EveryBatch()]
    begun = [] if first == "blocks" else callbacks
    with pytest.raises(Interrupted, match="after 0 epochs"):
        trained(tmp_path / "run", VOWELS, {}, begun, stop=StopAt(3))
    content = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["global_step"] == 4
    assert_same(trained(tmp_path / "run", VOWELS, {}, callbacks if first == "blocks" else []), whole)


def test_a_block_ends_in_time_and_with_the_epoch(tmp_path, monkeypatch):
    counts = []

    class Blocks(Callback):
        """Not a hook for each batch: what the record of the run is called with."""

        def on_train_epoch_end(self, trainer, module):
            counts.append(trainer.fit_loop.epoch_loop.batch_progress.current.completed)

    assert blocks_suffice("32", [Blocks()])
    assert not blocks_suffice("bf16-mixed", [])
    clock = iter(range(10**6))
    monkeypatch.setattr(block_learner, "BLOCK_SECONDS", 3)
    monkeypatch.setattr(block_learner, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    blocks = []
    train_block = BlockLearner.training_step
    monkeypatch.setattr(BlockLearner, "training_step", lambda *a: blocks.append(1) or train_block(*a))
    run = trained(tmp_path / "run", VOWELS, {}, [Blocks()])
    batches = run.rows()[0]["step"]
    assert counts == [batches, batches]
    assert len(blocks) == 2 * -(-batches // 4)  # A block is 4 batches: each reading moves the clock on by 1 s.


@pytest.mark.parametrize("taken", [0, 500, 10**6])
def test_batches_taken_at_once_are_those_taken_one_by_one(monkeypatch, taken):
    values = torch.arange(120.0).view(60, 2)
    windows = Windows(values, 5, 2, 1, [RowRange(0, 0, 30), RowRange(30, 30, 60)], scales=torch.rand(2, 3, 1))
    expected = [windows.take(torch.from_numpy(i)) for i in windows.plan(4).batches(np.random.default_rng((3, 0)))]
    monkeypatch.setattr(loader, "TAKEN_AT_ONCE", taken)
    for start in (0, 1, 5):
        batches = Loader(windows, 4, seed=3)
        batches.load_state_dict({"position": start})
        found = list(batches)
        assert len(found) == len(expected) - start
        for batch, alone in zip(found, expected[start:], strict=True):
            for part, value in zip(batch, alone, strict=True):
                assert part is value is None or torch.equal(part, value)
