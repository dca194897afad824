"""Folders of format 1 open, resume and predict; old keys in a configuration file are refused by their new names."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from sweeping import run_trials

from lstm_lab import config, load_sweep
from lstm_lab.config import ConfigError, legacy
from lstm_lab.evaluation.evaluate import evaluate
from lstm_lab.evaluation.predict import predict
from lstm_lab.experiment import Experiment, load_experiment
from lstm_lab.records.run import MEASURED, Run
from lstm_lab.report import write_report
from lstm_lab.sweeps.spec import Sweep
from lstm_lab.sweeps.spec import load_sweep as read_sweep_file
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.record import read_sweep
from lstm_lab.sweeps.store.repair import repair
from lstm_lab.training.train import train

GOLDEN = Path(__file__).parent / "golden" / "format_1"
FOLDERS = GOLDEN / "folders"


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A copy to write to, from a folder where the relative paths of its experiments exist."""
    shutil.copytree(GOLDEN, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    return tmp_path / "old" / "folders"


def test_an_interrupted_run_resumes_to_what_it_would_have_become(folders):
    run, whole = Run.open(folders / "cut-1"), Run.open(folders / "whole-1")
    assert len(run.rows()) == 3
    train(Experiment.of(run.experiment), run)

    def measured(rows):
        return [{key: value for key, value in row.items() if key not in MEASURED} for row in rows]

    assert len(run.rows()) == len(whole.rows()) == 6
    # The last digits differ between processors, and without the compiled engine; the masks of dropout are drawn by key
    # since, and by stream then.
    for number, (ours, theirs) in enumerate(zip(measured(run.rows()), measured(whole.rows()), strict=True)):
        assert ours == pytest.approx(theirs, rel=1e-4 if number < 3 else 0.05)
    assert run.status["state"] == "finished"


@pytest.mark.parametrize("name", ["load-1", "texts-1"])
def test_a_finished_run_is_evaluated_and_shown(folders, name):
    run = Run.open(folders / name)
    before = run.about["validation"]
    assert {"split", "metric", "scores"} <= before.keys()
    assert evaluate(run, "validation").model == pytest.approx(before["scores"], rel=1e-5)
    scores = evaluate(run)
    assert [row["test_evaluations"] for row in run.test_evaluations()][-1] == scores.test_evaluations
    assert all({"at", "split"} <= row.keys() for row in run.test_evaluations())
    assert write_report(run.path).is_file()


def test_predictions_are_what_they_were(folders):
    header, rows = predict(Run.open(folders / "texts-1"), "texts.csv")
    with (GOLDEN / "texts_predicted.csv").open() as file:  # Probabilities came later.
        assert [header[:2], *([str(value) for value in row[:2]] for row in rows)] == list(csv.reader(file))
    header, rows = predict(Run.open(folders / "load-1"), "load.csv")
    assert header[1:3] == ["ahead", "load"]
    assert len(rows) == 4


@pytest.mark.parametrize(("name", "trials"), [("cells-1", 8), ("pbt-1", 2), ("optuna_cut", 2)])
def test_a_sweep_is_read(folders, name, trials):
    table = load_sweep(folders / name).trials
    assert len(table) == trials
    assert table["val/mse"].notna().all()
    record = read_sweep(folders / name)
    assert record.title
    assert [trial.id for trial in record.trials] == list(table.trial)
    assert record.configurations[0].mean == min(row.mean for row in record.configurations if row.completed)
    for path in (folders / name).glob("best.yaml"):
        assert Experiment.of(legacy.experiment(config.load(path)))
    assert write_report(folders / name).is_file()
    assert repair(folders / name) == []


def test_what_a_population_has_exploited_is_read(folders):
    record = read_sweep(folders / "pbt-1")
    (row,) = [row for trial in record.trials for row in trial.lineage]
    assert row["source"] in {trial.id for trial in record.trials}
    assert all({"old", "source", "new"} <= change.keys() for change in row["changes"].values())


def test_an_interrupted_sweep_resumes_to_what_it_would_have_become(folders):
    cut, whole = SweepFolder.open(folders / "optuna_cut"), SweepFolder.open(folders / "optuna_whole")
    run_trials(cut)
    assert [trial.state for trial in cut.trials()] == ["finished"] * 4
    assert [trial.overrides for trial in cut.trials()][:2] == [trial.overrides for trial in whole.trials()][:2]
    assert {trial.configuration for trial in cut.trials()} == {0, 1, 2, 3}
    assert cut.leaderboard()[0].n == 1


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.yaml")), ids=lambda path: path.name)
def test_old_keys_of_a_file_are_refused_by_their_new_names(path, monkeypatch):
    monkeypatch.chdir(GOLDEN)
    content = config.load(path)
    read = read_sweep_file if "space" in content else load_experiment
    old = "experiment" in content or any(key in path.read_text() for key in ("depth", "decides", "longest"))
    assert old
    with pytest.raises(ConfigError, match=r"is now called '\w+'") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def _new_names(table):
    return [(section, old, new) for section, names in table.items() for old, new in names.items()]


@pytest.mark.parametrize(("section", "old", "new"), _new_names(legacy.EXPERIMENT) + _new_names(legacy.SWEEP))
def test_every_successor_is_a_key_of_today(section, old, new):
    from lstm_lab.config.fields import fields

    known = {row.path for model in (Experiment, Sweep) for row in fields(model)}
    assert (f"{section}.{new}" if section else new) in known
    assert legacy.successor(section, old) == new


def test_content_of_today_is_left_as_it_is(vowels, demand, reber):
    for experiment in (vowels, demand, reber):
        assert legacy.experiment(experiment.dump()) == experiment.dump()
