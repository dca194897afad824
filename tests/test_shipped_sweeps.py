"""The shipped sweeps: each has a title, is valid at every corner, trains a step of its configurations, runs reduced."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from rich.console import Console

from lstm_lab.data import SequenceDataModule
from lstm_lab.sweeps.corners import build_corners
from lstm_lab.sweeps.spec import load_sweep
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.training.train import build

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "sweeps").glob("*.yaml"))
QUICK = ("japanese_vowels", "taylor", "jsb_chorales", "adding")
REDUCED = ["num_samples=1", "seeds=[0]", "confirm=null", "experiment.trainer.max_epochs=1"]


def parameter(path):
    """Slow where the data takes longer to read than all other tests to run."""
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        data = load_sweep(path).base.data.name
    finally:
        os.chdir(before)
    return pytest.param(path, marks=[] if data in QUICK else [pytest.mark.slow], id=path.stem)


@pytest.fixture
def shipped(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_has_a_title_in_its_first_line(path, shipped):
    first = path.read_text().splitlines()[0]
    assert first.startswith("# ")
    assert load_sweep(path).title == first[2:]
    assert first.endswith("?")


@pytest.mark.parametrize("path", [parameter(path) for path in FILES])
def test_each_is_valid_at_every_corner_and_trains_a_step(path, shipped, readable):
    sweep = load_sweep(path)
    readable(sweep.base.data.build())
    build_corners(sweep, str(path))
    searcher = sweep.build_searcher()
    searcher.setup(sweep.search_space, sweep.num_samples, sweep.seed, sweep.base.mode)
    # Of a grid, the first and the last combination.
    for number in {0, min(len(searcher.grid_combinations), sweep.num_configurations) - 1}:
        experiment = sweep.experiment_for(searcher.ask(number), sweep.seeds[0])
        dataset = experiment.data.build()
        learner = build(experiment, dataset)
        batch = next(iter(SequenceDataModule(dataset, experiment.data.batch_size, 0).train_dataloader()))
        loss = learner.task.loss(learner(batch).logits, batch)
        loss.backward()
        assert torch.isfinite(loss)
        assert any(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in learner.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_runs_reduced_to_a_winner(path, shipped, readable, tmp_path):
    from lstm_lab.sweeps.execution import execute_sweep

    overrides = list(REDUCED)
    if load_sweep(path).is_population_based:
        overrides = ["num_samples=2", "experiment.trainer.max_epochs=5"]
    sweep = load_sweep(path, overrides)
    if sweep.num_configurations > 4:
        sweep = load_sweep(path, [*overrides, "budget={trials: 2}"])
    readable(sweep.base.data.build())
    folder = SweepFolder.create(tmp_path / path.stem, sweep, command="test")
    content = execute_sweep(folder, wandb="disabled", console=Console(quiet=True))
    assert content["trials"]["failed"] == 0
    assert content["winner"]
    assert (folder.path / "best.yaml").is_file()
