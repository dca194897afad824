"""The winner, honestly: every seed of it is scored on the test split, and the mean of their predictions."""

from __future__ import annotations

from statistics import mean

import pytest
import sweeping

from lstm_lab.evaluation.evaluate import score_ensemble
from lstm_lab.records.files import read_json
from lstm_lab.report import write_report
from lstm_lab.sweeps.store import summary
from lstm_lab.verbs import terminal


def test_the_seeds_of_the_winner_are_tested_and_their_ensemble(tmp_path, demand):
    experiment = demand.with_overrides({"trainer.max_epochs": 1})
    folder = sweeping.write(tmp_path / "s.yaml", experiment, num_samples=1, seeds=[0, 1], order="arrival")
    sweeping.run_trials(folder)
    summary.write(folder, "disabled")
    scores = summary.evaluate_best(folder)
    ensemble = scores.details["ensemble"]
    runs = [folder.run(trial) for trial in ("t0000", "t0001")]
    each = [run.test_evaluations()[-1]["scores"] for run in runs]
    assert [len(run.test_evaluations()) for run in runs] == [1, 1]
    assert scores.model["loss"] == pytest.approx(mean(row["loss"] for row in each))
    # The loss is convex: the mean prediction is at most as bad as predictions are on average.
    assert ensemble["loss"] < scores.model["loss"]
    assert score_ensemble(runs[:1])["loss"] == pytest.approx(each[0]["loss"], rel=1e-5)
    assert read_json(folder.path / "summary.json")["winner"]["test_ensemble"] == ensemble
    assert "| ensemble of the seeds | " in write_report(folder.path, "markdown").read_text()
    assert "their ensemble" in list(terminal.scores(scores.dump(), "Test split").columns[0].cells)
