"""evaluate(): the scores of a trained run, and who reads the test split."""

from __future__ import annotations

import json

import pytest

from lstm_lab.config import DataError
from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.records.run import Run
from lstm_lab.records.scores import better_elsewhere
from lstm_lab.training.train import train


def trained(tmp_path, experiment):
    run = Run.create(tmp_path / "run", experiment.dump())
    train(experiment, run)
    return run


def test_the_test_split_is_read_by_evaluate_alone_and_counted(tmp_path, vowels, monkeypatch):
    opened = []
    owner = vowels.data.owner
    real = owner.test_split
    monkeypatch.setattr(owner, "test_split", lambda self: opened.append(1) or real(self))
    run = trained(tmp_path, vowels)
    evaluate(run, "validation")
    assert not opened
    assert run.test_evaluations() == []
    first, second = evaluate(run), evaluate(run)
    assert (first.test_evaluations, second.test_evaluations, len(opened)) == (1, 2, 2)
    assert [row["test_evaluations"] for row in run.test_evaluations()] == [1, 2]
    assert first.model == second.model
    assert json.loads(json.dumps(first.dump()))["split"] == "test"


def test_a_run_is_not_evaluated_on_other_data(tmp_path, vowels):
    run = trained(tmp_path, vowels)
    run.describe(data={**run.about["data"], "digest": "0" * 16})
    with pytest.raises(DataError, match="was trained on data 0000000000000000"):
        evaluate(run)


def test_a_better_baseline_is_the_winner(tmp_path, vowels):
    experiment = vowels.with_overrides({"trainer.max_epochs": 1, "optimizer.lr": 1e-6})
    scores = evaluate(trained(tmp_path, experiment), "validation")
    assert scores.winner == "logistic regression"
    assert scores.skill["logistic regression"] < 0


def test_a_baseline_without_the_compared_metric_is_not_passed_over():
    model, maximised = {"nll": 1.0, "bleu": 30.0, "loss": 1.0}, frozenset({"bleu"})
    rows = {"nearest": {"bleu": 60.0}, "copy": {"bleu": 40.0}, "bigram": {"nll": 0.5}}
    said = ["by bleu nearest scores better than the model: 60 against 30"]
    assert better_elsewhere("nll", model, rows, maximised) == said
    assert better_elsewhere("nll", {**model, "bleu": 60.0}, rows, maximised) == []
    assert better_elsewhere("nll", model, {"last": {"mae": 1.0}}, maximised) == []
