"""Sweeps on Ray: every trial the one train(), its record whole, the answer what the records say.

All of them share one Ray, for its start costs as much as a small sweep; test_sweep_killed.py starts its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from statistics import mean
from types import SimpleNamespace

import pytest
import ray
import torch
from local_cluster import command_line, descendants
from ray.tune.schedulers import FIFOScheduler
from rich.console import Console

from lstm_lab import config
from lstm_lab.experiment import Experiment, load_experiment
from lstm_lab.run import Run
from lstm_lab.sweeps.execution import driver, execute_sweep, population
from lstm_lab.sweeps.execution.callback import end_process
from lstm_lab.sweeps.execution.ray_cluster import cluster
from lstm_lab.sweeps.execution.trial_source import SearchPhase
from lstm_lab.sweeps.spec import load_sweep
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.view.progress import SweepProgress
from lstm_lab.training import train


class Anywhere:
    """As much of a sweep's folder as a cluster asks for."""

    def __init__(self, path):
        self.path, self.about = path, {}

    def describe(self, **info):
        self.about.update(info)


@pytest.fixture(scope="module", autouse=True)
def one_ray(tmp_path_factory):
    """One Ray for all sweeps of this file, each with a scratch folder of its own."""
    with cluster(Anywhere(tmp_path_factory.mktemp("ray"))) as scratch, pytest.MonkeyPatch.context() as patch:
        numbers = iter(range(99))

        @contextlib.contextmanager
        def shared(folder, *_, **__):
            yield scratch / f"sweep-{next(numbers)}"

        patch.setattr(driver, "cluster", shared)
        yield


def run_sweep(path, experiment, wandb="disabled", **more):
    """A sweep, its summary and what it said."""
    content = config.to_yaml({"experiment": experiment.dump(), **more})
    path.write_text(f"# Which cell for speaker identification?\n{content}")
    folder = SweepFolder.create(path.with_suffix(""), load_sweep(path), command=f"lstm-lab sweep {path.name}")
    with path.with_suffix(".txt").open("w") as file:
        content = execute_sweep(folder, wandb=wandb, console=Console(file=file, width=200))
    return folder, content, path.with_suffix(".txt").read_text()


@pytest.fixture(scope="module")
def vowels_experiment():
    return Experiment.of(
        {
            "data": {"name": "japanese_vowels", "batch_size": 32},
            "task": {"name": "classify", "monitor": "loss"},
            "model": {"hidden_size": 6, "pooling": "mean", "dropout": {"output": 0.2}},
            "optimizer": {"lr": 0.01},
            "trainer": {"max_epochs": 6, "patience": None},
        }
    )


@pytest.fixture(scope="module")
def swept(tmp_path_factory, vowels_experiment):
    """One sweep, run once: two arms, two draws, two seeds, some stopped by ASHA."""
    return run_sweep(
        tmp_path_factory.mktemp("swept") / "cells.yaml",
        vowels_experiment,
        wandb="offline",
        space={"model.cell": {"grid": ["lstm", "gru"]}, "optimizer.lr": {"loguniform": [1e-4, 3e-2]}},
        num_samples=2,
        seeds=[0, 1],
        seed=3,
        scheduler={"name": "asha", "grace_period": 2, "reduction_factor": 2},
    )


def test_every_trial_asked_for_came_to_an_end(swept):
    folder, content, said = swept
    counts = content["trials"]
    assert counts["total"] == 8 == counts["finished"] + counts["stopped"]
    assert counts["stopped"] >= 1
    assert counts["failed"] == 0
    for trial in folder.trials():
        assert folder.run(trial.id).status["state"] == trial.state
        assert f"{trial.id} {trial.state}" in said
    assert json.loads((folder.path / "summary.json").read_text()) == content


def test_every_trial_has_its_record_without_gaps_or_doubles(swept):
    folder, _, _ = swept
    for trial in folder.trials():
        rows = folder.run(trial.id).rows()
        assert [row["epoch"] for row in rows] == list(range(trial.epochs))
        assert (trial.epochs == 6) == (trial.state == "finished")


def test_one_ended_wandb_run_for_each_trial(swept):
    folder, content, _ = swept
    assert content["wandb"] == {"mode": "offline", "runs": 8, "ended": 8}
    dirs = list(folder.path.glob("trials/*/wandb/offline-run-*"))
    assert len(dirs) == 8
    assert {d.name.rsplit("-", 1)[-1] for d in dirs} == {trial.id for trial in folder.trials()}


def inspect(directory):
    """What W&B's own reader finds in an offline run, by type of record."""
    said = subprocess.run(
        [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(directory)],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    records = {}
    for line in said.splitlines():
        record = json.loads(line)
        records.setdefault(record["type"], []).append(record[record["type"]])
    return records


def test_the_wandb_run_says_what_the_record_says(swept):
    folder, _, _ = swept
    by_state = {trial.state: trial for trial in folder.trials()}
    assert set(by_state) == {"finished", "stopped"}
    for state, trial in by_state.items():
        run = folder.run(trial.id)
        (directory,) = run.path.glob("wandb/offline-run-*")
        records = inspect(directory)
        history = [record["item"] for record in records["history"]]
        assert [row["val/loss"] for row in history] == [row["val/loss"] for row in run.rows()]
        (begun,) = records["run"]
        assert begun["config"]["update"]["model"]["hidden_size"] == 6
        assert begun["run_group"] == folder.name
        assert begun["job_type"] == "trial"
        assert begun["tags"] == list(Experiment.of(run.experiment).tags)
        summary = {key: value for record in records["summary"] for key, value in record["update"].items()}
        assert summary["val/loss"]["min"] == min(row["val/loss"] for row in run.rows())
        assert summary["state"] == state
        assert [record.get("exit_code", 0) for record in records["exit"]] == [0]


def test_the_leaderboard_follows_from_the_records(swept):
    folder, content, _ = swept
    for point in content["configurations"]:
        best = [min(row["val/loss"] for row in folder.run(trial).rows()) for trial in point["trials"]]
        assert point["mean"] == pytest.approx(mean(best))
        assert point["n"] == 2
    won = content["winner"]
    assert won["trial"] in content["configurations"][0]["trials"]
    assert won["validation"]["loss"] == pytest.approx(folder.run(won["trial"]).status["best"]["value"], rel=1e-6)
    assert set(content["baselines"]["validation"]) == {"majority class", "nearest centroid", "logistic regression"}
    assert content["winner"]["test"] is None


def test_seeds_are_rows_of_one_point(swept):
    folder, _, _ = swept
    points = {}
    for trial in folder.trials():
        points.setdefault(trial.configuration, []).append(trial)
    assert len(points) == 4
    for rows in points.values():
        assert [row.seed for row in rows] == [0, 1]
        assert rows[0].overrides == rows[1].overrides


def test_best_yaml_is_accepted_unchanged_and_reproduces_the_metric(swept, tmp_path):
    folder, content, _ = swept
    experiment = load_experiment(folder.path / "best.yaml")
    run = Run.create(tmp_path / "again", experiment.dump(), command="test", job_type="train")
    result = train(experiment, run)
    assert result.value == pytest.approx(content["winner"]["validation"]["loss"], abs=1e-6)


def test_a_trial_is_the_one_train(swept, tmp_path):
    folder, _, _ = swept
    for trial in folder.trials()[:2]:
        experiment = Experiment.of(folder.run(trial.id).experiment)
        run = Run.create(tmp_path / trial.id, experiment.dump(), command="test", job_type="train")
        train(experiment, run)
        ours, theirs = run.rows()[: trial.epochs], folder.run(trial.id).rows()
        assert [row["val/loss"] for row in ours] == [row["val/loss"] for row in theirs]


def test_a_finished_sweep_resumes_to_the_same_answer_without_ray(swept):
    folder, content, _ = swept
    again = execute_sweep(folder, wandb="offline", console=Console(file=None, quiet=True))
    assert again == content


def test_its_own_ray_has_only_what_runs_trials():
    """If Ray no longer started as `ray_head` expects, every sweep would be slower."""
    words = [word for pid in descendants(os.getpid()) for word in command_line(pid).split() if "/" in word]
    served = " ".join(Path(word).name for word in words)
    assert "raylet" in served
    assert "gcs_server" in served
    for spared in ("monitor.py", "log_monitor.py", "dashboard.py"):
        assert spared not in served


def test_a_hung_process_is_ended_by_its_pid_where_tune_shows_no_actor():
    """Ray's actor of a trial is an internal of Tune; the pid of its last result is public."""
    process = subprocess.Popen(["sleep", "600"])
    trial = SimpleNamespace(
        config={"trial": "t0000"}, last_result={"pid": process.pid, "node_ip": ray.util.get_node_ip_address()}
    )
    end_process(trial)
    assert process.wait(10) == -signal.SIGKILL
    with pytest.warns(RuntimeWarning, match="t0000 hangs, and its process cannot be ended"):
        end_process(SimpleNamespace(config=trial.config, last_result=None))


class PickyScheduler(FIFOScheduler):
    """One day's scheduler of Tune, that reads what today's do not."""

    def on_trial_result(self, tune_controller, trial, result):
        return trial.evaluated_params[result["epoch"]]


def test_a_scheduler_that_refuses_ended_trials_starts_without_them(swept, monkeypatch):
    folder, _, _ = swept
    source = SearchPhase(folder, "disabled", threading.Event(), lambda: 0.0)
    view = SweepProgress("val/loss", "min", 8, 6, Console(quiet=True))
    rungs = driver.restore_scheduler(folder, source, view)._brackets[0]._rungs
    assert sum(len(recorded) for _, recorded in rungs) > 8
    monkeypatch.setattr(driver, "build_scheduler", lambda source: PickyScheduler())
    with pytest.warns(RuntimeWarning, match="starts without the results of ended trials"):
        assert isinstance(driver.restore_scheduler(folder, source, view), PickyScheduler)


# --- population based training ----------------------------------------------------------------------------------------


def test_a_population_keeps_its_lineage(tmp_path, vowels_experiment):
    folder, content, said = run_sweep(
        tmp_path / "pbt.yaml",
        # Long enough that neither is through before the other has begun.
        vowels_experiment.with_overrides({"trainer.max_epochs": 24}),
        space={"optimizer.lr": {"loguniform": [1e-3, 0.1]}, "optimizer.weight_decay": {"uniform": [0.0, 0.01]}},
        num_samples=2,
        seed=1,
        resources={"cpus": 0.25},
        scheduler={"name": "pbt", "perturbation_interval": 3, "quantile_fraction": 0.5, "resample_probability": 0.2},
    )
    assert content["trials"] == {"total": 2, "finished": 2, "stopped": 0, "failed": 0}
    cloned = [trial for trial in folder.trials() if trial.lineage]
    assert cloned
    for trial in folder.trials():
        run = folder.run(trial.id)
        assert not population.has_clone(run)
        assert [row["epoch"] for row in run.rows()] == list(range(24))
        now = trial.config
        content_of = torch.load(run.checkpoints / "last.ckpt", weights_only=True)
        (group,) = content_of["optimizer_states"][0]["param_groups"]
        assert group["lr"] == now["optimizer.lr"]
        assert run.rows()[-1]["lr"] == pytest.approx(group["lr"], rel=1e-6)
        assert group["weight_decay"] == now["optimizer.weight_decay"]
        assert run.experiment == folder.sweep.experiment_for(now, 0).dump()
    for trial in cloned:
        rates, last = [row["lr"] for row in folder.run(trial.id).rows()], trial.lineage[-1]
        assert rates[last["from_epoch"]] == pytest.approx(last["changes"]["optimizer.lr"]["new"])
        assert f"{trial.id} continues from {last['source']} after epoch {last['from_epoch']}" in said
        for before, after in zip(trial.lineage, trial.lineage[1:], strict=False):
            assert after["changes"]["optimizer.lr"]["old"] == before["changes"]["optimizer.lr"]["new"]
    (point,) = [point for point in content["configurations"] if cloned[0].id in point["trials"]]
    assert point["lineage"][cloned[0].id] == json.loads(json.dumps(cloned[0].lineage))


# --- budget, warm start, confirmation ---------------------------------------------------------------------------------


def began(path, experiment, values):
    """A sweep over learning rates as if its trials had come to these values."""
    file = path.with_suffix(".yaml")
    content = {"experiment": experiment.dump(), "space": {"optimizer.lr": {"choice": list(values)}}}
    file.write_text(f"# Which rate?\n{config.to_yaml(content)}")
    folder = SweepFolder.create(path, load_sweep(file))
    for number, (rate, value) in enumerate(values.items()):
        point = {"optimizer.lr": rate}
        run = Run.create(
            folder.run(folder.add_trial(number, 0, point)).path, folder.sweep.experiment_for(point, 0).dump()
        )
        run.describe(monitor=experiment.monitor, mode=experiment.mode)
        run.append({"epoch": 0, experiment.monitor: value, "seconds": 1.0})
        run.mark("finished")
    return folder


@pytest.mark.slow
def test_a_budget_a_warm_start_and_a_confirmation_on_ray(tmp_path, vowels):
    """One sweep with all of it: ends cleanly, says why, and means what the record says."""
    earlier = began(tmp_path / "earlier", vowels, {0.01: 1.0, 0.03: 2.0})
    folder, content, said = run_sweep(
        tmp_path / "later.yaml",
        vowels.with_overrides({"trainer.max_epochs": 6}),
        space={"optimizer.lr": {"loguniform": [1e-3, 1e-1]}},
        num_samples=40,
        searcher={"name": "optuna", "n_startup_trials": 1},
        budget={"epochs": 14},
        warm_start=[str(earlier.path)],
        confirm={"top": 1, "seeds": [0, 1]},
        constraints=["optimizer.lr > 0.002"],
        resources={"cpus": os.cpu_count()},  # one process, one trial after another
    )
    trials = folder.trials()
    assert "warm start: the searcher learns from " in said
    assert f"the search has ended: {content['ended']}" in said
    assert content["ended"].startswith("budget.epochs: ")
    searched = [trial for trial in trials if trial.phase == "search"]
    assert [trial.epochs for trial in searched][:3] == [6, 6, 2]
    assert sum(trial.epochs for trial in searched) == 14
    assert all("never started" in str(trial.reason) for trial in searched[3:])
    assert {trial.state for trial in searched} == {"finished", "stopped"}
    assert all(trial.overrides["optimizer.lr"] > 0.002 for trial in trials)
    again = [trial for trial in trials if trial.phase == "confirm"]
    assert again
    assert all(trial.state == "finished" and trial.epochs == 6 for trial in again)
    assert content["confirmed"] == [again[0].configuration] == [content["configurations"][0]["configuration"]]
    assert content["configurations"][0]["n"] == 2
    assert content["winner"]["trial"] in content["configurations"][0]["trials"]
    for trial in trials:
        run = folder.run(trial.id)
        if (run.path / "run.json").is_file():
            assert run.status["state"] == trial.state
    assert execute_sweep(folder, wandb="disabled", console=Console(quiet=True)) == content
