"""`train --dry-run`, and what the averages of an epoch's record are: means over targets, classes weighted."""

from __future__ import annotations

import re
import sys

import pytest
import torch

import lstm_lab.__main__ as cli
from lstm_lab import config
from lstm_lab.records.run import Run
from lstm_lab.training.train import build, train


def test_it_says_what_a_training_would_do_and_makes_nothing(tmp_path, monkeypatch, capsys, vowels, runs):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_text(config.to_yaml(vowels.dump()))
    out = ""
    for words, code in ((["train", "x.yaml", "--dry-run", "model.hidden_size=5"], 0),
                        (["train", "--resume", "runs/x", "--dry-run"], 2)):  # fmt: skip
        monkeypatch.setattr(sys, "argv", ["lstm-lab", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == code
        said = capsys.readouterr()
        out = said.out or out
    experiment = vowels.with_overrides({"model.hidden_size": 5})
    learner = build(experiment, experiment.data.build())
    parameters = sum(parameter.numel() for parameter in learner.model.parameters())
    assert f"{parameters:,} parameters" in out
    assert re.search(r"batch +x \(32, \d+, 12\), y \(32,\), 7 in an epoch", out), out
    assert "baseline    logistic regression" in out
    assert re.search(r"time +about [\d.e+-]+ s an epoch", out)
    assert not runs.exists()


@pytest.mark.parametrize("weights", ["none", "balanced", (3.0, 1, 1, 1, 1, 1, 1, 1, 0.1)])
def test_recorded_losses_are_means_over_all_samples_with_their_weights(tmp_path, vowels, weights):
    # The learning rate moves no weight, and the last batch is smaller than the others.
    changes = {"task.class_weights": weights, "optimizer.lr": 1e-30, "trainer.max_epochs": 1, "data.batch_size": 50,
               "model.dropout.input": 0.0, "model.dropout.output": 0.0, "task.label_smoothing": 0.1}  # fmt: skip
    experiment = vowels.with_overrides(changes)
    dataset = experiment.data.build()
    run = Run.create(tmp_path / "run", experiment.dump(), command="", job_type="train")
    row = train(experiment, run, dataset=dataset).row
    learner = build(experiment, dataset).eval()
    for split, name in ((dataset.train, "train/loss"), (dataset.validation, "val/loss")):
        assert len(split) % 50
        whole = split.take(torch.arange(len(split)))
        with torch.inference_mode():
            expected = float(learner.task.loss(learner(whole).logits, whole))
        assert row[name] == pytest.approx(expected, rel=1e-4)
