"""Every experiment in conf/ has a title, loads, and takes a step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lstm_lab.experiment import load_experiment
from lstm_lab.training.train import build

FILES = sorted((Path(__file__).parent.parent / "conf").glob("*.yaml"))


LARGE = {"imdb_lstm", "imdb_keras_lstm"}
"""Reading takes half a minute without a cache."""


@pytest.mark.parametrize(
    "path", [pytest.param(p, id=p.stem, marks=[pytest.mark.slow] if p.stem in LARGE else []) for p in FILES]
)
def test_every_experiment_takes_a_step(path, readable):
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ")
    assert len(lines) <= 20
    experiment = load_experiment(path)
    if "held_out" in type(experiment.data).model_fields:  # made to measure
        experiment = experiment.with_overrides({"data.train_size": 60, "data.eval_size": 10})
    dataset = readable(experiment.data.build())
    learner = build(experiment, dataset)
    batch = dataset.train.take(torch.arange(4))
    before = learner.task.loss(learner(batch).logits, batch)
    before.backward()
    assert before.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in learner.model.parameters())
    learner.configure_optimizers().step()
    learner.task.loss(learner(batch).logits, batch).backward()
