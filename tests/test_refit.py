"""refit: the best configuration, trained once more on the training and the validation split together."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path

import pytest
import torch
from rich.console import Console
from sweeping import run_trials, write

import lstm_lab as lab
from lstm_lab.config import ConfigError, DataError, Interrupted
from lstm_lab.experiment import Experiment, load_experiment
from lstm_lab.records import requests
from lstm_lab.records.run import Run
from lstm_lab.sweeps.execution import driver
from lstm_lab.sweeps.store import summary
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.refit import refit, refit_epochs
from lstm_lab.sweeps.view.requests import ask
from lstm_lab.training.checkpointing import read_checkpoint
from lstm_lab.training.train import train
from lstm_lab.verbs import terminal


def both(experiment):
    """Its data with the validation split in the training split."""
    return experiment.refit(1).data.build()


@pytest.fixture
def texts(tmp_path):
    rows = [f"{'good' if i % 2 else 'bad'} film number {i},{'pos' if i % 2 else 'neg'}" for i in range(40)]
    (tmp_path / "films.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    return Experiment.of({"data": {"name": "csv_text", "path": str(tmp_path / "films.csv")}, "task": "classify"})


def assert_joined(experiment):
    """The training split has both, the others stay as they are, and nothing takes the data for the others."""
    own, joined = experiment.data.build(), both(experiment)
    assert len(joined.train) > len(own.train)
    assert len(joined.validation) == len(own.validation)
    assert len(joined.test_split()) == len(own.test_split())
    assert joined.digest != own.digest
    y, of_validation = own.validation.take(torch.arange(3)).y, joined.validation.take(torch.arange(3)).y
    assert y.shape == of_validation.shape


def test_the_training_split_has_the_validation_split_too(demand, vowels, texts):
    for experiment in (demand, vowels, texts):
        assert_joined(experiment)
    own, joined = demand.data.build(), both(demand)
    assert joined.train.ranges[0].end == own.validation.ranges[0].end
    assert joined.info.mean != own.info.mean
    assert len(both(vowels).train) == 270
    assert sum(both(vowels).info.counts) == 270
    own, joined = texts.data.build(), both(texts)
    assert len(joined.train) == len(own.train) + len(own.validation)


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(Path("conf").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_data_set_joins_its_splits_or_says_that_it_cannot(path):
    try:
        experiment = load_experiment(path)
        _ = experiment.data.build().info
    except DataError as error:
        pytest.skip(str(error))
    if experiment.data.dataset.folds_by:
        assert_joined(experiment)
        return
    with pytest.raises(ConfigError, match="are fixed; leave it out"):
        experiment.refit(1)


def test_a_shorter_training_of_the_same_schedule_is_the_beginning_of_the_longer_one(tmp_path, demand):
    base = demand.with_overrides({"schedule": {"name": "cosine", "warmup_fraction": 0.3}, "trainer.max_epochs": 4})
    whole, part = base, base.with_overrides({"trainer.max_epochs": 2, "trainer.schedule_epochs": 4})
    found = []
    for name, experiment in (("whole", whole), ("part", part)):
        run = Run.create(tmp_path / name, experiment.dump())
        train(experiment, run)
        found.append([{k: v for k, v in row.items() if k == "lr" or "/" in k} for row in run.rows()])
    assert found[0][:2] == found[1]


class After(threading.Event):
    """Set once it was asked so often."""

    def __init__(self, count):
        super().__init__()
        self.count = count

    def is_set(self):
        self.count -= 1
        return self.count < 0


def ended(tmp_path, demand, name, **more):
    experiment = demand.with_overrides({"trainer.max_epochs": 4, "model.dropout.output": 0.2, "optimizer.lr": 0.01})
    folder = write(tmp_path / f"{name}.yaml", experiment, num_samples=2, seeds=[0, 1], refit=True, **more)
    run_trials(folder)
    return folder


def columns(run):
    return [
        {key: value for key, value in row.items() if "/" in key or key in ("epoch", "step", "lr")} for row in run.rows()
    ]


def test_the_winner_is_refit_for_its_median_best_epochs_and_both_are_scored_on_the_test_split(tmp_path, demand):
    folder = ended(tmp_path, demand, "sweep")
    best = folder.leaderboard()[0]
    run = refit(folder, threading.Event())
    content = summary.write(folder, "disabled")
    counts = sorted(refit_epochs(best).values())
    assert counts == sorted(1 + trial.epoch for trial in best.trials)
    row = content["refit"]
    assert row["epochs"] == int(sum(counts) / 2 + 0.5) == len(run.rows())
    assert (row["trial"], row["state"], row["test"]) == (content["winner"]["trial"], "finished", None)
    assert run.path == folder.path / row["run"]
    assert "is trained on too" in run.about["data"]["notes"][-1]
    assert run.experiment["seed"] == content["winner"]["config"]["seed"]
    assert len(folder.trials()) == 4  # It is no trial.
    scores = summary.evaluate_best(folder)
    content = json.loads((folder.path / "summary.json").read_text())
    assert content["refit"]["test"] == scores.details["refit"] == run.test_evaluations()[-1]["scores"]
    assert content["refit"]["test"] != content["winner"]["test"]
    assert [len(each.test_evaluations()) for each in (run, folder.run(row["trial"]))] == [1, 1]
    assert "refit on both splits" in [*terminal.scores(scores.dump(), "t").columns[0].cells]
    assert lab.load_sweep(folder.path).refit.path == run.path
    page = lab.load_sweep(folder.path).report("markdown").read_text().replace("\\", "")
    assert f"trained on the training and the validation split for {row['epochs']} epoch" in page
    assert refit(SweepFolder.open(folder.path), threading.Event()).path == run.path
    assert summary.write(folder, "disabled")["refit"]["test"] == content["refit"]["test"]


def test_the_page_of_a_sweep_whose_configurations_are_all_the_same_has_no_parallel_coordinates(tmp_path, demand):
    experiment = demand.with_overrides({"trainer.max_epochs": 1})
    folder = write(tmp_path / "same.yaml", experiment, space={"optimizer.lr": {"choice": [0.01]}}, num_samples=2)
    run_trials(folder)
    summary.write(folder, "disabled")
    assert "2 configurations" in lab.load_sweep(folder.path).report("markdown").read_text()


def test_a_refit_that_is_killed_in_the_middle_equals_an_uninterrupted_one(tmp_path, demand):
    whole, killed = (ended(tmp_path, demand, name) for name in ("whole", "killed"))
    run = refit(whole, threading.Event())
    steps = run.rows()[-1]["step"]
    for _ in range(3):
        with pytest.raises(Interrupted):
            refit(killed, After(steps // 3))
    assert summary.write(killed, "disabled")["refit"]["state"] == "interrupted"
    again = refit(killed, threading.Event())
    assert columns(again) == columns(run)
    one, other = (read_checkpoint(each.best_checkpoint)["state_dict"] for each in (again, run))
    assert all(torch.equal(one[key], other[key]) for key in other)


@pytest.mark.parametrize("action", requests.ACTIONS)
def test_a_refit_obeys_what_people_ask_of_its_sweep(tmp_path, monkeypatch, demand, action):
    folder = ended(tmp_path, demand, "sweep")
    made, seen = Console(file=io.StringIO()), requests.Requests(folder.path)
    with folder.lock():
        # Asked of the refit itself, in the moment before it begins.
        begun = folder.path / "refit" / folder.leaderboard()[0].trials[0].id
        assert str(folder.path) in ask(begun, action)
        assert seen.new()[0].action == action
        seen._num_seen = seen._size = 0
        monkeypatch.setattr(driver, "refit", lambda folder, stop: stop.wait(60) and refit(folder, stop))
        if action == "pause":
            with pytest.raises(Interrupted, match=r"paused by .*; resume with: again"):
                driver.run_refit(folder, made, None, "again", seen)
        else:
            driver.run_refit(folder, made, None, "again", seen)
            assert f"the refit has ended: {requests.PAST[action]} by" in made.file.getvalue()
    assert folder.about.get("stopped", {}).get("action") == (None if action == "pause" else action)
    assert summary.write(folder, "disabled")["refit"]["state"] == "interrupted"


@pytest.mark.parametrize(
    ("changes", "more", "message"),
    [
        (
            {},
            {"space": {"schedule": {"choice": ["constant", "plateau"]}}},
            "schedule 'plateau' observes the validation",
        ),
        ({"averaging": "nt_asgd"}, {}, "averaging 'nt_asgd' observes the validation split"),
        ({}, {"scheduler": {"name": "pbt", "perturbation_interval": 1}, "num_samples": 2}, "refit: scheduler 'pbt'"),
    ],
)
def test_what_cannot_be_refit_is_refused_before_it_starts(tmp_path, demand, changes, more, message):
    experiment = demand.with_overrides({"trainer.max_epochs": 4, **changes})
    with pytest.raises(ConfigError, match=message):
        write(tmp_path / "s.yaml", experiment, refit=True, **more)


def test_data_whose_splits_are_fixed_are_refused(tmp_path):
    experiment = Experiment.of({"data": "adding", "task": "regress"})
    with pytest.raises(ConfigError, match=r"the splits of data 'adding' are fixed; leave it out; or write"):
        write(tmp_path / "s.yaml", experiment, refit=True)


def test_no_epoch_is_chosen_by_a_split_that_is_trained_on(demand):
    with pytest.raises(ConfigError, match=r"no epoch can be chosen by it: write trainer\.select: last"):
        demand.with_overrides({"data.train_on_validation": True})
