"""Model and baselines: one rule decides which is better, on the page, on the command line and in the record."""

from __future__ import annotations

import math

import pytest

from lstm_lab.records.scores import Scores, compared_metric, skill, standing
from lstm_lab.report.verdict import verdict
from lstm_lab.verbs import terminal

CASES = [
    # metric, model, baselines, the best of the better ones, text
    (
        "accuracy", 0.97, {"majority class": 0.13, "logistic regression": 0.94}, "model",
        "The model scores better than every baseline on the test split: accuracy 0.9700 against 0.9400 for logistic "
        "regression, the best baseline, whose error it reduces by 50 %.",
    ),
    (
        "accuracy", 0.91, {"majority class": 0.13, "logistic regression": 0.94}, "logistic regression",
        "Logistic regression scores better than the model on the test split: accuracy 0.9400 against 0.9100.",
    ),
    (
        "mae", 3.0, {"naive": 2.0, "seasonal naive": 1.0, "mean": 4.0}, "seasonal naive",
        "Seasonal naive scores better than the model on the test split: MAE 1.000 against 3.000. So does naive.",
    ),
    (
        "mae", 3.0, {"naive": 3.0, "mean": 4.0}, "level",
        "The model is level with naive on the test split: MAE 3.000. No baseline scores better.",
    ),
    (
        "accuracy", 0.99, {"oracle": 1.0, "majority class": 0.13}, "oracle",
        "Oracle scores better than the model on the test split: accuracy 1.000 against 0.9900.",
    ),
    (
        "accuracy", 1.0, {"oracle": 1.0, "majority class": 0.13}, "level",
        "The model is level with oracle on the test split: accuracy 1.000. No baseline scores better.",
    ),
    (
        "mae", 0.5, {"oracle": 0.0, "naive": 0.25}, "oracle",
        "Oracle scores better than the model on the test split: MAE 0 against 0.5000. So does naive.",
    ),
    (
        "accuracy", 1.0, {"majority class": 0.1, "logistic regression": 0.9444}, "model",
        "The model scores better than every baseline on the test split: accuracy 1.000 against 0.9444 for logistic "
        "regression, the best baseline, whose error it reduces by 100 %.",
    ),
    (
        "mae", math.nan, {"naive": 3.0}, "naive",
        "Naive scores better than the model on the test split: MAE 3.000 against –.",
    ),
    (
        "mae", 0.1 + 0.2, {"naive": 0.3, "mean": 4.0}, "level",
        "The model is level with naive on the test split: MAE 0.3000. No baseline scores better.",
    ),
    (
        "mae", 0.0, {"oracle": 0.0, "mean": 4.0}, "level",
        "The model is level with oracle on the test split: MAE 0. No baseline scores better.",
    ),
    (
        "accuracy", 0.5, {"majority class": 0.5, "TF-IDF": 0.5, "oracle": 1.0}, "oracle",
        "Oracle scores better than the model on the test split: accuracy 1.000 against 0.5000.",
    ),
    (
        "mae", 0.5, {"naive": math.nan, "mean": 1.0}, "model",
        "The model scores better than every baseline on the test split: MAE 0.5000 against 1.000 for mean, the best "
        "baseline, whose error it reduces by 50 %.",
    ),
]  # fmt: skip
NAMES = ["better", "worse", "worse than two", "equal", "baseline without error", "both without error",
         "baseline without error, less is better", "model without error", "model without a score",
         "equal but for rounding", "both without error, less is better", "equal to one, worse than another",
         "baseline without a score"]  # fmt: skip


@pytest.mark.parametrize(("metric", "model", "baselines", "winner", "text"), CASES, ids=NAMES)
def test_page_terminal_and_record_agree(metric, model, baselines, winner, text):
    scores = Scores(
        split="test", monitor="loss", mode="min", model={"loss": 0.1, metric: model},
        baselines={name: {metric: value} for name, value in baselines.items()}, test_evaluations=1,
        maximised=frozenset({"accuracy"}),
    )  # fmt: skip
    content = scores.dump()
    assert scores.winner == winner
    assert content["winner"] == winner
    found = verdict("test", "val/loss", content["scores"], content["baselines"], content["skill"])
    assert (found.text, found.beaten) == (text, winner not in ("model", "level"))
    assert terminal.verdict(content) == text


def test_without_a_common_metric_there_is_no_verdict():
    assert verdict("test", "val/loss", {"loss": 0.1}, {}, {}) is None
    assert verdict("test", "val/loss", {"loss": 0.1}, {"naive": {"mae": 1.0}}, {"naive": None}) is None
    content = {"split": "test", "metric": "loss", "scores": {"loss": 0.1}, "baselines": {}, "skill": {}}
    assert terminal.verdict(content) == "No baseline was scored on the test split."


def test_the_compared_metric_is_the_monitored_one_or_the_first_that_baselines_have():
    model = {"loss": 0.1, "accuracy": 0.9, "macro_f1": 0.8}
    baselines = [{"accuracy": 0.5, "macro_f1": 0.4}]
    assert compared_metric("val/macro_f1", model, baselines) == "macro_f1"
    assert compared_metric("val/loss", model, baselines) == "accuracy"
    assert compared_metric("val/accuracy", model, [{"macro_f1": 0.4}]) == "macro_f1"
    assert compared_metric("val/accuracy", model) == "accuracy"


def test_a_baseline_without_a_score_is_not_better():
    values = {"broken": {"mae": math.nan}, "naive": {"mae": 1.0}}
    skills = {name: skill(2.0, row["mae"], "min") for name, row in values.items()}
    assert standing("mae", {"mae": 2.0}, values, skills).better == ("naive",)
