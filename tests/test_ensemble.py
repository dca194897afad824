"""Mean predictions of several trials: the winner's seeds on the test split, and the best configurations of a sweep."""

from __future__ import annotations

from statistics import mean

import numpy as np
import pytest
import sweeping
import torch

import lstm_lab
from lstm_lab.config import ConfigError, Notice
from lstm_lab.data.base import Batch
from lstm_lab.data.kinds.labelled import LabelledInfo
from lstm_lab.evaluation.ensemble import Ensemble, _same_targets, greedy_weights, score_together
from lstm_lab.evaluation.predict import load
from lstm_lab.experiment import Experiment
from lstm_lab.records.files import read_json, read_jsonl
from lstm_lab.report import write_report
from lstm_lab.sweeps.store import summary
from lstm_lab.sweeps.store.ensemble import choose, default_top
from lstm_lab.tasks.classify import Classify
from lstm_lab.tasks.regress import Regress
from lstm_lab.verbs import terminal

TWO = Classify(LabelledInfo(1, ("a", "b"), (1, 1)), "accuracy")


def batch_of(*labels):
    return Batch(torch.zeros(len(labels), 1, 1), torch.ones(len(labels), dtype=torch.int64), torch.tensor(labels))


def logits_of(*right):
    """Of two classes, from the probability of the right one, which is 0."""
    p = torch.tensor(right)
    return torch.stack([p.log(), (1 - p).log()], 1)


def test_the_seeds_of_the_winner_are_tested_and_their_ensemble(tmp_path, demand):
    experiment = demand.with_overrides({"trainer.max_epochs": 1})
    folder = sweeping.write(tmp_path / "s.yaml", experiment, num_samples=1, seeds=[0, 1], order="arrival")
    sweeping.run_trials(folder)
    summary.write(folder, "disabled")
    scores = summary.evaluate_best(folder, top=1)
    ensemble = scores.details["ensemble"]
    runs = [folder.run(trial) for trial in ("t0000", "t0001")]
    each = [run.test_evaluations()[-1]["scores"] for run in runs]
    assert [len(run.test_evaluations()) for run in runs] == [1, 1]
    assert scores.model["loss"] == pytest.approx(mean(row["loss"] for row in each))
    # The loss is convex: the mean prediction is at most as bad as predictions are on average.
    assert ensemble["loss"] < scores.model["loss"]
    assert score_together(runs[:1])["loss"] == pytest.approx(each[0]["loss"], rel=1e-5)
    assert read_json(folder.path / "summary.json")["winner"]["test_ensemble"] == ensemble
    page = write_report(folder.path, "markdown").read_text()
    assert "| ensemble of the seeds | " in page
    assert page.count("| ensemble of the best configuration: ") == 2  # Of validation and test split.
    column = list(terminal.scores(scores.dump(), "Test split").columns[0].cells)
    assert "their ensemble" in column
    assert any(str(cell).startswith("ensemble of the best configuration: ") for cell in column)
    rows = read_jsonl(folder.path / "ensembles.jsonl")  # Chosen, counted before the test split is read, scored.
    assert [(row["test_evaluations"], row["test"] is not None) for row in rows] == [(0, False), (1, False), (1, True)]


def test_weights_are_chosen_greedily_with_replacement():
    batch = batch_of(0, 0, 0, 0)
    # Two that err on different samples, and one that is wrong everywhere.
    logits = [[logits_of(0.9, 0.9, 0.3, 0.3), logits_of(0.2, 0.2, 0.8, 0.8), logits_of(0.1, 0.1, 0.1, 0.1)]]
    weights = greedy_weights(TWO, logits, [batch])
    assert weights[2] == 0
    assert min(weights[:2]) > 0
    losses = [float(TWO.loss(TWO.mean_logits(torch.stack([z])), batch)) for z in logits[0]]
    chosen = [z for z, weight in zip(logits[0], weights, strict=True) for _ in range(weight)]
    assert float(TWO.loss(TWO.mean_logits(torch.stack(chosen)), batch)) < min(losses)
    assert greedy_weights(TWO, [[logits[0][2], logits[0][2]]], [batch]) == [1, 0]
    nothing = torch.full((4, 2), torch.nan)
    assert greedy_weights(TWO, [[nothing, nothing]], [batch]) == [1, 0]


def test_targets_decide_whether_samples_are_the_same():
    assert _same_targets(batch_of(0, 1), batch_of(0, 1))
    assert not _same_targets(batch_of(0, 1), batch_of(0, 0))
    assert not _same_targets(batch_of(0, 1), batch_of(0, 1, 1))
    assert not _same_targets(None, batch_of(0, 1))
    scaled = batch_of(0)._replace(scale=torch.ones(1, 3, 1))
    assert not _same_targets(scaled, batch_of(0))


def sequences(path, count=24):
    rng, lines = np.random.default_rng(0), ["sequence,a,b,label"]
    for i in range(count):
        lines += [f"P{i},{a:.3f},{b:.3f},{'uv'[i % 2]}" for a, b in rng.normal(i % 2, 1, (4, 2))]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Two configurations with two seeds each, trained for an epoch on sequences in a file; calibrated."""
    base = tmp_path_factory.mktemp("ensembles")
    experiment = Experiment.of(
        {
            "data": {
                "name": "csv_sequences",
                "path": str(sequences(base / "seq.csv")),
                "id": "sequence",
                "label": "label",
                "channels": ["a", "b"],
            },
            "task": {"name": "classify", "temperature_scaling": True, "conformal": True},
            "model": {"hidden_size": 3},
            "trainer": {"max_epochs": 1, "patience": None},
        }
    )
    folder = sweeping.write(base / "s.yaml", experiment, num_samples=2, seeds=[0, 1], order="arrival")
    sweeping.run_trials(folder)
    summary.write(folder, "disabled")
    return folder


def test_the_best_configurations_predict_together(swept, tmp_path, lab):
    sequences(tmp_path / "new.csv", 6)
    code, out, err = lab("predict", swept.path, "new.csv", "--ensemble")
    assert (code, default_top(swept)) == (0, 2), err
    assert err.startswith("lstm-lab: ensemble of the best 2 configurations: ")
    row = choose(swept, 2)
    used = [(swept.run(t), w) for t, w in zip(row.trials, row.weights, strict=True) if w]
    found = lstm_lab.load_sweep(swept.path).predict(str(tmp_path / "new.csv"), top=2)
    assert out.splitlines()[0] == ",".join(found.columns)
    assert "set 90%" in found.columns
    # The mean of the probabilities of the trials, without their own temperatures, by the ensemble's.
    probabilities = 0
    for run, weight in used:
        loaded = load(run)
        loaded.learner.task.load_calibration({"temperature": 1.0, "threshold": None})
        logits = torch.cat([loaded.learner.logits(b) for b in
                            loaded.dataset.read_new(str(tmp_path / "new.csv"), loaded.info).batches])  # fmt: skip
        probabilities += weight * logits.detach().softmax(-1)
    scaled = (probabilities / sum(row.weights)).log() / row.calibration["temperature"]
    np.testing.assert_allclose(found[["probability u", "probability v"]], scaled.softmax(-1), atol=1e-6)
    assert len(read_jsonl(swept.path / "ensembles.jsonl")) == 1
    # What was recorded is enough: the data may be gone.
    data = swept.path.parent / "seq.csv"
    data.rename(tmp_path / "seq.csv")
    try:
        assert lab("predict", swept.path, "new.csv", "--top", "2")[:2] == (0, out)
    finally:
        (tmp_path / "seq.csv").rename(data)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["new.csv", "--top", "9"], "--top 9: {sweep} has 2 configurations with a value: choose from 1 to 2"),
        (["new.csv", "--top", "2", "--samples", "5"], "--samples: does not go with an ensemble"),
        (["--prompt", "a", "--top", "2"], "--prompt: does not go with --top: leave one out"),
    ],
)
def test_what_cannot_be_an_ensemble_is_refused(swept, lab, options, said):
    code, out, err = lab("predict", swept.path, *options)
    assert (code, out) == (2, "")
    assert said.format(sweep=swept.path) in err


def test_a_run_is_no_ensemble(swept, lab):
    code, _, err = lab("predict", swept.run("t0000").path, "new.csv", "--ensemble")
    assert (code, "not a sweep" in err) == (2, True)


def test_predictions_of_other_forms_have_no_mean(swept, monkeypatch):
    monkeypatch.setattr(Classify, "logits_form", property(lambda self: id(self)))
    with pytest.raises(ConfigError, match=r"predicts in another form than .* \(task\.output"):
        Ensemble([swept.run("t0000"), swept.run("t0001")])


def test_a_record_that_cannot_be_written_is_said_and_changes_nothing(swept, monkeypatch):
    def refuse(path, row):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("lstm_lab.records.files.append_jsonl", refuse)
    with pytest.warns(Notice, match=r"ensembles\.jsonl: cannot be written: Permission denied"):
        assert choose(swept, 1).top == 1


def test_forms_of_a_forecast_and_of_values_differ_by_what_their_numbers_mean():
    from lstm_lab.data.kinds.sequence_regression import RegressionInfo

    one, other = (Regress(RegressionInfo(1, targets), "mse") for targets in (("y",), ("z",)))
    assert one.logits_form == one.logits_form != other.logits_form
